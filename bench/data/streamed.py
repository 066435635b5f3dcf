"""Images that stay on disk: each batch is read on the host while the one before is trained on.

The draws are those of `Resident`, so the same pixels give the same batches bit for bit.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.data.augment import Draws
from bench.data.datasets import DatasetInfo, Images
from bench.data.loader import Samples

AHEAD = 2  # batches that are read before they are asked for: so many are in the host's memory


class Streamed(Samples):
    """The rows `rows` (n,) of images on disk, with their given labels (n,)."""

    def __init__(
        self,
        images: Images,
        rows: NDArray[np.int64],
        given: NDArray[np.int64],
        info: DatasetInfo,
        device: torch.device | str,
        channels_last: bool,
        augment: str,
        normalise: bool = True,
        strong: str = "randaugment",
        rotate: float = 0.0,
    ) -> None:
        if len(rows) != len(given):
            raise ValueError(f"{info.name}: {len(rows)} images, but {len(given)} labels")
        super().__init__(given, info, device, channels_last, augment, normalise, strong, rotate)
        self._images, self._rows = images, rows

    def views(self, parts: Sequence[Tensor], draws: tuple[Draws, ...]) -> Iterator[tuple[Tensor, ...]]:
        """Yield the views of each batch, a thread reading ahead; an image that cannot be read raises ValueError."""
        if not parts:
            return
        hosts = torch.cat(list(parts)).cpu().split([len(part) for part in parts])  # one copy to the host for the pass
        reader = ThreadPoolExecutor(1, "read-ahead")
        waiting: deque[Future[Tensor]] = deque(reader.submit(self._read, host) for host in hosts[:AHEAD])
        try:
            for number, index in enumerate(parts):
                pixels = waiting.popleft().result()
                if number + AHEAD < len(hosts):
                    waiting.append(reader.submit(self._read, hosts[number + AHEAD]))
                yield self._views(pixels.to(self.device, non_blocking=True), index, draws)
        finally:  # also when nobody wants the rest
            reader.shutdown(wait=True, cancel_futures=True)

    def _read(self, index: Tensor) -> Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(self._images[self._rows[index.numpy()]]))
        return pixels.pin_memory() if self.device.type == "cuda" else pixels

    def _views(self, pixels: Tensor, index: Tensor, draws: tuple[Draws, ...]) -> tuple[Tensor, ...]:
        """Augment a batch whose k-th image is that of sample index[k]."""
        windows, at = self._all_windows(pixels), torch.arange(len(index), device=self.device)
        return tuple(self._finished(windows, at, drawn.of(index)) for drawn in draws)

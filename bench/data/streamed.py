"""Images that stay on disk: batches are read on the host, by threads, while the one before them is trained on.

The draws are those of `Resident`, so the same pixels give the same batches bit for bit.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.data.augment import Crops, Draws, padded_store
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

    def views(self, order: Tensor, cuts: Sequence[slice], draws: tuple[Draws, ...]) -> Iterator[tuple[Tensor, ...]]:
        """Yield the views of each batch, threads reading ahead; an image that cannot be read raises ValueError."""
        if not cuts:
            return
        host = order.cpu()  # one copy to the host for the pass
        drawn = [one.of(order) for one in draws]
        # a batch begins while the last images of the one before are decoded, so that no core waits
        reader = ThreadPoolExecutor(AHEAD, "read-ahead")
        waiting: deque[Future[Tensor]] = deque(reader.submit(self._read, host[cut]) for cut in cuts[:AHEAD])
        try:
            for number, cut in enumerate(cuts):
                pixels = waiting.popleft().result()
                if number + AHEAD < len(cuts):
                    waiting.append(reader.submit(self._read, host[cuts[number + AHEAD]]))
                yield self._views(pixels.to(self.device, non_blocking=True), drawn, cut)
        finally:  # also when nobody wants the rest
            reader.shutdown(wait=True, cancel_futures=True)

    def _read(self, index: Tensor) -> Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(self._images[self._rows[index.numpy()]]))
        return pixels.pin_memory() if self.device.type == "cuda" else pixels

    def _views(self, pixels: Tensor, drawn: Sequence[Draws], cut: slice) -> tuple[Tensor, ...]:
        """Augment a batch whose k-th image is that of the k-th draws at `cut`."""
        crops = Crops(padded_store(pixels, self._form), self._slack, self._channels_last)
        at = torch.arange(len(pixels), device=self.device)
        found = []
        for whole in drawn:
            one = whole.of(cut)
            found.append(self._finished(crops, crops.begin(at, one), one, slice(None)))
        return tuple(found)

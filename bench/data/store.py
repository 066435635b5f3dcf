"""Images in the memory of a device, once for all that cut batches from them: splits of a run, and runs of a process."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.data.augment import padded_store
from bench.data.datasets import Images
from bench.data.padded import Form
from bench.data.shared import SharedImages


@dataclass(frozen=True, eq=False)
class Store:
    """All images of a part of a data set, (N, *form.shape) uint8 on a device. Nobody writes into it."""

    pixels: Tensor
    form: Form

    def __len__(self) -> int:
        return len(self.pixels)

    @staticmethod
    def of(images: Images, form: Form, device: torch.device) -> Store:
        """Return (N, H, W, A) images as a store: shared ones as that of this process, others as one of their own."""
        if not isinstance(images, SharedImages):
            return Store(_padded(np.asarray(images), form, device), form)
        key = (*images.key, form, str(device))
        store = _STORES.get(key)
        if store is None:
            store = _STORES[key] = Store(_shared(images, form, device), form)
        return store


_STORES: WeakValueDictionary[tuple[str, str, Form, str], Store] = WeakValueDictionary()


def pad(images: NDArray[np.uint8], form: Form) -> NDArray[np.uint8]:
    """Bring (n, H, W, A) images into a form, in the host's memory."""
    stored: NDArray[np.uint8] = _padded(images, form, torch.device("cpu")).numpy()
    return stored


def _padded(images: NDArray[np.uint8], form: Form, device: torch.device) -> Tensor:
    # torch.tensor copies: a data set's arrays are read-only, and torch can't mark a tensor so
    return padded_store(torch.tensor(np.ascontiguousarray(images), device=device), form)


def _shared(images: SharedImages, form: Form, device: torch.device) -> Tensor:
    if images.stored is None or images.form != form:
        return _padded(np.asarray(images), form, device)
    count, height, width, channels = images.shape
    pixels = torch.frombuffer(images.stored, dtype=torch.uint8)
    return pixels.view(count, *form.shape((channels, height, width))).to(device)

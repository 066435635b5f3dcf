"""The loop that published code runs, in our own writing, to compare with: nothing but this benchmark imports it.

What it does is what the released code of Co-teaching (bhanML/Co-teaching) and the many repositories built on it do: one
PIL image after the other goes through torchvision's transforms in a DataLoader that is built anew each epoch; float32,
NCHW; an optimiser for each network, as torch makes it without further words; in every batch the losses are sorted on
the host, read back, and top-1 and top-k accuracy computed; after the epoch each network is scored batch by batch.
Left out, since they would only slow it down: printing, the share of clean samples among the selected ones, and the
second division of the mean loss (which Adam hides).

n images, B samples in a batch, C classes.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

from bench.vision import torchvision

PADDING = 4
TOP = 5
RAMP_EPOCHS = 10


class Crops(NamedTuple):
    """Given crops and flips, one of each an image."""

    dy: NDArray[np.int64]  # (n,) in 0 .. 2 PADDING
    dx: NDArray[np.int64]
    flip: NDArray[np.bool_]


def vision() -> ModuleType | None:
    """torchvision, or None where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of another torch's build: transforms work nevertheless
            return torchvision()
    except ModuleNotFoundError:
        return None


def pipeline() -> str:
    """What prepares the peer's images here, for the header of a report."""
    module = vision()
    return "NumPy per item (no torchvision here)" if module is None else f"torchvision {module.__version__} on PIL"


class Items(Dataset[tuple[Tensor, int, int]]):
    """Image, label and position of one sample, prepared when it is asked for."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        mean: Sequence[float],
        std: Sequence[float],
        augment: bool,
        crops: Crops | None = None,
        use_vision: bool = True,
    ) -> None:
        """Take (n, H, W, A) images, A = 1 or 3; `augment` crops and flips each, at random or as `crops` says."""
        self.images, self.labels, self.crops = images, labels, crops
        module = vision() if use_vision else None
        how = (images.shape[1:3], mean, std, augment, crops)
        self.prepare = _with_numpy(*how) if module is None else _with_torchvision(module, *how)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return self.prepare(index, self.images[index]), int(self.labels[index]), index


Prepare = Callable[[int, NDArray[np.uint8]], Tensor]


def _with_torchvision(
    module: Any, size: tuple[int, int], mean: Any, std: Any, augment: bool, crops: Crops | None
) -> Prepare:
    from PIL import Image

    transforms = module.transforms
    change: list[Any] = []
    if augment and crops is None:
        change = [transforms.RandomCrop(size, padding=PADDING), transforms.RandomHorizontalFlip()]
    whole = transforms.Compose([*change, transforms.ToTensor(), transforms.Normalize(mean, std)])

    def prepare(index: int, pixels: NDArray[np.uint8]) -> Tensor:
        image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
        if augment and crops is not None:
            f = transforms.functional
            image = f.crop(f.pad(image, PADDING), int(crops.dy[index]), int(crops.dx[index]), *size)
            image = f.hflip(image) if crops.flip[index] else image
        prepared: Tensor = whole(image)
        return prepared

    return prepare


def _with_numpy(size: tuple[int, int], mean: Any, std: Any, augment: bool, crops: Crops | None) -> Prepare:
    centre, scale = np.float32(mean), np.float32(std)
    height, width = size

    def drawn(index: int) -> tuple[int, int, bool]:
        if crops is not None:
            return int(crops.dy[index]), int(crops.dx[index]), bool(crops.flip[index])
        y, x = torch.randint(0, 2 * PADDING + 1, (2,)).tolist()
        return y, x, bool(torch.rand(()) < 0.5)

    def prepare(index: int, pixels: NDArray[np.uint8]) -> Tensor:
        if augment:
            y, x, flip = drawn(index)
            padded = np.pad(pixels, ((PADDING, PADDING), (PADDING, PADDING), (0, 0)))
            pixels = padded[y : y + height, x : x + width]
            pixels = pixels[:, ::-1] if flip else pixels
        image = (pixels.astype(np.float32) / np.float32(255) - centre) / scale
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))

    return prepare


def selected_losses(logits: Sequence[Tensor], labels: Tensor, keep: int) -> list[Tensor]:
    """The loss of each of two networks on the `keep` samples of smallest loss of the other, sorted on the host."""
    own = [np.argsort(cross_entropy(z, labels, reduction="none").detach().cpu().numpy())[:keep] for z in logits]
    chosen = [torch.from_numpy(rows).to(labels.device) for rows in reversed(own)]
    return [cross_entropy(z[rows], labels[rows]) for z, rows in zip(logits, chosen, strict=True)]


def accuracy(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Top-1 and top-k accuracy of a batch, in [0, 1], read back at once."""
    ranked = logits.softmax(1).topk(min(TOP, logits.shape[1]), 1).indices
    hits = ranked.eq(labels[:, None])
    return hits[:, :1].float().sum().item() / len(labels), hits.float().sum().item() / len(labels)


@dataclass(frozen=True)
class Recipe:
    """How the peer trains."""

    batch_size: int
    workers: int  # of each DataLoader
    lr: float = 0.001
    optimizer: str = "adam"  # or "sgd", with momentum
    forget_rate: float = 0.0  # share of a batch that two networks drop in the end
    ramp_epochs: int = RAMP_EPOCHS


class Peer:
    """One network by cross entropy, or two by Co-teaching."""

    def __init__(
        self, train: Items, test: Items, networks: Sequence[nn.Module], recipe: Recipe, device: str = "cpu"
    ) -> None:
        """Train `networks` from the weights they have, on `device`."""
        self.train, self.test, self.recipe, self.device = train, test, recipe, torch.device(device)
        self.networks = [network.to(self.device) for network in networks]
        self.optimizers = [self._optimizer(network) for network in self.networks]
        self.epochs = 0

    def _optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        if self.recipe.optimizer == "sgd":
            return torch.optim.SGD(network.parameters(), lr=self.recipe.lr, momentum=0.9)
        return torch.optim.Adam(network.parameters(), lr=self.recipe.lr)

    def batches(self, order: Sequence[int] | None = None) -> DataLoader[tuple[Tensor, int, int]]:
        """A new loader of the training samples, shuffled or in a given order."""
        how: dict[str, Any] = {"shuffle": True} if order is None else {"sampler": order}
        return DataLoader(self.train, self.recipe.batch_size, num_workers=self.recipe.workers, **how)

    def epoch(self, order: Sequence[int] | None = None) -> list[float]:
        """Train one epoch; return the test accuracy of each network, in [0, 1]."""
        for network in self.networks:
            network.train()
        for images, labels, _ in self.batches(order):
            self.learn(images.to(self.device), labels.to(self.device))
        self.epochs += 1
        return self.evaluate()

    def learn(self, images: Tensor, labels: Tensor) -> list[float]:
        """One step of every network; return their losses."""
        logits = [network(images) for network in self.networks]
        for z in logits:
            accuracy(z, labels)
        if len(logits) == 1:
            losses = [cross_entropy(logits[0], labels)]
        else:
            losses = selected_losses(logits, labels, self.kept(len(labels)))
        for optimizer, loss in zip(self.optimizers, losses, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return [loss.item() for loss in losses]

    def kept(self, num: int) -> int:
        """How many of `num` samples a network keeps in this epoch; the dropped share grows over the first epochs."""
        ramp = min(1.0, (self.epochs + 1) / self.recipe.ramp_epochs) if self.recipe.ramp_epochs else 1.0
        return max(1, int((1 - self.recipe.forget_rate * ramp) * num + 1e-9))

    def evaluate(self) -> list[float]:
        """The test accuracy of each network, in [0, 1], every batch read back."""
        correct = [0.0 for _ in self.networks]
        for network in self.networks:
            network.eval()
        with torch.no_grad():
            for images, labels, _ in DataLoader(self.test, self.recipe.batch_size, num_workers=self.recipe.workers):
                moved = images.to(self.device)
                for k, network in enumerate(self.networks):
                    predicted = network(moved).softmax(1).argmax(1)
                    correct[k] += (predicted.cpu() == labels).sum().item()
        return [count / len(self.test) for count in correct]

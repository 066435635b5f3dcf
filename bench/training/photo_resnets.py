"""Residual networks for photographs (He et al., CVPR 2016, arXiv:1512.03385): torchvision's 7 x 7 stem, and pooling."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.data.datasets import DatasetInfo, data_folder
from bench.training.network import Builder, KaimingNetwork, Network
from bench.vision import torchvision


class PretrainedNetwork(Network):
    """A network that starts from weights it was given, but for its head; what is drawn anew, torch's way, is random."""

    def start(self) -> None:
        self.initialise(self.head)


def imagenet_address() -> str:
    """Return where to get ResNet-50's ImageNet weights; the file's name ends in the first 8 hex digits of its sha256.

    They are torchvision's first ones (V1, 76.1% on ImageNet): papers before the end of 2021 had no others, and V2
    (80.9%) comes from another training recipe.
    """
    return str(torchvision().models.ResNet50_Weights.IMAGENET1K_V1.url)


def read_weights(address: str) -> dict[str, Tensor]:
    """Return the weights of the file that `address` ends in, from the data folder or torch hub's cache.

    Nothing is fetched. Raises a ValueError where the file is missing, or does not begin with the sha256 of its name.
    """
    name = address.rpartition("/")[2]
    folders = (data_folder(), Path(torch.hub.get_dir()) / "checkpoints")
    path = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if path is None:
        raise ValueError(f"no {name} in {folders[0]} or {folders[1]}; put it there, from {address}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    wanted = Path(name).stem.rpartition("-")[2]
    if not digest.startswith(wanted):
        raise ValueError(
            f"{path} is damaged: its sha256 begins with {digest[: len(wanted)]}, not with the {wanted} of its name; "
            f"replace it by {address}"
        )
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def _network(kind: type[Network], whole: Any, head: nn.Linear, precision: str) -> Network:
    stem = nn.Sequential(whole.conv1, whole.bn1, whole.relu, whole.maxpool)
    return kind([stem, whole.layer1, whole.layer2, whole.layer3, whole.layer4], head, precision)


def _first(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)


def _resnet34_imagenet_stem(info: DatasetInfo, precision: str) -> Network:
    whole = torchvision().models.resnet34(weights=None, num_classes=info.num_classes)
    if info.shape[0] != 3:
        whole.conv1 = _first(info.shape[0])
    return _network(Network, whole, whole.fc, precision)


def _resnet50(info: DatasetInfo, precision: str) -> Network:
    whole = torchvision().models.resnet50(weights=None, num_classes=info.num_classes)
    if info.shape[0] != 3:
        whole.conv1 = _first(info.shape[0])
    return _network(KaimingNetwork, whole, whole.fc, precision)


def _resnet50_imagenet(info: DatasetInfo, precision: str) -> Network:
    """Grey images are treated as colour images of equal channels: the first filters are summed over their colours."""
    channels = info.shape[0]
    if channels not in (1, 3):
        raise ValueError(f"ImageNet weights are for images of 3 channels or 1, but {info.name} has {channels}")
    whole = torchvision().models.resnet50(weights=None)
    whole.load_state_dict(read_weights(imagenet_address()))
    if channels == 1:
        whole.conv1.in_channels = 1
        whole.conv1.weight = nn.Parameter(whole.conv1.weight.detach().sum(1, keepdim=True))
    return _network(PretrainedNetwork, whole, nn.Linear(2048, info.num_classes), precision)


BUILDERS: dict[str, Builder] = {
    "resnet34_imagenet_stem": _resnet34_imagenet_stem,
    "resnet50": _resnet50,
    "resnet50_imagenet": _resnet50_imagenet,
}

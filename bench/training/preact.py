"""Pre-activation residual networks (He et al., ECCV 2016, arXiv:1603.05027), as label-noise repositories have them."""

from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from bench.data.datasets import DatasetInfo
from bench.training.network import Builder, Network
from bench.training.resnets import residual_stages, stem


class PreactBlock(nn.Module):
    """BatchNorm, ReLU and a 3 x 3 convolution, twice, beside a shortcut.

    Where the shape changes, the shortcut is a 1 x 1 convolution, without BatchNorm, of what the first ReLU gives. Where
    it does not, it is the block's input, as in the paper, or with `activated` what the first ReLU gives there, too.
    """

    def __init__(self, before: int, after: int, stride: int, activated: bool) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        changes = stride != 1 or before != after
        self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False) if changes else nn.Identity()
        self.activated = activated or changes

    def forward(self, x: Tensor) -> Tensor:
        active = functional.relu(self.norm1(x))
        out: Tensor = self.conv2(functional.relu(self.norm2(self.conv1(active))))
        return out + self.shortcut(active if self.activated else x)


def _preact_resnet18(info: DatasetInfo, precision: str) -> Network:
    """The network of DivideMix (arXiv:2002.07394, code), which ELR+, SOP and PES took over.

    Three things are not the paper's: the stem has BatchNorm and ReLU of its own, all shortcuts start behind the first
    ReLU of their block, and no BatchNorm and ReLU follow the last block.
    """
    blocks = residual_stages(partial(PreactBlock, activated=True), 64, 64, (2, 2, 2, 2))
    return Network([stem(info.shape[0], 64), *blocks], nn.Linear(512, info.num_classes), precision)


def _preact_narrow(info: DatasetInfo, precision: str) -> Network:
    """The PreAct ResNet-32 of Tanaka et al., CVPR 2018, arXiv:1803.11364; GJS's "34" (arXiv:2105.04522, code)."""
    bare = nn.Conv2d(info.shape[0], 32, 3, padding=1, bias=False)
    first, second, third = residual_stages(partial(PreactBlock, activated=False), 32, 32, (5, 5, 5))
    last = nn.Sequential(third, nn.BatchNorm2d(128), nn.ReLU())
    return Network([bare, first, second, last], nn.Linear(128, info.num_classes), precision)


BUILDERS: dict[str, Builder] = {"preact_resnet18": _preact_resnet18, "preact_narrow": _preact_narrow}

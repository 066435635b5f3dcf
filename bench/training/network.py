"""What a network is: stages in order, then a linear head; and how its weights are drawn.

B samples in a batch, A channels, H x W pixels, C classes, F features.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, get_args

import torch
from torch import Tensor, nn

from bench.config import Precision
from bench.data.datasets import DatasetInfo
from bench.names import unknown

_PRECISIONS = get_args(Precision)


class Network(nn.Module):
    """A classifier: `stages` one after the other, the mean over what is left of the pixels, and `head`.

    Training batches of `compiled_batch` samples, if that is set, go through compiled code: the same to rounding. All
    else, for which torch would have to compile again, does not: other sizes, passes without gradients, evaluation.
    """

    compiled_batch: int | None = None

    def __init__(self, stages: list[nn.Module], head: nn.Linear, precision: str = "float32") -> None:
        super().__init__()
        if precision not in _PRECISIONS:
            raise unknown("precision", precision, _PRECISIONS)
        self.stages = nn.ModuleList(stages)
        self.head = head
        self.precision = precision

    def features(self, x: Tensor) -> Tensor:
        """Return the (B, F) input of the head, for images (B, A, H, W)."""
        for stage in self.stages:
            x = stage(x)
        # AdaptiveAvgPool2d has no deterministic gradient on CUDA; a mean has.
        return x.mean((2, 3)) if x.ndim == 4 else x

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 logits (B, C); with precision bf16, what lies between is computed in bfloat16."""
        return _compiled()(self, x) if self._compiles(x) else self.logits(x)

    def _compiles(self, x: Tensor) -> bool:
        if len(x) != self.compiled_batch or not self.training or not torch.is_grad_enabled():
            return False
        # lent ones (torch.func.functional_call) may be differentiated twice, which compiled code cannot be
        return isinstance(self.head.weight, nn.Parameter)

    def logits(self, x: Tensor) -> Tensor:
        """Return the same as a call, never by compiled code, and unseen by hooks."""
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            logits: Tensor = self.head(self.features(x))
        return logits.float()

    def start(self) -> None:
        """Draw the weights that a run starts from, here all of them, from torch's global generator."""
        for part in self.children():
            self.initialise(part)

    def reinit_tail(self, n: int) -> None:
        """Give the last `n` stages and the head fresh weights and statistics, from torch's global generator."""
        if not 0 <= n <= len(self.stages):
            raise ValueError(f"n must be in 0 .. {len(self.stages)}, the number of stages, got {n}")
        for part in (*list(self.stages)[len(self.stages) - n :], self.head):
            self.initialise(part)

    def initialise(self, part: nn.Module) -> None:
        """Draw the weights of all layers in `part`, as torch does, and set its statistics back."""
        for layer in part.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d):
                layer.reset_parameters()


@cache
def _compiled() -> Callable[[Network, Tensor], Tensor]:
    """Return the one compiled forward pass of a process; networks of one shape share what is compiled for it.

    Dropout draws as in the plain pass. Where something cannot be compiled, that is an error: half of it compiled would
    be a third way to round. One thread compiles, since a run has a core of its own and no more.
    """
    options: dict[str, Any] = {"fallback_random": True, "compile_threads": 1}
    return torch.compile(Network.logits, dynamic=False, fullgraph=True, options=options)


class KaimingNetwork(Network):
    """A network whose convolutions and head start from He et al.'s normal distribution (arXiv:1502.01852)."""

    def initialise(self, part: nn.Module) -> None:
        super().initialise(part)
        for layer in part.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight)


Builder = Callable[[DatasetInfo, str], Network]  # for these images and classes, in this precision

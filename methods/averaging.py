"""Networks that follow others slowly: exponential moving averages of weights and of batch-norm statistics."""

import torch
from torch import nn


class Averaged(nn.ModuleList):
    """Copies in evaluation mode, whatever mode the method is in; no gradient reaches them."""

    def __init__(self, networks: list[nn.Module]) -> None:
        super().__init__(networks)
        self.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "Averaged":
        super().train(False)
        return self

    @torch.no_grad()
    def follow(self, k: int, network: nn.Module, rate: float) -> None:
        """Copy k becomes rate * itself + (1 - rate) * network, buffers included; counts are copied."""
        mine, theirs = self[k].state_dict(), network.state_dict()
        for name, value in mine.items():
            if value.is_floating_point():
                value.lerp_(theirs[name], 1 - rate)
            else:
                value.copy_(theirs[name])

"""How much of a batch the small-loss methods keep: R(E) = 1 - r min(E / T_k, 1) in epoch E = 1, 2, ...

Han et al., NeurIPS 2018, arXiv:1804.06872, Algorithm 1; Co-teaching+ and JoCoR take it over.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from methods.base import Clock, Method, Needs
from methods.schedules import ramp


@dataclass(eq=False)
class Forgetting(Method):
    """Two networks that drop a growing share of every batch, up to the rate of wrong labels."""

    num_networks: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs(noise_rate=True)
    capturable: ClassVar[bool] = True
    forget_rate: float | None = None  # share dropped after the ramp, in [0, 1); None: the true rate of wrong labels
    ramp_epochs: int = 10  # epochs over which the dropped share grows from 0 (the paper's T_k)
    compat: Literal["correct", "reference"] = "correct"  # reference: the released code's ramp, one epoch shorter

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.forget_rate is not None and not 0 <= self.forget_rate < 1:
            raise ValueError(f"forget_rate must be in [0, 1), got {self.forget_rate}")
        if self.ramp_epochs < 0:
            raise ValueError(f"ramp_epochs must be at least 0, got {self.ramp_epochs}")

    def kept_share(self, clock: Clock) -> float:
        """R(E), in (0, 1]."""
        return 1 - self.rate() * ramp(clock.phase_epoch, self.ramp_epochs - (self.compat == "reference"))

    def rate(self) -> float:
        """r, the share that is dropped in the end."""
        return self.task.noise_rate if self.forget_rate is None else self.forget_rate

    def kept(self, num: int, clock: Clock) -> int:
        """How many samples of a batch of `num` are kept: int(R num), at least one."""
        return max(1, int(self.kept_share(clock) * num + 1e-9))

"""No noise of ours: labels stay as the data set gives them, which may be wrong already, as Clothing1M's are."""

from dataclasses import dataclass
from typing import ClassVar

from noise.base import Request
from noise.families import Asked, Dialect, Drawn, Injector, register

UNKNOWN = -1.0


@register("none")
@dataclass(frozen=True)
class Unchanged(Injector):
    """Labels stay as the data set gives them."""

    keeps_labels: ClassVar[bool] = True
    rated: ClassVar[bool] = False

    assumed: float = UNKNOWN  # wrong share that somebody believes, told to methods that ask for a rate; -1: unknown

    def check(self, spec: Asked) -> None:
        """Raise ValueError for an assumed share outside [0, 1)."""
        super().check(spec)
        if self.assumed != UNKNOWN and not 0 <= self.assumed < 1:
            raise ValueError(f"noise option 'assumed' must be in [0, 1), got {self.assumed:g}")

    def native(self, request: Request) -> Drawn:
        """Leave every label alone."""
        if self.assumed == UNKNOWN:
            return Drawn(request.clean.copy(), None)
        return Drawn(request.clean.copy(), self.assumed, notes=("the wrong share is somebody's belief, not counted",))

    dialects: ClassVar = {
        "native": Dialect(
            draw=native,
            definition="labels as they come, true or not; `assumed` is told to methods that ask for a rate",
            used_by="Clothing1M, WebVision, Food-101N, ANIMAL-10N",
            convention="as given",
            flips="as given",
            generator="none",
            formula="g = y",
            effective="what the data set has",
            source="the data set",
        )
    }

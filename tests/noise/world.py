"""What every family and dialect can be tried on: labels, images and attached arrays that fit it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import noise
from noise import Corruption, NoiseSpec, corrupt

TOY10 = (np.arange(2000) * 7 + 3) % 10
TOY100 = (np.arange(4000) * 7 + 3) % 100
ROWS = np.random.RandomState(7).randint(0, 256, (4000, 48)).astype("float32")


def scores(labels: np.ndarray, classes: int, seed: int = 0) -> np.ndarray:
    """A network's posterior: right for most, with all kinds of margins."""
    logits = np.random.default_rng(seed).normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += 2.5
    shares = np.exp(logits)
    return shares / shares.sum(axis=1, keepdims=True)


def matrix(classes: int) -> np.ndarray:
    """A transition matrix of no special form."""
    rows = np.random.default_rng(1).random((classes, classes)) + 4 * np.eye(classes)
    return rows / rows.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Way:
    """One way to make labels wrong: family, dialect, flips, map."""

    family: str
    dialect: str
    flips: str = "exact"
    map: str | None = None

    def __str__(self) -> str:
        return "-".join(str(part) for part in (self.family, self.dialect, self.flips, self.map) if part)

    @property
    def about(self) -> dict[str, Any]:
        return noise.describe(self.family)["dialects"][self.dialect]

    @property
    def rated(self) -> bool:
        return noise.family_of(self.family).rated

    @property
    def iid(self) -> bool:
        return self.flips == "iid" or self.about["flips"] == "iid"

    @property
    def classes(self) -> int:
        return 100 if self.map and ("class" in self.map or "block" in self.map) else 10

    @property
    def labels(self) -> np.ndarray:
        return TOY100 if self.classes == 100 else TOY10

    def spec(self, rate: float = 0.3) -> NoiseSpec:
        options = {"aggre": {"labels": "aggre"}}.get(self.family, {})
        return NoiseSpec(self.family, rate if self.rated else None, self.dialect, self.flips, self.map, options)

    def attached(self, labels: np.ndarray, classes: int) -> dict[str, np.ndarray]:
        other = (labels + (np.arange(len(labels)) % 3 == 0)) % classes
        return {
            "matrix": matrix(classes),
            "scores": scores(labels, classes),
            "given": other,
            "human_given": other,
            "human_clean": labels,
            "source_size": np.array(50_000),
        }

    def make(self, rate: float = 0.3, seed: int = 5, labels: Any = None, classes: int | None = None) -> Corruption:
        """The labels that this way makes of its own toy labels, or of others."""
        true = self.labels if labels is None else np.asarray(labels)
        num = classes or self.classes
        return corrupt(true, ROWS[: len(true)], num, self.spec(rate), seed, attached=self.attached(true, num))


def ways() -> list[Way]:
    """Every family, dialect and map, and all flips of our own dialects."""
    found = []
    for family in noise.available():
        cls = noise.family_of(family)
        for dialect, about in cls.dialects.items():
            for chosen in (about.maps or cls.maps) if cls.maps else (None,):
                for flips in ("exact", "total", "iid") if about.ours else ("exact",):
                    found.append(Way(family, dialect, flips, chosen))
    return found


WAYS = ways()
RATED = [way for way in WAYS if way.rated]
DRAWN = [way for way in WAYS if way.about["generator"] != "none"]
# released code that draws from a seed of its own, whatever is asked for; mwnet's clean samples follow the seed
FIXED = {("asymmetric", "sce", "block5_swap2"), ("asymmetric", "elr", "block5_next"), ("instance", "cores", None)}


def ids(way: Way) -> str:
    return str(way)

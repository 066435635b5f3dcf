"""What a table holds, and how one cell becomes text: every writer prints these strings."""

from __future__ import annotations

from dataclasses import dataclass

DASH = "–"
DAGGER = "†"
BEST, TIED, DIVERGED = "*", "=", "!"


@dataclass(frozen=True)
class Cell:
    """Runs of one row and column: `mean` in percent and sample `sd` in points, None where there is none."""

    mean: float | None
    sd: float | None
    n: int
    planned: int
    runs: tuple[str, ...] = ()
    diverged: int = 0
    best: bool = False
    tied: bool = False  # not separable from the best

    @property
    def number(self) -> str:
        """Return mean and spread, or a dash."""
        if self.mean is None:
            return DASH
        return f"{self.mean:.2f}" if self.sd is None else f"{self.mean:.2f} ± {self.sd:.2f}"

    @property
    def count(self) -> str:
        """Return how many runs are behind the number: (5), or (3/5) where runs are missing."""
        if not self.planned:
            return ""
        return f"({self.n})" if self.n == self.planned else f"({self.n}/{self.planned})"

    @property
    def mark(self) -> str:
        return (BEST if self.best else TIED if self.tied else "") + (DIVERGED if self.diverged else "")

    @property
    def text(self) -> str:
        return " ".join(part for part in (self.number, self.count, self.mark) if part)


@dataclass(frozen=True)
class Row:
    """`needs` are the facts told to the method beyond the noisy labels; `head` says what the number is the mean of."""

    label: str
    method: str
    params: str
    networks: int | None
    head: str
    needs: tuple[str, ...]
    cells: tuple[Cell, ...]

    @property
    def marked_label(self) -> str:
        return self.label + (DAGGER if self.needs else "")

    @property
    def networks_text(self) -> str:
        return DASH if self.networks is None else str(self.networks)


@dataclass(frozen=True)
class Table:
    """`header` are facts about the whole table, in print order; `missing` are the ids of planned runs not done."""

    header: dict[str, str]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    rule: str
    head: str
    baseline: str | None
    missing: tuple[str, ...]

    @property
    def headings(self) -> list[str]:
        return ["method", "nets", "head", *self.columns]

    def text_rows(self) -> list[list[str]]:
        return [[r.marked_label, r.networks_text, r.head, *(cell.text for cell in r.cells)] for r in self.rows]

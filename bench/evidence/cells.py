"""What a table holds, and how one cell becomes text: every writer prints these strings, and none knows a view."""

from __future__ import annotations

from dataclasses import dataclass

DASH = "–"
DAGGER = "†"
ALL = "all"  # the rule of a table of all rules
BEST, TIED, DIVERGED, FAILED = "*", "=", "!", "x"


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
    failed: int = 0  # planned runs that failed, which have no number

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
    def strong(self) -> bool:
        return self.best or self.tied

    @property
    def flags(self) -> str:
        """Return marks of runs that diverged or failed."""
        return (DIVERGED if self.diverged else "") + (FAILED if self.failed else "")

    @property
    def mark(self) -> str:
        return (BEST if self.best else TIED if self.tied else "") + self.flags

    @property
    def text(self) -> str:
        return " ".join(part for part in (self.number, self.count, self.mark) if part)


@dataclass(frozen=True)
class Value:
    """What stands in a further column: `number` as printed, and the `value` behind it where it is a number.

    `count` and `flags` are those of the runs behind it where some are missing, diverged or failed; `notes` are the
    numbers of its footnotes.
    """

    number: str
    value: float | None = None
    count: str = ""
    flags: str = ""
    notes: tuple[int, ...] = ()

    @property
    def strong(self) -> bool:
        return False

    @property
    def mark(self) -> str:
        return " ".join([*([self.flags] if self.flags else []), *(f"[{number}]" for number in self.notes)])

    @property
    def text(self) -> str:
        return " ".join(part for part in (self.number, self.count, self.mark) if part)


NONE = Value(DASH)


@dataclass(frozen=True)
class Part:
    """Which number a cell is, where a table has several of each column."""

    name: str
    rule: str
    head: str


@dataclass(frozen=True)
class Extra:
    """A further column, with a value for every row; it stands behind `after` columns of cells.

    `column` is the column that it tells more of, "" if it is about whole rows; `unit` is that of the values, where it
    is not the one that is printed.
    """

    name: str
    values: tuple[Value, ...]
    after: int
    column: str = ""
    unit: str = ""


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

    @property
    def facts(self) -> list[str]:
        """Return what stands before the cells."""
        return [self.marked_label, self.networks_text, self.head]


FACTS = ("method", "nets", "head")


@dataclass(frozen=True)
class Shown:
    """A column as it is printed: a cell or value for every row."""

    heading: str
    cells: tuple[Cell | Value, ...]


@dataclass(frozen=True)
class Block:
    """Columns that are printed side by side under one title, "" where the table is one block."""

    title: str
    columns: tuple[Shown, ...]


@dataclass(frozen=True)
class Table:
    """`header` are facts about the whole table, in print order; `missing` are the ids of planned runs not done.

    `columns` names the column of each cell of a row. Where `parts` are given, a part for each cell, several cells are
    of one column, and the columns become blocks below each other. `footnotes` are numbered from 1.
    """

    header: dict[str, str]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    rule: str
    head: str
    baseline: str | None
    missing: tuple[str, ...]
    view: str = "accuracy"
    title: str = ""
    parts: tuple[Part, ...] = ()
    extras: tuple[Extra, ...] = ()
    footnotes: tuple[str, ...] = ()

    def placed(self) -> list[tuple[str, str, tuple[Cell | Value, ...]]]:
        """Return all columns in print order: whose they are, their heading, and what stands in them."""
        found: list[tuple[str, str, tuple[Cell | Value, ...]]] = []
        for at in range(len(self.columns) + 1):
            found += [(extra.column, extra.name, extra.values) for extra in self.extras if extra.after == at]
            if at < len(self.columns):
                cells = tuple(row.cells[at] for row in self.rows)
                column, name = self.columns[at], self.parts[at].name if self.parts else ""
                found.append((column, name, cells))
        return found

    def blocks(self) -> list[Block]:
        """Return the columns as they are printed, side by side as long as they are of one block."""
        blocks: dict[str, list[Shown]] = {} if self.parts else {"": []}
        for column, name, cells in self.placed():
            title, heading = (column, name) if self.parts else ("", column or name)
            blocks.setdefault(title, []).append(Shown(heading, cells))
        return [Block(title, tuple(columns)) for title, columns in blocks.items()]

    def numbered(self) -> list[str]:
        """Return the footnotes behind their numbers."""
        return [f"[{number}] {note}" for number, note in enumerate(self.footnotes, 1)]

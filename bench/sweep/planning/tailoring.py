"""Cells of a suite's table with settings of their own: a paper's table is seldom made with one setting throughout."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Cells:
    """The cells of these noises and methods, of all where none is named; later ones of a suite go over earlier ones.

    They build on the preset, and what the suite itself (or a flag) says in `train` and `params` goes over them.
    """

    noise: tuple[str, ...] = ()  # as the suite writes it
    methods: tuple[str, ...] = ()  # by name
    preset: str | None = None
    val: float | None = None
    train: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)  # hyper-parameters

    def hold(self, noise: str, method: str) -> bool:
        """Whether a cell is one of these."""
        return (not self.noise or noise in self.noise) and (not self.methods or method in self.methods)


def without(
    cells: Iterable[Cells], noise: Collection[str], methods: Collection[str], *, preset: bool, val: bool
) -> tuple[Cells, ...]:
    """The cells that are left of a table without some noises and methods.

    With `preset` or `val` the one of the whole table has been asked for, and the cells' own no longer hold.
    """
    kept = []
    for cell in cells:
        columns = tuple(text for text in cell.noise if text not in noise)
        rows = tuple(name for name in cell.methods if name not in methods)
        if bool(columns) == bool(cell.noise) and bool(rows) == bool(cell.methods):
            own_preset, own_val = None if preset else cell.preset, None if val else cell.val
            kept.append(replace(cell, noise=columns, methods=rows, preset=own_preset, val=own_val))
    return tuple(kept)

"""What a training step can change: tensors wherever a method keeps them, compared before and after, and put back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bench.training.metrics import Traces

Place = tuple[str, Any, Any, Tensor]  # name, container, key, what is there


def places(roots: Sequence[Any]) -> Iterator[Place]:
    """Every tensor in modules, traces, dicts, lists and tuples below the roots, by its container and its key there."""
    seen: set[int] = set()
    for root in roots:
        yield from _inside(root, "", seen)


def _inside(thing: Any, path: str, seen: set[int]) -> Iterator[Place]:
    content: Any = vars(thing) if isinstance(thing, nn.Module | Traces) else thing
    if id(thing) in seen or not isinstance(content, dict | list | tuple):
        return
    seen.add(id(thing))
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for number, (key, value) in enumerate(items):
        word = str(key) if isinstance(key, str | int) else str(number)
        name = path if word in ("_modules", "_parameters", "_buffers") else f"{path}.{word}".strip(".")
        if isinstance(value, Tensor):
            yield name, content, key, value
        else:
            yield from _inside(value, name, seen)


def reached(step: Any) -> list[Any]:
    """What a function of a pass holds beside its arguments: of a closure its cells, of a partial what was given."""
    if isinstance(step, partial):
        return [list(step.args), step.keywords, *reached(step.func)]
    found = []
    for cell in getattr(step, "__closure__", None) or ():
        with suppress(ValueError):  # not filled yet
            found.append([cell.cell_contents])
    return found


def bound(roots: Sequence[Any]) -> dict[tuple[int, Any], tuple[str, Tensor]]:
    """Which tensor stands at each place, with the place's name."""
    return {(id(holder), key): (name, tensor) for name, holder, key, tensor in places(roots)}


def numbers(module: nn.Module) -> dict[str, Any]:
    """The plain numbers, words and flags of a module and of those in it, by name."""
    return {
        f"{name}.{key}".strip("."): value
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if isinstance(value, bool | int | float | str)
    }


class Snapshot:
    """Copies of all tensors below some roots, and of the states of generators."""

    def __init__(self, roots: Sequence[Any], generators: Sequence[torch.Generator]) -> None:
        self._places = list(places(roots))
        self._values = [tensor.detach().clone() for *_, tensor in self._places]
        self._generators = [(generator, generator.get_state()) for generator in generators]

    @torch.no_grad()
    def restore(self) -> None:
        """Put every tensor back to its place with its value, and every generator to its state."""
        for (_, holder, key, tensor), value in zip(self._places, self._values, strict=True):
            if holder[key] is not tensor:
                holder[key] = tensor
            tensor.copy_(value)
        for generator, state in self._generators:
            generator.set_state(state)

    def difference(self) -> tuple[str, float] | None:
        """The place that differs most from its copy, and by how much (NaN equals NaN); None where none does."""
        worst: tuple[str, float] | None = None
        for (name, holder, key, _), value in zip(self._places, self._values, strict=True):
            now = holder[key].detach()
            if now.shape != value.shape or now.dtype != value.dtype:
                return name, float("inf")
            same = (now == value) | ((now != now) & (value != value))
            if not bool(same.all()):
                apart = (now.double() - value.double()).abs().nan_to_num(nan=float("inf"))
                most = float(torch.where(same, 0.0, apart).max())
                if worst is None or most > worst[1]:
                    worst = name, most
        if worst is None and any(not torch.equal(g.get_state(), state) for g, state in self._generators):
            return "the state of a generator", float("inf")
        return worst

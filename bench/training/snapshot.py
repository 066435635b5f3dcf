"""What a training step can change: tensors wherever a method keeps them, compared before and after, and put back."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bench.training.metrics import Traces
from methods.base import Task

MOST = 100_000  # entries of a container that is looked into
INNER = ("_modules", "_parameters", "_buffers")  # where a torch module keeps what its users call attributes
# the packages whose objects are not looked into: ours are data and tasks, torch's optimizers and generators
CLOSED = {*sys.stdlib_module_names, "bench", "numpy", "torch"}
Place = tuple[str, Any, Any, Tensor]  # name, container, key, what is there


def places(roots: Sequence[Any]) -> Iterator[Place]:
    """Every tensor in modules, traces, dicts, lists, tuples and plain objects below the roots, by container and key."""
    for holder, entries in _holders(roots):
        yield from ((name, holder, key, value) for name, key, value in entries if isinstance(value, Tensor))


def numbers(roots: Sequence[Any]) -> dict[str, Any]:
    """The plain numbers, words and flags where `places` looks for tensors, and the lengths of containers, by name."""
    found: dict[str, Any] = {}
    for _, entries in _holders(roots):
        for name, key, value in entries:
            if isinstance(value, bool | int | float | str):
                found[name] = value
            elif isinstance(value, dict | list | tuple) and key not in INNER:
                found[f"len({name})"] = len(value)
    return found


def _holders(roots: Sequence[Any]) -> Iterator[tuple[Any, list[tuple[str, Any, Any]]]]:
    """Every container below the roots once, with name, key and value of what is in it; of an object its attributes."""
    left: deque[tuple[str, Any]] = deque(("", root) for root in roots)
    seen: set[int] = set()
    while left:
        path, thing = left.popleft()
        holder = vars(thing) if _open(thing) else thing
        if isinstance(holder, dict | list | tuple) and id(holder) not in seen and len(holder) <= MOST:
            seen.add(id(holder))
            entries = _entries(holder, path)
            yield holder, entries
            left.extend((name, value) for name, _, value in entries)


def _open(thing: Any) -> bool:
    """Whether the attributes of an object are looked at: of modules, traces, and what a method has made for itself."""
    if isinstance(thing, nn.Module | Traces):
        return True
    kind = type(thing)
    closed = issubclass(kind, Task | type) or kind.__module__.partition(".")[0] in CLOSED
    return hasattr(thing, "__dict__") and not closed and not isinstance(thing, dict | list | tuple)


def _entries(holder: Any, path: str) -> list[tuple[str, Any, Any]]:
    found = []
    for number, (key, value) in enumerate(holder.items() if isinstance(holder, dict) else enumerate(holder)):
        word = str(key) if isinstance(key, str | int) else str(number)
        found.append((path if word in INNER else f"{path}.{word}".strip("."), key, value))
    return found


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

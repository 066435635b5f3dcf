"""Clocks whose numbers lie on a device: of a step there, and of one that is recorded once and replayed many times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import reduce
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from methods.base import Clock

Function = Callable[[Clock], Any]


class Scalar(Tensor):
    """A 0-d float64 tensor that meets other tensors as a Python number would: it takes their dtype.

    Without this a 0-d float32 loss times a 0-d float64 weight would be float64, and other bits. The bits are those of
    the number with float32 and float64; tensors of half precision would meet the number itself with more digits.
    """

    plain: Tensor  # the same number as a tensor like any other

    @classmethod
    def of(cls, plain: Tensor) -> Scalar:
        """Let a tensor behave so; both share memory."""
        scalar = plain.as_subclass(cls)
        scalar.plain = plain
        return scalar

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            leaves, form = tree_flatten((args, kwargs or {}))
            others = [leaf.dtype for leaf in leaves if isinstance(leaf, Tensor) and not isinstance(leaf, Scalar)]
            floating = [dtype for dtype in others if dtype.is_floating_point]
            kind = reduce(torch.promote_types, floating or [torch.get_default_dtype()] if others else [torch.float64])
            plain = [leaf.plain.to(kind) if isinstance(leaf, Scalar) else leaf for leaf in leaves]
            args, kwargs = tree_unflatten(plain, form)
            found = func(*args, **kwargs)
            alone = isinstance(found, Tensor) and found.ndim == 0 and found.dtype == torch.float64
            return Scalar.of(found) if alone and not others else found


def placed(found: Any, device: torch.device) -> Any:
    """What a function of the clock has found, on a device without waiting for it; on the CPU it stays as it is."""
    if device.type == "cpu":
        return found
    if isinstance(found, tuple):
        return tuple(placed(part, device) for part in found)
    if isinstance(found, Tensor):
        return found.to(device, non_blocking=True)
    return Scalar.of(torch.full((), found, dtype=torch.float64, device=device))


class _Derived(Clock):
    """A clock made from another one, which its `real` is."""

    __setattr__ = object.__setattr__  # the constructors below fill in what a frozen clock would refuse

    def __init__(self, real: Clock, device: torch.device) -> None:
        self.real, self.device = real, device
        for field in fields(Clock):  # a property that stands for a field in a class below takes no value
            if not isinstance(getattr(type(self), field.name), property):
                setattr(self, field.name, getattr(real, field.name))

    def value(self, function: Function) -> Any:
        return placed(function(self.real), self.device)


class DeviceClock(_Derived):
    """The clock of a step that runs on a device: its numbers are made there as for a replayed step, to the bit."""


class Noting(_Derived):
    """The clock of a step that runs as ever, noting which functions it asks for and whether it reads what changes."""

    def __init__(self, real: Clock, device: torch.device) -> None:
        super().__init__(real, device)
        self.asked: list[Function] = []
        self.read: list[str] = []

    def value(self, function: Function) -> Any:
        self.asked.append(function)
        return super().value(function)

    @property
    def step(self) -> int:
        self.read.append("step")
        return self.real.step

    @property
    def progress(self) -> float:
        self.read.append("progress")
        return self.real.progress


class Recorded(_Derived):
    """The clock of a step that is being recorded: what changes from step to step it gives by `value` alone."""

    def __init__(self, real: Clock, device: torch.device, answers: Sequence[Any]) -> None:
        super().__init__(real, device)
        self._left = iter(answers)

    def value(self, function: Function) -> Any:
        try:
            return next(self._left)
        except StopIteration:
            raise RuntimeError("a step asks for more values of the clock than the one before it did") from None

    @property
    def step(self) -> int:
        self._refuse("step")

    @property
    def progress(self) -> float:
        self._refuse("progress")

    def _refuse(self, name: str) -> NoReturn:
        raise RuntimeError(f"clock.{name} stands still in a recorded step: {instead(name)}")


def instead(name: str) -> str:
    """What to write in place of reading a field that changes with every step."""
    return f"write clock.value(lambda now: ... now.{name} ...)"


class Table:
    """The values that a step asks for, of all steps of a pass: one row is shown at a time, always at the same place."""

    def __init__(self, asked: Sequence[Function], clocks: Sequence[Clock], device: torch.device) -> None:
        """Ask each function for each clock, and copy all answers to the device; the first row is shown.

        RuntimeError where the shapes of one function's answers differ.
        """
        self._columns: list[Tensor] = []
        self._shown: list[Tensor] = []
        self.answers = [self._column([function(clock) for clock in clocks], device) for function in asked]

    def _column(self, values: list[Any], device: torch.device) -> Any:
        if isinstance(values[0], tuple):
            return tuple(self._column(list(part), device) for part in zip(*values, strict=True))
        exact = isinstance(values[0], Tensor)
        rows = torch.stack(values) if exact else torch.tensor(values, dtype=torch.float64)
        column = rows.to(device)
        shown = column[0].clone()
        self._columns.append(column)
        self._shown.append(shown)
        return shown if exact else Scalar.of(shown)

    def show(self, row: int) -> None:
        """Show the values of the clock number `row` of those given."""
        for column, shown in zip(self._columns, self._shown, strict=True):
            shown.copy_(column[row])

"""How to learn from wrong labels.  K networks, B samples in a batch, C classes, N training samples, V views.

Names are looked up on first use, so that `methods.registry` can be read without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from methods.base import (
        Batch,
        Clock,
        Judgement,
        LossMethod,
        Method,
        Needs,
        Pass,
        Step,
        Task,
        UndeclaredNeed,
        zip_cycle,
    )
    from methods.card import Card
    from methods.registry import available, create, describe, register

_HOMES = {
    "base": (
        *("Batch", "Clock", "Judgement", "LossMethod", "Method", "Needs", "Pass", "Step", "Task"),
        *("UndeclaredNeed", "zip_cycle"),
    ),
    "card": ("Card",),
    "registry": ("available", "create", "describe", "register"),
}

__all__ = [
    "Batch",
    "Card",
    "Clock",
    "Judgement",
    "LossMethod",
    "Method",
    "Needs",
    "Pass",
    "Step",
    "Task",
    "UndeclaredNeed",
    "available",
    "create",
    "describe",
    "register",
    "zip_cycle",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"methods.{home}"), name)
    raise AttributeError(f"module 'methods' has no attribute {name!r}")

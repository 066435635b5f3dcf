"""What a method may know: declared facts and observed labels, and never a clean label."""

from __future__ import annotations

import dataclasses
import gc
from collections import deque
from collections.abc import Sequence
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

from bench.contract import world
from bench.contract.checks import Violation, about, listed, refused, require
from bench.contract.outputs import member
from bench.contract.world import SmallTrainer
from bench.data.noisy import frozen
from bench.data.prepare import Prepared, assemble
from methods.base import UndeclaredNeed

check = about("what it may know")
FACTS = ("noise_rate", "noise_type", "transition")
SPLITS = {"val": "noisy_val", "trusted": "trusted"}  # by the fact that grants them
FEWEST = 20  # things that a search of references passes in any method


@check("undeclared", "a fact that it does not declare cannot be reached, and the error says what to declare")
def undeclared(spec: str) -> None:
    trainer = world.trainer(spec)
    task: Any = trainer.task
    declared = trainer.method.needs.declared()
    change = "read facts through self.task alone, and replace neither the task nor what it holds"
    for fact in FACTS:
        if fact in declared:
            getattr(task, fact)
            continue
        pattern = rf"{fact}.* add needs = Needs\({fact}=True\)"
        did = refused(UndeclaredNeed, pattern, getattr, task, fact)
        require(not did, f"task.{fact} was not refused: {did}", change, "setup")
    for split, fact in SPLITS.items():
        if fact not in declared:
            for name, reach in (("labels", task.labels), ("loader", task.loader)):
                did = refused(UndeclaredNeed, rf"{split}.* Needs\({fact}=", reach, split=split)
                require(not did, f"task.{name}(split={split!r}) was not refused: {did}", change, "setup")


@check("references", "no path of references leads from it to a clean label")
def references(spec: str) -> None:
    trainer = world.trainer(spec)
    secrets = [*trainer.data.clean.values(), trainer.data.test_labels]
    change = "keep nothing of the runner: what a method may know comes through self.task and its batches"
    found = _reachable(trainer)
    for path, thing in found:
        require(thing is not trainer.data, f"{path} is the data of the run, clean labels and all", change, "setup")
        require(not _equal(thing, secrets), f"{path} holds clean labels", change, "setup")
    require(len(found) > FEWEST, f"only {len(found)} things can be reached from it", "hold them as attributes", "setup")
    trainer.epoch()
    # by now a method may have found out true labels by itself: equal ones are no theft, the same memory is
    for path, thing in _reachable(trainer):
        stolen = thing is trainer.data or _shared(thing, secrets)
        require(not stolen, f"after an epoch {path} leads to clean labels", change, member(trainer))


def _equal(thing: Any, secrets: Sequence[torch.Tensor]) -> bool:
    """Whether a tensor or an array holds the labels of a split."""
    if isinstance(thing, np.ndarray):
        return any(np.array_equal(thing, known.numpy()) for known in secrets)
    same = isinstance(thing, torch.Tensor)
    return same and any(thing.shape == known.shape and torch.equal(thing.long(), known) for known in secrets)


def _shared(thing: Any, secrets: Sequence[torch.Tensor]) -> bool:
    """Whether a tensor or an array lies in the memory of the labels of a split, as a view of them does."""
    if isinstance(thing, np.ndarray):
        return any(np.shares_memory(thing, known.numpy()) for known in secrets)
    if not isinstance(thing, torch.Tensor) or not thing.numel() or thing.layout != torch.strided:
        return False
    place = thing.untyped_storage().data_ptr()
    return any(place == known.untyped_storage().data_ptr() for known in secrets if known.numel())


def _reachable(trainer: SmallTrainer) -> list[tuple[str, Any]]:
    """Whatever can be reached from method and task, each thing once, with the way to it."""
    todo: list[tuple[str, Any]] = [("self", trainer.method), ("self.task", trainer.task)]
    seen: dict[int, tuple[str, Any]] = {}
    while todo:
        path, thing = todo.pop()
        if id(thing) in seen or isinstance(thing, type | ModuleType | str | int | float):
            continue
        seen[id(thing)] = (path, thing)
        if not isinstance(thing, torch.Tensor | np.ndarray) and thing is not trainer.data:
            todo += [(path + step, value) for step, value in _parts(thing)]
    return list(seen.values())


def _slots(kind: type) -> Sequence[str]:
    names = vars(kind).get("__slots__", ())
    return (names,) if isinstance(names, str) else tuple(names)


def _parts(thing: Any) -> list[tuple[str, Any]]:
    """What a thing holds, each with the step that leads to it: items, attributes, and what a function closes over."""
    if isinstance(thing, dict):
        return [(f"[{key!r}]", value) for key, value in thing.items()]
    if isinstance(thing, list | tuple | set | frozenset | deque):
        return [(f"[{number}]", value) for number, value in enumerate(thing)]
    parts = list(getattr(thing, "__dict__", {}).items())
    slots = [name for kind in type(thing).__mro__ for name in _slots(kind)]
    parts += [(name, getattr(thing, name)) for name in slots if name[:2] != "__" and hasattr(thing, name)]
    if isinstance(thing, FunctionType):
        cells = zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=True)
        parts += [(name, value) for name, cell in cells for value in gc.get_referents(cell)]
        parts += [(name, getattr(thing, name)) for name in ("__defaults__", "__kwdefaults__")]
    elif isinstance(thing, MethodType):
        parts += [("__self__", thing.__self__), ("__func__", thing.__func__)]
    elif isinstance(thing, partial):
        parts += [("func", thing.func), ("args", thing.args), ("keywords", thing.keywords)]
    return [(f".{name}", value) for name, value in parts]


@check(
    "clean-labels",
    "other clean labels in the runner's hands leave every weight as it is",
    cases=("reversed", "constant"),
    after=("repetition",),
)
def clean_labels(spec: str, case: str) -> None:
    data = world.blobs()
    honest = world.finish(world.trainer(spec))
    run = honest.config
    corruption = frozen(data, run.noise, None)
    assert corruption.clean is not None
    garbage = corruption.clean[::-1].copy() if case == "reversed" else np.zeros_like(corruption.clean)
    other: Prepared
    if honest.method.needs.trusted:  # these are given true labels on purpose: they stay, and nothing else may matter
        clean = {name: torch.zeros_like(labels) for name, labels in honest.data.clean.items()}
        other = dataclasses.replace(honest.data, clean=clean)
    else:
        other = assemble(run, data, dataclasses.replace(corruption, clean=garbage), world.CPU)
    other.facts = honest.data.facts  # the rate that a method may be told is a fact about the clean labels
    other.test_labels = torch.zeros_like(other.test_labels)
    fooled = world.finish(world.trainer(spec, other))
    found, wanted = world.bits(fooled), world.bits(honest)
    require(
        found.pop("payload") != wanted["payload"],
        f"with clean labels {case} the record is as it was, so that nothing can be told of what it knows",
        "leave the trainer's record of wrong and right labels to the trainer",
        member(fooled),
    )
    differ = [name for name, value in found.items() if wanted[name] != value]
    if differ:
        raise Violation(
            f"with clean labels {case} {listed(differ)} came out differently: it looks at labels it must not see",
            "learn from batch.y, task.labels() and the facts in `needs`; look at nothing of the runner",
            member(fooled),
        )

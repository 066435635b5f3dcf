"""What a method is: how it is made, what is said of it, and which settings it takes."""

from __future__ import annotations

import builtins
import dataclasses
import inspect
import io
import os
import random
import re
import reprlib
import sys
import traceback
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

from bench import config as cfg
from bench.contract.checks import Violation, about, listed, refused, require
from bench.data import datasets
from bench.sweep.planning import grid
from bench.sweep.planning.recipes import uniform
from bench.training.catalog import NETWORKS
from methods import registry
from methods.base import Needs

check = about("what it is")
CITED = re.compile(r"arXiv:\d{4}\.\d{4,5}|doi:10\.\d{4,9}/")  # by a method from elsewhere, in its file
TRUSTED = 1000  # samples with true labels in the runs that presets plan; nothing is trained


def generators() -> list[tuple[str, Any]]:
    """The states of the global generators, each under its owner's name."""
    _, key, *rest = np.random.get_state()  # noqa: NPY002 - only read
    numpy_state = (np.asarray(key).tolist(), *rest)
    return [("torch", torch.get_rng_state().tolist()), ("random", random.getstate()), ("numpy.random", numpy_state)]


def moved(before: list[tuple[str, Any]]) -> list[str]:
    """The global generators that were drawn from since."""
    return [name for (name, old), (_, now) in zip(before, generators(), strict=True) if old != now]


@check(
    "construction",
    "made from its defaults it draws no number, opens no file and makes no network",
    fundamental=True,
)
def construction(spec: str) -> None:
    cls, overrides = registry.load(spec)
    before = generators()

    with _openings() as calls:
        method = cls(**overrides)
    if calls:  # told here, for what is raised where a file is opened a method may catch
        change = "read files in setup, or not at all"
        raise Violation("construction opened a file", change, "__post_init__", calls)
    drawn = moved(before)
    change = "do nothing but store in the constructor: networks, optimisers and memories belong into setup"
    require(not drawn, f"construction drew from {listed(drawn)}", change, "__post_init__")
    made = list(method.state_dict())
    require(not made, f"after construction the state holds {listed(made)}", change, "__post_init__")


@contextmanager
def _openings() -> Iterator[list[traceback.FrameSummary]]:
    """The frames, outermost first, that led to the first opening of a file within; none where there was no such."""
    calls: list[traceback.FrameSummary] = []

    def noting(real: Callable[..., Any]) -> Callable[..., Any]:
        def opened(*args: Any, **named: Any) -> Any:
            if not calls:
                calls.extend(traceback.extract_stack())
            return real(*args, **named)

        return opened

    with (
        mock.patch.object(builtins, "open", noting(builtins.open)),
        mock.patch.object(io, "open", noting(io.open)),
        mock.patch.object(os, "open", noting(os.open)),
    ):
        yield calls


@check("identity", "it is compared by identity, so that torch can hash it")
def identity(spec: str) -> None:
    cls = registry.load(spec)[0]
    one, other = cls(), cls()
    change = "write @dataclass(eq=False) and no __eq__ or __hash__ of its own"
    require(one != other, "two methods of the same settings are equal", change, "__eq__")
    require(len({one, other}) == 2, "two methods are one element of a set", change, "__hash__")


@check("source", "it says in a line what it does, and names its paper")
def source(spec: str) -> None:
    info = registry.describe(spec)
    # one network, nothing to tune, nothing told: the control, which is nobody's invention
    control = info.num_networks == 1 and not info.fields and not info.needs
    own = spec in registry.available()
    cited = not own and CITED.search(f"{sys.modules[registry.load(spec)[0].__module__].__doc__} {info.summary}")
    change = (
        'write paper: ClassVar[str] = "arXiv:..." into the class, or cite arXiv:... or doi:... at the top of the file; '
        'of what has none: paper = "none: ..." and what it is'
    )
    require(bool(info.paper or control or cited), "`paper` is empty, and no paper is cited", change)
    change = "write a docstring under the class line: its first line says what the method does"
    require(bool(info.summary), "the class has no docstring", change)
    if own:
        change = (
            "fill the Card: title, equations, defaults; reference exactly where a field `compat` follows other code"
        )
        require(info.card is not None, "a registered method has no card", change)
        assert info.card is not None
        for part in ("title", "equations", "defaults"):
            require(bool(getattr(info.card, part)), f"its card has no {part}", change)
        compat = "compat" in [f.name for f in info.fields]
        require(bool(info.card.reference) == compat, "its card and the field `compat` disagree", change)


@check("description", "what is read from its source text is what the imported class says")
def description(spec: str) -> None:
    info = registry.describe(spec)
    cls: Any
    cls, overrides = registry.load(spec)
    for name, value in _unannotated(cls).items():
        kind = "..." if value is None else type(value).__name__
        raise Violation(
            f"`{name} = {reprlib.repr(value)}` has no annotation, so it is no hyper-parameter",
            f"write `{name}: {kind} = {reprlib.repr(value)}`; a constant is ClassVar[{kind}]",
            name,
        )
    hints = typing.get_type_hints(cls)
    real = {f.name: (hints[f.name], overrides.get(f.name, f.default)) for f in dataclasses.fields(cls)}
    names = vars(typing) | vars(sys.modules[cls.__module__])
    written = type("Written", (), {"__annotations__": {f.name: f.type for f in info.fields}})
    types = typing.get_type_hints(written, names)
    read = {f.name: (types[f.name], f.default) for f in info.fields}
    change = "declare hyper-parameters as plain fields of the dataclass, with literals as defaults"
    wrong = [name for name in [*real, *read] if real.get(name) != read.get(name)]
    require(not wrong, f"source and class differ in {listed(list(dict.fromkeys(wrong)))}", change)
    require([f.name for f in info.fields] == list(real), "source and class order the fields differently", change)
    silent = [f.name for f in info.fields if not f.meaning]
    change = "write what a hyper-parameter means behind its default: `drop: float = 0.4  # share dropped, in [0, 1)`"
    require(not silent, f"nothing is said of {listed(silent)}", change)
    same = {
        "paper": (info.paper, cls.paper),
        "num_networks": (info.num_networks, cls.num_networks),
        "needs": (list(info.needs), cls.needs.declared()),
        "presets": (info.presets, cls.presets),
        "card": (info.card, cls.card),
        "shortest": (info.shortest, cls.shortest),
    }
    if info.summary:  # without a docstring the dataclass writes one; the check of the source says so
        same["its summary"] = (info.summary, (inspect.getdoc(cls) or "").split("\n")[0])
    change = "state it once, in the body of the class, and assign nothing to it afterwards"
    for name, (told, true) in same.items():
        require(told == true, f"the source says {told!r} of {name}, the class {true!r}", change)
    created = registry.create(spec)
    found, wanted = {name: getattr(created, name) for name in real}, info.resolve({})
    wrong = [name for name in found if found[name] != wanted[name]]
    change = "leave fields as they are given: what follows from them goes into another attribute"
    require(
        not wrong, f"created by default, {listed(wrong)} has another value than its default", change, "__post_init__"
    )


def _unannotated(cls: type) -> dict[str, Any]:
    """Values that a class sets under public names which neither it nor a base declares."""
    declared = inspect.get_annotations(cls)
    return {
        name: value
        for name, value in vars(cls).items()
        if not (name.startswith("_") or name in declared or any(hasattr(base, name) for base in cls.__bases__))
        and not (isinstance(value, type) or hasattr(value, "__get__"))  # functions, properties and the like
    }


@check("shadows", "no hyper-parameter bears the name of an attribute of nn.Module")
def shadows(spec: str) -> None:
    taken = [f.name for f in registry.describe(spec).fields if hasattr(nn.Module(), f.name)]
    require(not taken, f"nn.Module has {listed(taken)} already", "give the hyper-parameter another name")


@check("refusal", "a wrong hyper-parameter is refused, and the nearest one is named")
def refusal(spec: str) -> None:
    change = "take hyper-parameters as fields of the dataclass alone, and swallow no others"
    fields = registry.describe(spec).fields
    for field in fields:
        if field.name + "x" in [other.name for other in fields]:
            continue
        pattern = f"has no hyper-parameter .*did you mean '{field.name}'"
        did = refused(ValueError, pattern, registry.create, spec, **{field.name + "x": 1})
        require(not did, f"given {field.name}x: {did}", change)
    did = refused(ValueError, "has no hyper-parameter 'zzz'", registry.create, spec, zzz=1)
    require(not did, f"given zzz: {did}", change)
    did = refused(TypeError, "zzz", registry.load(spec)[0], zzz=1)
    require(not did, f"the class, given zzz: {did}", change, "__init__")


@check("presets", "every preset makes a run")
def presets(spec: str) -> None:
    info = registry.describe(spec)
    trusted = TRUSTED if "trusted" in info.needs else 0
    for preset, recipe in info.presets.items():
        try:
            _preset(spec, info, preset, trusted)
            made = registry.create(spec, **recipe.get("params", {}))
        except ValueError as error:
            raise Violation(f"preset {preset!r}: {error}", "mend the entry of `presets`") from error
        require(bool(made), f"preset {preset!r} makes a method that counts as empty", "define no __len__ or __bool__")


def _preset(spec: str, info: registry.MethodInfo, preset: str, trusted: int) -> None:
    recipe = info.presets[preset]
    name, _, dataset = preset.partition(":")
    known = not dataset or dataset in datasets.available()
    require(known, f"preset {preset!r} is for a data set that nobody knows", "see `list datasets`")
    if name == "uniform":  # one recipe for all: a method may say what suits its length, and nothing else
        change = 'write "uniform:DATASET": {"params": {...}}; other settings belong to a preset of another name'
        require(bool(dataset) and recipe.keys() == {"params"}, f"preset {preset!r} sets more than params", change)
        return
    suite = grid.Suite("s", "cifar10", ("symmetric:0.2",), (spec,), seeds=(0,), preset=name, trusted=trusted)
    require(name in info.presets, f"{preset!r} adds to a preset that is not there", f"add {name!r} to `presets`")
    (planned,) = grid.expand(suite)
    require(planned.config.train.preset == name, f"preset {preset!r} plans another one", "mend the entry of `presets`")
    settings = {key: value for key, value in grid.merge(info.presets[name], recipe).items() if key != "params"}
    whole = grid.merge(uniform(planned.info), settings)
    if whole["precision"] == grid.AUTO:  # the machine chooses
        whole["precision"] = "float32"
    network = cfg.typed(cfg.TrainConfig, whole, preset).network
    require(network in NETWORKS, f"preset {preset!r} names the network {network!r}", "see `list networks`")


@check("declaration", "needs are declared on the class, and its module says what it is")
def declaration(spec: str) -> None:
    cls: Any = registry.load(spec)[0]
    change = "write needs: ClassVar[Needs] = Needs(...) into the class"
    require(isinstance(cls.__dict__.get("needs", Needs()), Needs), "`needs` is no Needs", change)
    require("needs" not in [f.name for f in dataclasses.fields(cls)], "`needs` is a hyper-parameter", change)
    told = sys.modules[cls.__module__].__doc__
    require(bool(told), "its module has no docstring", "name the method and its paper at the top of the file")

"""A suite (datasets x noise x methods x seeds, in a small TOML file or by flags) becomes the list of its runs.

Nothing here imports torch: what a method's defaults are is read from its source.
"""

from __future__ import annotations

import contextlib
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

from bench import config as cfg
from bench import hardware
from bench.data import datasets
from bench.data.attachments import pinned
from bench.data.datasets import DatasetInfo
from bench.files import NAME_PATTERN, check_name, parse, read_regular, sha256
from bench.names import unknown
from bench.sweep.planning.recipes import base
from bench.sweep.planning.tailoring import Cells, without
from bench.training.catalog import NETWORKS, SMALLEST_SIDE
from methods import registry
from noise import NoiseSpec, family_of

SUITES = Path(__file__).resolve().parents[2] / "suites"
DEFAULT = "quickstart"
MOST_SEEDS = 10_000  # of one range: a slip of the finger must not fill the memory
AUTO = "auto"  # the precision of a recipe that leaves it to the machine on which a suite is begun
# what came later is written only where it is set: suites that were stored before it keep their digests
_LATER: dict[str, Any] = {"published": "", "rule": "", "cells": ()}


@dataclass(frozen=True)
class Suite:
    """What somebody asked for, before defaults are resolved."""

    name: str
    dataset: str
    noise: tuple[str, ...]  # "family:rate", further "key=value" parts after colons
    methods: tuple[str, ...]  # registered names, or "file.py:Class"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    title: str = ""
    noise_seed: int | None = None  # None: each seed draws its own wrong labels, the same for all methods
    preset: str = "uniform"
    baseline: str | None = None  # method that the table compares the others with; None: the first
    val: float = 0.1
    train_limit: int | None = None
    test_limit: int | None = None
    trusted: int = 0  # samples with true labels, taken out of training for the methods that ask for them
    train: dict[str, Any] = field(default_factory=dict)  # overrides of the recipe
    params: dict[str, dict[str, Any]] = field(default_factory=dict)  # method -> hyper-parameters
    published: str = ""  # table of results/published that it is for
    rule: str = ""  # the epoch that counts where that table does not tell its own
    cells: tuple[Cells, ...] = ()  # of the table, with settings of their own

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        data: dict[str, Any] = cfg.plain({k: v for k, v in vars(self).items() if k not in _LATER or v != _LATER[k]})
        return data


@dataclass(frozen=True)
class Planned:
    """One run to do."""

    config: cfg.RunConfig
    spec: str  # what methods.registry.load takes
    run_id: str
    noise: str  # the noise as the suite writes it
    networks: int  # trained in this run: its cost in epochs of one network
    info: DatasetInfo
    defaults: dict[str, Any] = field(default_factory=dict)  # hyper-parameters where nobody sets any: the preset's
    auto: bool = False  # its precision is for the machine to choose, or was


def available() -> list[str]:
    """Names of the suites that come with the harness."""
    return sorted(path.stem for path in SUITES.glob("*.toml"))


def load(name: str, results: Path | None = None) -> Suite:
    """A suite by name, from a .toml file, or as an earlier run stored it under `results`.

    Raises ValueError, naming file and key, for whatever does not make a suite.
    """
    if name in available():
        return _read(SUITES / f"{name}.toml", name)
    if name.endswith(".toml") or "/" in name:
        path = Path(name).expanduser()
        if not path.is_file():
            raise ValueError(f"there is no suite file {name}")
        return _read(path, path.stem)
    stored = sorted((results / "suites" / name).glob("*.json")) if results and NAME_PATTERN.match(name) else []
    if len(stored) > 1:
        versions = ", ".join(path.stem for path in stored)
        raise ValueError(f"suite {name!r} was run in {len(stored)} versions ({versions}): name its .toml file instead")
    if stored:
        return read_stored(stored[0], name)
    known = set(available())
    if results and (results / "suites").is_dir():
        known |= {path.name for path in (results / "suites").iterdir()}
    raise unknown("suite", name, known)


def _read(path: Path, name: str) -> Suite:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path}: not a TOML file: nested too deeply") from None
    except ValueError as error:  # broken TOML, another encoding, a number of thousands of digits
        raise ValueError(f"{path}: not a TOML file: {error}") from error
    return _suite(data, str(path), name)


def read_stored(path: Path, name: str) -> Suite:
    """A suite that an earlier run stored under its digest; ValueError, naming the file, if it is damaged."""
    try:
        data = parse(read_regular(path))
    except ValueError as error:
        raise ValueError(f"{path}: damaged: {error}") from error
    return _suite(data if isinstance(data, dict) else {}, str(path), name)


def _suite(data: dict[str, Any], where: str, name: str) -> Suite:
    try:
        data = {"name": name, **data}
        if isinstance(data.get("seeds"), str):
            data["seeds"] = parse_seeds([data["seeds"]])
        suite: Suite = cfg.typed(Suite, data, "suite")
        if not NAME_PATTERN.match(suite.name):
            raise ValueError(
                f"suite name {suite.name!r} must start with a letter or digit and hold only those, '.', '_', '-'"
            )
        for key in ("noise", "methods", "seeds"):
            if not getattr(suite, key):
                raise ValueError(f"suite.{key} is empty")
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return suite


def parse_seeds(words: Iterable[str]) -> tuple[int, ...]:
    """Seeds of words like "0-4", "7" or "1,3"; ascending as given, each once."""
    seeds: list[int] = []
    for word in ",".join(words).split(","):
        first, dash, last = word.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"seeds are whole numbers or ranges such as 0-4, got {word!r}")
        if dash and int(last) < int(first):
            raise ValueError(f"no seeds in {word!r}: a range goes upwards, as in 0-4")
        if int(last or first) - int(first) >= MOST_SEEDS:
            raise ValueError(f"a range holds at most {MOST_SEEDS:,} seeds, got {word!r}")
        seeds += range(int(first), int(last or first) + 1)
    return tuple(dict.fromkeys(seeds))


def custom(suite: Suite, **changes: Any) -> Suite:
    """`suite` with changes; a changed one gets a name of its own, so that it never overwrites another's tables."""
    if suite.cells:
        changes["cells"] = _cells_left(suite, changes)
    changed = {key: value for key, value in changes.items() if value is not None and value != getattr(suite, key)}
    if not changed:
        return suite
    result = replace(suite, **changed)
    if result.baseline is not None and result.baseline not in result.methods:
        result = replace(result, baseline=None)
    # not `canonical`, which refuses a NaN without saying where: `expand` names the setting
    digest = sha256(json.dumps(result.to_dict(), sort_keys=True, separators=(",", ":")).encode())[:6]
    return replace(result, name=f"{suite.name[:57]}-{digest}")  # a name has at most 64 characters


def _cells_left(suite: Suite, changes: Mapping[str, Any]) -> tuple[Cells, ...]:
    gone: dict[str, set[str]] = {}  # names that no table has had are left in, for `plan` to refuse
    for key in ("noise", "methods"):
        gone[key] = set(getattr(suite, key)) - set(changes.get(key) or getattr(suite, key))
    asked = {key: changes.get(key) is not None for key in ("preset", "val")}
    names = {registry.describe(spec).name for spec in gone["methods"]}
    return without(suite.cells, gone["noise"], names, **asked)


def assignments(words: Sequence[str], methods: Sequence[str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Split words like "epochs=5", "optimizer.lr=.1" (training) and "METHOD.eta=.3" (a method's hyper-parameter)."""
    train: dict[str, Any] = {}
    params: dict[str, dict[str, Any]] = {}
    names = {registry.describe(spec).name for spec in methods} if words else set()
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"--set takes key=value, such as epochs=10 or optimizer.lr=0.01; got {word!r}")
        owner, _, name = key.rpartition(".")
        if owner in names:
            table = params.setdefault(owner, {})
        elif not owner:
            table = train
        elif owner in ("optimizer", "schedule"):
            table = train.setdefault(owner, {})
            if not isinstance(table, dict):
                raise ValueError(f"--set {owner} takes a table; for another {owner} write {owner}.name={table}")
        else:
            raise unknown("method or table in --set", owner, {*names, "optimizer", "schedule"})
        if name in table:
            raise ValueError(f"--set gives {key!r} twice")
        table[name] = _value(text)
    return train, params


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except RecursionError:
        raise ValueError(f"--set: nested too deeply: {text:.20}...") from None
    except ValueError:  # a bare word, or a number such as .5
        with contextlib.suppress(ValueError):
            return float(text)
        return {"none": None, "null": None}.get(text.lower(), text)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, tables merged; a table that names another kind replaces the old one whole."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if (
            isinstance(value, Mapping)
            and isinstance(old, Mapping)
            and value.get("name", old.get("name")) == old.get("name")
        ):
            merged[key] = merge(old, value)
        else:
            merged[key] = value
    return merged


def expand(suite: Suite, data_dir: Path | None = None) -> list[Planned]:
    """The runs of `plan` as this machine would begin them, which may have to be asked for its precision."""
    return settle(plan(suite, data_dir), lambda: hardware.choose().precision)


def settle(runs: Iterable[Planned], choose: Callable[[], str]) -> list[Planned]:
    """The runs, in the precision of `choose` where their recipe leaves it open; it is asked once at most."""
    asked = cache(choose)  # of a GPU it takes a process to know anything
    return [_in(run, asked()) if run.auto else run for run in runs]


def _in(run: Planned, precision: str) -> Planned:
    data = run.config.to_dict()
    config = cfg.RunConfig.from_dict({**data, "train": {**data["train"], "precision": precision}})
    return replace(run, config=config, run_id=config.run_id)


def plan(suite: Suite, data_dir: Path | None = None) -> list[Planned]:
    """Every run of a suite in table order, without asking the machine; ValueError if one makes no sense.

    Where the machine has to choose the precision stands float32, until `settle` puts in what was chosen. `data_dir` is
    looked at for data sets alone whose content is not known beforehand.
    """
    info = datasets.info(suite.dataset, data_dir)
    if suite.train_limit is not None and not 4 <= suite.train_limit <= info.train_size:
        raise ValueError(
            f"train_limit must be between 4 and {info.train_size:,}, the size of {info.name}; got {suite.train_limit}"
        )
    total = suite.train_limit or info.train_size
    for val in dict.fromkeys([suite.val, *(cells.val for cells in suite.cells if cells.val is not None)]):
        if 0 <= val < 1 and total - round(val * total) < 2:
            raise ValueError(f"val {val} leaves fewer than 2 of {total:,} samples to train on")
        if suite.trusted:
            _check_trusted(suite, info, total, val)
    specs = [resolved(text, info) for text in suite.noise]
    infos = [registry.describe(spec) for spec in suite.methods]
    _check_names(suite, infos)
    planned: dict[str, Planned] = {}
    for text, spec in zip(suite.noise, specs, strict=True):
        for method in infos:
            own = _tailored(suite, text, method.name)
            recipe = _recipe(own, method, info)
            defaults = method.resolve(recipe.get("params", {}))
            params = method.resolve({**recipe.get("params", {}), **own.params.get(method.name, {})})
            train, auto = _train(own, method, recipe, info)
            _check_possible(own, method, train, total)
            dataset = cfg.DatasetConfig(info.name, info.digest, own.val, own.train_limit, own.test_limit, own.trusted)
            for seed in suite.seeds:
                noise_seed = seed if suite.noise_seed is None else suite.noise_seed
                noise = cfg.NoiseConfig(**spec.to_dict(), seed=noise_seed)
                config = cfg.RunConfig(dataset, noise, cfg.MethodConfig(method.name, params), train, seed).checked()
                run = Planned(config, method.spec, config.run_id, text, method.num_networks, info, defaults, auto)
                planned.setdefault(config.run_id, run)
    return list(planned.values())


def _tailored(suite: Suite, noise: str, method: str) -> Suite:
    """The suite as it is for one cell of its table."""
    own = [cells for cells in suite.cells if cells.hold(noise, method)]
    if not own:
        return suite
    train: dict[str, Any] = {}
    params: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    for cells in own:
        train, params = merge(train, cells.train), params | cells.params
        changes |= {key: value for key in ("preset", "val") if (value := getattr(cells, key)) is not None}
    params |= suite.params.get(method, {})
    return replace(suite, **changes, train=merge(train, suite.train), params={method: params})


def _check_trusted(suite: Suite, info: DatasetInfo, total: int, val: float) -> None:
    if not info.true_labels:
        raise ValueError(f"trusted samples need true labels, and nobody knows those of {info.name}")
    if suite.trusted % info.num_classes or not 0 <= suite.trusted < total - round(val * total):
        raise ValueError(
            f"trusted must be a multiple of the {info.num_classes} classes, and leave some of {total:,} samples to "
            f"train on; got {suite.trusted}"
        )


def resolved(text: str, info: DatasetInfo) -> NoiseSpec:
    """The spec of `text` on a data set: its map, where none is named, and the content of the file that it names."""
    spec = NoiseSpec.parse(text)
    family = family_of(spec.family)
    if family.maps and spec.map is None:
        if info.asymmetric is None:
            raise ValueError(
                f"noise {text!r}: no map is usual for {info.name}; name one, as in {text}:map={family.maps[0]}; "
                f"available: {', '.join(family.maps)}"
            )
        spec = replace(spec, map=info.asymmetric)
    if not info.true_labels and not family.keeps_labels:
        raise ValueError(
            f"noise {text!r}: {info.name} comes with its own wrong labels, and nobody knows the true ones; write "
            "--noise none"
        )
    return pinned(spec)


def _check_names(suite: Suite, infos: Sequence[registry.MethodInfo]) -> None:
    names = [method.name for method in infos]
    for name in names:
        check_name("method", name)
        if names.count(name) > 1:
            raise ValueError(f"method {name!r} is named twice; two classes of one name need two names to share a table")
    for name in suite.params:
        if name not in names:
            raise unknown("method in params", name, names)
    for cells in suite.cells:
        for name in cells.methods:
            if name not in names:
                raise unknown("method in cells", name, names)
        for text in cells.noise:
            if text not in suite.noise:
                raise unknown("noise in cells", text, suite.noise)
    if suite.baseline is not None and suite.baseline not in names:
        raise unknown("baseline", suite.baseline, names)


def _recipe(suite: Suite, method: registry.MethodInfo, info: DatasetInfo) -> dict[str, Any]:
    """What the preset of a suite says of a method: its settings, then what differs on the data set."""
    have = dict.fromkeys(["uniform", *(name for name in method.presets if ":" not in name)])
    if suite.preset not in have:
        raise ValueError(f"method {method.name!r} has no preset {suite.preset!r}; it has {', '.join(have)}")
    own = method.presets.get(f"{suite.preset}:{info.name}", {})
    return merge(method.presets.get(suite.preset, {}), own)


def _check_possible(suite: Suite, method: registry.MethodInfo, train: cfg.TrainConfig, total: int) -> None:
    """ValueError where a method cannot run for want of epochs, or of samples that it must be given."""
    if 1 <= train.epochs < method.shortest:
        raise ValueError(
            f"method {method.name!r} has {method.shortest} phases: epochs must be at least that, got {train.epochs}"
        )
    if "trusted" in method.needs and not suite.trusted:
        raise ValueError(f"method {method.name!r} learns from samples with true labels too: give it --trusted N")
    if "noisy_val" in method.needs and suite.val * total <= 0.5:  # which is rounded to no sample
        raise ValueError(
            f"method {method.name!r} needs validation samples with noisy labels: val must hold some out, "
            f"got {suite.val}"
        )


def _train(
    suite: Suite, method: registry.MethodInfo, recipe: Mapping[str, Any], info: DatasetInfo
) -> tuple[cfg.TrainConfig, bool]:
    """How a method is trained, and whether its precision is left to the machine."""
    settings = merge(base(info, suite.preset), {key: value for key, value in recipe.items() if key != "params"})
    settings = merge(settings, suite.train)
    if settings["network"] not in NETWORKS:
        raise unknown("network", settings["network"], NETWORKS)
    (_, height, width), smallest = info.shape, SMALLEST_SIDE[settings["network"]]
    if min(height, width) < smallest:
        raise ValueError(
            f"network {settings['network']!r} needs images of at least {smallest} x {smallest} pixels, "
            f"but {info.name} has {height} x {width} (preset {suite.preset} of {method.name}); "
            "see: run_bench.py list networks"
        )
    auto = settings.get("precision") == AUTO
    if auto:
        del settings["precision"]
    elif "precision" in settings and settings["precision"] not in (known := get_args(cfg.Precision)):
        raise unknown("train.precision", str(settings["precision"]), (AUTO, *known))
    return cfg.typed(cfg.TrainConfig, {**settings, "preset": suite.preset}, "train"), auto

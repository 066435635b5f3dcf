"""What runs must have in common to be ranked together: data, split, training, noise and seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, get_args

from bench.config import Precision
from bench.evidence.records import check_rule, noise_text
from bench.files import canonical, sha256

Config = Mapping[str, Any]
Cell = tuple[bytes, tuple[int, ...]]  # noise as canonical JSON; seed and noise seed
RECIPE = "uniform"  # the preset by which all methods are trained alike; any other is each method's own recipe
OF_RECIPES = ("preset", "precision")  # all that training has in common then
DIFFERENCES = 3  # that are named


@dataclass(frozen=True)
class Protocol:
    """One setting of everything but noise, method and seeds; noise (specs without seed), seeds, and the rule.

    Every method is run once for each noise and each (seed, noise seed).
    """

    setting: dict[str, Any]
    noise: tuple[dict[str, Any], ...]
    seeds: tuple[tuple[int, ...], ...]
    rule: str = "last"

    @cached_property
    def key(self) -> str:
        """12 hex digits, whatever the order of noise and seeds."""
        noise = sorted(canonical(spec) for spec in self.noise)
        parts = [self.setting, [spec.decode() for spec in noise], sorted(self.seeds), self.rule]
        return sha256(canonical(parts))[:12]

    @cached_property
    def cells(self) -> frozenset[Cell]:
        """Every (noise, seeds) that a method is to be run for."""
        return frozenset((canonical(spec), seeds) for spec in self.noise for seeds in self.seeds)

    @property
    def columns(self) -> list[str]:
        """The labels of its noise."""
        return [noise_text(spec) for spec in self.noise]

    def checked(self) -> Protocol:
        """This protocol; ValueError if it is none that a harness writes."""
        check_rule(self.rule)
        if not self.noise or not self.seeds or any(len(pair) != 2 for pair in self.seeds):
            raise ValueError("a protocol needs noise, and pairs of a seed and a noise seed")
        if self.setting.keys() != {"dataset", "train", "protocol"}:
            raise ValueError("a protocol's setting has dataset, train and protocol")
        self.columns  # noqa: B018  # each must be a spec
        return self


def setting_of(config: Config) -> dict[str, Any]:
    """What must be equal of a run's configuration."""
    train = config["train"]
    if train["preset"] != RECIPE:
        train = {name: train[name] for name in OF_RECIPES}
    return {"dataset": config["dataset"], "train": train, "protocol": config["protocol"]}


def cell_of(config: Config) -> Cell:
    """Noise and seeds of a run, as a protocol's cells have them."""
    return canonical(_spec(config)), (config["seed"], config["noise"]["seed"])


def of(configs: Iterable[Config], rule: str = "last") -> list[Protocol]:
    """The protocols of planned runs: one for each setting, with all noise and seeds that occur in it."""
    found: dict[bytes, tuple[dict[str, Any], dict[bytes, dict[str, Any]], dict[tuple[int, ...], None]]] = {}
    for config in configs:
        setting = setting_of(config)
        _, noise, seeds = found.setdefault(canonical(setting), (setting, {}, {}))
        noise.setdefault(canonical(_spec(config)), _spec(config))
        seeds[(config["seed"], config["noise"]["seed"])] = None
    return [Protocol(s, tuple(noise.values()), tuple(seeds), rule) for s, noise, seeds in found.values()]


def in_any_precision(protocols: Sequence[Protocol]) -> list[Protocol]:
    """The protocols of a suite that leaves the precision to the machine, once for each that there is."""
    made = [
        replace(one, setting={**one.setting, "train": {**one.setting["train"], "precision": precision}})
        for one in protocols
        for precision in get_args(Precision)
    ]
    return list({one.key: one for one in made}.values())


def differences(setting: Mapping[str, Any], protocols: Sequence[Protocol]) -> str:
    """In words, in what a setting is not that of the protocol which it comes closest to."""
    ours, best = _flat(setting), None
    for protocol in protocols:
        theirs = _flat(protocol.setting)
        names = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        said = [f"{name} {_told(ours, name)} instead of {_told(theirs, name)}" for name in names]
        if best is None or len(said) < len(best):
            best = said
    if best is None:
        return "there is no protocol"
    more = f" and {len(best) - DIFFERENCES} more" if len(best) > DIFFERENCES else ""
    return ", ".join(best[:DIFFERENCES]) + more


def _spec(config: Config) -> dict[str, Any]:
    return {name: value for name, value in config["noise"].items() if name != "seed"}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = canonical(value).decode()
    return found


def _told(values: Mapping[str, str], name: str) -> str:
    text = values.get(name, "nothing").strip('"')
    return f"{text[:12]}..." if name == "dataset.digest" else text

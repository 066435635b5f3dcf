"""All runs that a results folder holds, whatever suites they belong to, as if one suite had planned them."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from bench import config as cfg
from bench.arguments.words import options_of
from bench.data import datasets
from bench.data.noisy import spec_of
from bench.data.places import OWN
from bench.files import check_name
from bench.findings import gathering
from bench.findings.gathering import Evidence, described
from bench.sweep.planning import grid
from bench.sweep.planning.grid import Planned, Suite
from bench.sweep.planning.selection import planned
from bench.sweep.records.store import Corrupt, Store
from methods.fields import MethodInfo

NAME = "everything"
SELECTING = (
    *("suite", "methods", "dataset", "noise", "seeds", "noise_seed", "network", "preset", "epochs", "val"),
    *("trusted", "train_limit", "test_limit", "set", "allow_plugin"),
)


class Selected(NamedTuple):
    """The runs that a command line means; `corrupt` tells by run_id why others of the folder cannot be planned."""

    suite: Suite
    runs: list[Planned]
    corrupt: dict[str, str]


def asked(args: argparse.Namespace, store: Store) -> Evidence:
    """Gather the runs that a command line means: of a suite, or all that the folder holds with --everything."""
    return gathered(store, selected(args, store))


def selected(args: argparse.Namespace, store: Store) -> Selected:
    """The runs themselves; ValueError for --everything beside what selects some of them."""
    if not args.everything:
        return Selected(*planned(args), {})
    default = {action.dest: action.default for action in options_of(args.verb)}
    given = [name for name in SELECTING if getattr(args, name) != default[name]]
    if given:
        what = [f"suite {args.suite!r}" if name == "suite" else f"--{name.replace('_', '-')}" for name in given]
        raise ValueError(f"--everything takes all runs of the results folder; leave out {', '.join(what)}")
    return every(store, args.data_dir)


def gathered(store: Store, found: Selected) -> Evidence:
    """Read their results."""
    evidence = gathering.gather(store, found.suite, found.runs)
    evidence.corrupt |= found.corrupt
    return evidence


def every(store: Store, data_dir: Path | None = None) -> Selected:
    """All runs of a folder; ValueError if there is none.

    Code of methods from elsewhere is not looked for, so nothing is known of these but what their records say. Runs
    that were planned and never started have no folder, and are not known here.
    """
    runs: list[Planned] = []
    corrupt: dict[str, str] = {}
    known = functools.cache(lambda name: _known(name, data_dir))  # thousands of runs share a data set
    for run_id in store.run_ids():
        try:
            data = store.run(run_id).config()
            if data is not None:
                runs.append(_run(cfg.RunConfig.from_dict(data), run_id, known))
        except Corrupt as error:
            corrupt[run_id] = str(error)
        except ValueError as error:  # the settings of another version of the harness
            corrupt[run_id] = f"{store.runs / run_id / 'config.json'}: {error}"
    if not runs and corrupt:
        raise Corrupt(store.runs, f"none of its {len(corrupt):,} runs can be read; the first: {min(corrupt.values())}")
    if not runs:
        raise ValueError(f"there is no run under {store.root}")
    runs.sort(key=_place)
    return Selected(_suite(runs), runs, corrupt)


def _suite(runs: Sequence[Planned]) -> Suite:
    """A suite that stands for all the runs."""
    methods = tuple(dict.fromkeys(run.config.method.name for run in runs))
    sets = ", ".join(dict.fromkeys(run.config.dataset.name for run in runs))
    noise = tuple(dict.fromkeys(run.noise for run in runs))
    seeds = tuple(sorted({run.config.seed for run in runs}))
    count = "the only run" if len(runs) == 1 else f"all {len(runs):,} runs"
    return Suite(NAME, sets, noise, methods, seeds, f"{count} of a results folder")  # wherever that lies


def _run(config: cfg.RunConfig, run_id: str, known: Callable[[str], datasets.DatasetInfo | None]) -> Planned:
    # a record may be anybody's: a name that is a place, such as "file.py:Class", would be looked for and run
    method = described(check_name("method", config.method.name))
    data = _dataset(config, known(config.dataset.name))
    defaults = defaults_of(config, method)
    networks = method.num_networks if method else 1
    return Planned(config, config.method.name, run_id, str(spec_of(config.noise)), networks, data, defaults)


def defaults_of(config: cfg.RunConfig, method: MethodInfo | None) -> dict[str, Any]:
    """The hyper-parameters of the run's preset, or its own where nobody knows them."""
    if method is None:
        return config.method.params
    params: dict[str, Any] = {}
    for preset in (config.train.preset, f"{config.train.preset}:{config.dataset.name}"):
        params = grid.merge(params, method.presets.get(preset, {}).get("params", {}))
    return method.resolve(params)


def _known(name: str, data_dir: Path | None) -> datasets.DatasetInfo | None:
    if name not in datasets.available() and (data_dir is None or not OWN.fullmatch(name)):
        return None  # where else it lies only the record says
    try:
        return datasets.info(name, data_dir)
    except ValueError:  # somebody's own files
        return None


def _dataset(config: cfg.RunConfig, info: datasets.DatasetInfo | None) -> datasets.DatasetInfo:
    """What is known of a run's data set; of one that is not at hand, its name and digest."""
    if info is None:
        name, digest = config.dataset.name, config.dataset.digest
        return datasets.DatasetInfo(name, 0, 0, 0, (0, 0, 0), 255, (), (), (), digest, "", "")
    return info if info.digest == config.dataset.digest else replace(info, digest=config.dataset.digest)


def _place(run: Planned) -> tuple[Any, ...]:
    """The control first, then by name; noise by family and rate."""
    config = run.config
    method = described(config.method.name)
    control = method is not None and method.num_networks == 1 and not method.fields and not method.needs
    noise = (config.noise.family, config.noise.rate or 0.0, run.noise)
    return not control, config.method.name, config.dataset.name, *noise, config.seed, config.noise.seed

"""Before anything starts, find out what would stop every run: data, methods, a folder that can't be written."""

import json
import subprocess
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from bench.data import datasets
from bench.data.attachments import keep
from bench.files import publish, remove
from bench.fingerprint import ROOT
from bench.sweep.planning.grid import Planned
from bench.sweep.records.store import Store
from bench.sweep.upkeep import ground
from methods import registry
from noise import NoiseSpec

CONSTRUCT = """
import json, sys
from methods import registry
for spec, params in json.loads(sys.argv[1]):
    try:
        registry.create(spec, **params)
    except ValueError as error:
        raise ValueError(f"{registry.describe(spec).name}: {error}") from None
print("\\nconstructed")
"""


def check(store: Store, todo: Sequence[Planned], data_dir: Path | None, download: bool, live: int = 1) -> None:
    """ValueError in one line if the runs cannot work here, `live` at a time; otherwise all wrong labels lie ready.

    Nothing is made before the checks that need no folder have passed.
    """
    name = todo[0].config.dataset.name
    if download:
        from bench.data.download import fetch

        folder = datasets.data_folder(data_dir)
        folder.mkdir(parents=True, exist_ok=True)
        foreign = [run.config.noise.options["source"] for run in todo if "source" in run.config.noise.options]
        for needed in dict.fromkeys([name, *foreign]):
            fetch(needed, folder, lambda text: print(text, file=sys.stderr))
    dataset = datasets.load(name, data_dir)
    check_methods(todo)
    _check_transitions(store, dataset, todo, data_dir)
    _check_room(store.root, todo, live)
    _check_folder(store.root)
    _freeze(store, dataset, todo, data_dir)


def _check_room(root: Path, todo: Sequence[Planned], live: int) -> None:
    free, needed = ground.room(root), ground.room_needed(todo, live)
    if free < needed:
        raise ValueError(
            f"{root} has {free / 2**20:,.0f} MB free, and the runs may need {needed / 2**20:,.0f} MB for their "
            f"checkpoints, {min(live, len(todo))} at a time; free some, or set --per-device or --results"
        )


def _check_folder(root: Path) -> None:
    """Make the results folder and try what the harness relies on there; one that cannot be written is not left."""
    made = [folder for folder in (root, *root.absolute().parents) if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe = root / f"probe.tmp-{uuid.uuid4().hex}"
        publish(probe, bytes(2**16), replace=True)
        remove(probe)
        missing = [
            *(() if ground.locks_hold(root) else ("locks",)),
            *(() if ground.links_hold(root) else ("hard links",)),
        ]
    except OSError as error:
        for folder in made:
            with suppress(OSError):  # never made, or somebody else's by now
                folder.rmdir()
        raise ValueError(f"cannot write results to {root}: {error.strerror}") from error
    if missing:
        print(
            f"warning: {root} is on a file system without {' and '.join(missing)}: two launches there may train the "
            "same runs; give each machine its part with --shard I/N",
            file=sys.stderr,
        )


def check_methods(todo: Sequence[Planned]) -> None:
    """Construct, in a process of its own, every method that is not built in or not at its defaults."""
    given = {run.spec: run for run in todo}  # one setting of a method serves a whole suite
    params = {spec: run.config.method.params for spec, run in given.items()}
    doubtful = {spec: params[spec] for spec, run in given.items() if ":" in spec or params[spec] != run.defaults}
    if not doubtful:
        return
    command = [sys.executable, "-c", CONSTRUCT, json.dumps(list(doubtful.items()))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.endswith("\nconstructed\n"):  # exit 0 is no evidence: a file may leave itself
        last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        raise ValueError(f"a method cannot be used: {last.removeprefix('ValueError: ')}")


def _check_transitions(store: Store, dataset: datasets.Dataset, todo: Sequence[Planned], data_dir: Path | None) -> None:
    """Refuse a method that must be told the transition matrix where the noise has none."""
    from bench.data.noisy import draw

    needy = {run.noise: run for run in todo if "transition" in registry.describe(run.spec).needs}
    for noise, run in needy.items():
        spec, files = NoiseSpec.parse(noise), store.noise / "files"
        if draw(dataset, spec, run.config.noise.seed, data_dir, files).transition is None:
            name = run.config.method.name
            raise ValueError(f"method {name!r} must be told the transition matrix, and noise {noise!r} has none")


def _freeze(store: Store, dataset: datasets.Dataset, todo: Sequence[Planned], data_dir: Path | None) -> None:
    """Draw the wrong labels once, before the runs that share them, and keep the files that they come from."""
    from bench.data.noisy import frozen, split_of, with_foreign

    for run in {(run.noise, run.config.noise.seed): run for run in reversed(todo)}.values():
        keep(NoiseSpec.parse(run.noise), store.noise / "files")
        corruption = frozen(dataset, run.config.noise, store.noise, data_dir)
        with_foreign(dataset, corruption, data_dir)
        split_of(corruption, asdict(run.config.dataset), run.config.noise.seed)

"""Before anything starts, find out what would stop every run: data, methods, a folder that can't be written."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.data import datasets
from bench.data.attachments import keep
from bench.files import publish, remove
from bench.fingerprint import ROOT
from bench.sweep.grid import Planned
from bench.sweep.store import Store
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
"""


def check(store: Store, todo: Sequence[Planned], data_dir: Path | None, download: bool) -> None:
    """ValueError in one line if the runs cannot work here; otherwise every column's wrong labels lie ready."""
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
    try:
        store.root.mkdir(parents=True, exist_ok=True)
        probe = store.root / ".writable"
        publish(probe, b"", replace=True)
        remove(probe)
    except OSError as error:
        raise ValueError(f"cannot write results to {store.root}: {error.strerror}") from error
    _freeze(store, dataset, todo, data_dir)


def check_methods(todo: Sequence[Planned]) -> None:
    """Construct, in a process of its own, every method that is not built in or not at its defaults."""
    given = {run.spec: run for run in todo}  # one setting of a method serves a whole suite
    params = {spec: run.config.method.params for spec, run in given.items()}
    doubtful = {spec: params[spec] for spec, run in given.items() if ":" in spec or params[spec] != run.defaults}
    if not doubtful:
        return
    command = [sys.executable, "-c", CONSTRUCT, json.dumps(list(doubtful.items()))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        raise ValueError(f"a method cannot be used: {last.removeprefix('ValueError: ')}")


def _freeze(store: Store, dataset: datasets.Dataset, todo: Sequence[Planned], data_dir: Path | None) -> None:
    """Draw the wrong labels once, before the runs that share them, and keep the files that they come from."""
    from bench.data.noisy import frozen, split_of, with_foreign

    told_transition = {}
    for run in todo:
        key = (run.noise, run.config.noise.seed)
        if key not in told_transition:
            keep(NoiseSpec.parse(run.noise), store.noise / "files")
            corruption = frozen(dataset, run.config.noise, store.noise, data_dir)
            with_foreign(dataset, corruption, data_dir)
            split_of(corruption, asdict(run.config.dataset), run.config.noise.seed)
            told_transition[key] = corruption.transition is not None
        if not told_transition[key] and "transition" in registry.describe(run.spec).needs:
            name = run.config.method.name
            raise ValueError(f"method {name!r} must be told the transition matrix, and noise {run.noise!r} has none")

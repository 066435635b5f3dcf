"""What precedes a sweep on a Ray or Dask cluster: a look whether every node can take part."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.files import canonical, make_folder, publish
from bench.fingerprint import sources
from bench.sweep.backends.engine import ClusterLost, Engine
from bench.sweep.backends.placed import TOKEN, Request, launch_folder
from bench.sweep.planning.grid import Planned
from bench.sweep.supervision.sweep import Sweep

HOW = (  # of a driver's sweep, what those of its workers are told
    *("per_sample", "capture", "checkpoint_seconds", "strict_env", "tensorboard"),
    *("run_limit", "stall_limit", "storage_wait"),
)
SEEN_SECONDS = 30.0  # for what a node has written to show here: file systems on a network take their time


@contextmanager
def launched(sweep: Sweep, runs: Sequence[Planned], engine: Engine) -> Iterator[Request]:
    """What to ask of workers for the runs of a driver's sweep, once every node has been found fit for them.

    ValueError names the first that is not. The folder in which driver and workers leave word for each other goes with
    the launch.
    """
    root, token = sweep.store.root.resolve(), uuid.uuid4().hex
    folder = launch_folder(root, sweep.launch)
    how = {name: getattr(sweep, name) for name in HOW}
    data_dir = str(sweep.data_dir) if sweep.data_dir else None
    gpu, per_device = bool(engine.need.gpu), engine.need.per_device
    request = Request(str(root), sweep.launch, token, gpu, per_device, data_dir, sweep.notes, how)
    make_folder(folder)
    try:
        publish(folder / TOKEN, token.encode(), replace=True)
        _check_nodes(engine, request, runs)
        yield request
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another launch is under way
            folder.parent.rmdir()


def _check_nodes(engine: Engine, request: Request, runs: Sequence[Planned]) -> None:
    """ValueError naming the node that lacks the results folder, has other code, or cannot compute the runs."""
    kinds: dict[bytes, dict[str, Any]] = {}  # of training: a node is asked about each once
    for run in runs:
        config = run.config.to_dict()
        kinds.setdefault(canonical(config["train"]), config)
    try:
        answers = engine.probe(request.to_json(), list(kinds.values()))
    except ClusterLost as error:  # before there was a run to be lost
        raise ValueError(str(error)) from error
    if not answers:
        raise ValueError("every node has left the cluster: give the command again once there is one")
    ours = sources()
    for answer in answers:
        if answer["wrong"]:
            raise ValueError(answer["wrong"])
        if answer["code"] != ours:
            raise ValueError(f"{answer['host']} has another version of this code: all nodes must run the same")
    _await(request.folder, len(answers), request.results)


def _await(folder: Path, number: int, results: str) -> None:
    """Wait until what the nodes have written is seen here."""
    deadline = time.monotonic() + SEEN_SECONDS
    while len(list(folder.glob("seen-*"))) < number:
        if time.monotonic() > deadline:
            raise ValueError(f"what nodes write into {results} is not seen here: all nodes must share that folder")
        time.sleep(0.1)

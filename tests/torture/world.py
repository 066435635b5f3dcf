"""Sweeps of the toy, and what must hold of their results folder at every moment."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import toy

from bench.evidence.cells import DASH
from bench.files import canonical, sha256
from bench.findings import gathering, tabulating
from bench.sweep.planning import grid
from bench.sweep.planning.grid import Planned, Suite
from bench.sweep.records.sample_files import SampleFiles
from bench.sweep.records.store import Store
from bench.sweep.run.forkserver import Child, ForkServer
from bench.sweep.upkeep import health

METHODS = ("ce", "co_teaching", "gce", "elr", "bootstrap_soft", "mixup")
WAIT = 60.0  # seconds for a launch of less than one


class Truth:
    """What an uninterrupted sweep found: the payload of each run, and its cell."""

    def __init__(self, server: ForkServer, root: Path, runs: int, epochs: int) -> None:
        self.suite = Suite("toy", "digits", ("symmetric:0.5",), METHODS[:runs], (0,), train={"epochs": epochs})
        self.runs = grid.expand(self.suite)
        self.epochs = runs * epochs
        world = World(server, self, root)
        assert world.launch() == 0, world.log()
        self.store = world.store
        results = {run.run_id: self.store.run(run.run_id).result() for run in self.runs}
        self.payloads = {run_id: canonical(result.payload) for run_id, result in results.items() if result is not None}
        self.cells = world.cells(gathering.gather(self.store, self.suite, self.runs))
        assert set(self.cells) == {run.run_id for run in self.runs}
        counted = World(server, self, root.with_name("counted"))
        assert counted.launch(crash_at=1_000_000) == 0
        self.steps = int(counted.log().split()[-1])  # at which the disk is changed


class World:
    """One results folder."""

    def __init__(self, server: ForkServer, truth: Truth, root: Path) -> None:
        self.server, self.truth, self.root, self.store = server, truth, root, Store(root)
        root.mkdir(parents=True, exist_ok=True)

    def begin(self, runs: Sequence[Planned] | None = None, **order: object) -> Child:
        """Start a launch."""
        wanted = [(run.config.to_dict(), run.spec) for run in (self.truth.runs if runs is None else runs)]
        argv = toy.Order(str(self.root), wanted, **order).to_argv()
        return self.server.spawn(argv, {}, self.root.with_name(f"{self.root.name}.log"))

    def launch(self, runs: Sequence[Planned] | None = None, **order: object) -> int:
        """Launch and wait for its exit code."""
        return self.begin(runs, **order).wait(WAIT)

    def executed(self) -> int:
        return toy.executed(self.root)

    def cells(self, found: gathering.Evidence) -> dict[str, str]:
        """The cell of each run that has a number in the table; every row is a run, so that none hides in a mean."""
        table = tabulating.table_of(found, "last", "headline", METHODS[0])
        cells = {}
        for cell in (cell for row in table.rows for cell in row.cells):
            if cell.runs:
                (run_id,) = cell.runs
                cells[run_id] = cell.number
            else:
                assert cell.number == DASH
        return cells

    def look(self, damaged: bool = False, files: bool = True) -> None:
        """Whatever has just happened, every cell is the true one or blank, and nothing is called damaged that is not.

        With `damaged`, a run may be called so, and its cell is blank. Without `files`, those that a result speaks of
        may be set aside: who trains a finished run again, since no lock holds him off, takes them for somebody else's.
        """
        found = gathering.gather(self.store, self.truth.suite, self.truth.runs)
        for payload in found.payloads:
            assert canonical(payload) == self.truth.payloads[payload["run_id"]]
        for run_id in found.facts if files and not damaged else ():
            self._holds_its_files(run_id)
        cells = self.cells(found)
        assert cells.items() <= self.truth.cells.items()
        assert cells.keys() == found.facts.keys()
        assert found.conflicts == []
        assert found.failed == {}
        assert damaged or found.corrupt == {}

    def _holds_its_files(self, run_id: str) -> None:
        """What a result speaks of lies beside it."""
        folder = self.store.run(run_id)
        result = folder.result()
        assert result is not None
        digest = result.payload["predictions_sha256"]
        assert sha256((folder.path / f"predictions-{digest[:16]}.npy").read_bytes()) == digest
        assert SampleFiles(folder.path).digests() == result.provenance["samples_sha256"] != {}

    def finish(self, extra: int | None, whole: bool = True) -> None:
        """One more launch ends with the payloads of the truth, and leaves nothing but them.

        At most `extra` epochs were begun more than once; None: any number. With `whole` no file was ever set aside.
        """
        code = self.launch()
        assert code == 0, f"the next launch ended with {code}: {self.log()}"
        self.look(damaged=not whole, files=whole)
        for run in self.truth.runs:
            result = self.store.run(run.run_id).result()
            assert result is not None, f"{run.run_id} is not done"
            assert canonical(result.payload) == self.truth.payloads[run.run_id]
        left = [path for path in self.store.runs.rglob("*") if ".tmp-" in path.name or path.name.startswith("ckpt-")]
        assert [path for path in left if path.parent.name != "quarantine"] == []
        health.sweep(self.root)  # outside the runs a file may be left half-written until somebody asks for this
        assert [path for path in self.root.rglob("*.tmp-*") if path.parent.name != "quarantine"] == []
        if whole:
            assert list(self.store.runs.glob("*/quarantine/*")) == []
        if extra is not None:
            assert self.executed() <= self.truth.epochs + extra

    def files(self) -> list[Path]:
        """Every file but the locks, in the order of their names, which is the same each time but for random names."""
        return sorted(path for path in self.root.rglob("*") if path.is_file() and path.name != "lock")

    def log(self) -> str:
        return self.root.with_name(f"{self.root.name}.log").read_text(encoding="utf-8")[-2000:]

    def remove(self) -> None:
        """Make room: a case that held needs no looking into."""
        shutil.rmtree(self.root.parent)


def damage(path: Path, rng: random.Random) -> str:
    """Truncate, flip, zero, empty or delete a file; say what was done."""
    data = path.read_bytes()
    kinds = ["truncate", "flip", "zero", "empty", "delete"]
    kind = rng.choice(kinds if data else ["delete"])
    at = rng.randrange(len(data)) if data else 0
    if kind == "flip":
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :])
    elif kind == "zero":
        end = rng.randint(at + 1, len(data))
        path.write_bytes(data[:at] + bytes(end - at) + data[end:])
    elif kind == "delete":
        path.unlink()
    else:
        path.write_bytes(data[: at if kind == "truncate" else 0])
    return f"{kind} {path.name} at byte {at} of {len(data)}"


@contextmanager
def case(text: str) -> Iterator[None]:
    """Names the case in whatever goes wrong in it."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"the case: {text}")
        raise

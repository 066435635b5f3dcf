"""Real runs, made tiny: forked from one server, with an own method that misbehaves as it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench import cli
from bench.devices import Slot
from bench.findings import figures
from bench.sweep.planning import grid
from bench.sweep.planning.grid import Planned, Suite
from bench.sweep.records.store import RunFolder, Store
from bench.sweep.run.forkserver import ForkServer
from bench.sweep.supervision import claims, executor
from bench.sweep.supervision import sweep as sweeping
from bench.sweep.supervision.attempts import Outcome
from bench.sweep.supervision.sweep import Sweep
from bench.sweep.upkeep import preflight
from tests.bench.sweep.drivers import Driver
from tests.bench.sweep.stored import CONFIG, RUN_ID

# cross entropy that does what its `order` says at the first batch of epoch `at`, `times` times over all processes
ODD = '''
import ctypes, os, signal, sys, time, uuid
from dataclasses import dataclass
from pathlib import Path

from methods import losses
from methods.base import LossMethod, Step

HERE = Path(__file__).parent


@dataclass(eq=False)
class Odd(LossMethod):
    """Misbehave."""

    order: str = ""
    at: int = 1  # epoch
    times: int = 1

    def losses(self, logits, batch, clock):
        if clock.step == 0:
            with open(HERE / "epochs", "a") as log:
                log.write(f"{self.order}{clock.epoch} ")
            self.obey(clock)
        return Step(losses.cross_entropy(logits.log_softmax(-1), batch.y).mean(-1))

    def obey(self, clock):
        done = HERE / f"done-{self.order}"
        done.mkdir(exist_ok=True)
        if self.order == "slow":
            (done / uuid.uuid4().hex).touch()
            time.sleep(0.1)
        if self.order == "dawdle":
            time.sleep(1)
        if not self.order or clock.epoch != self.at or len(list(done.iterdir())) >= self.times:
            return
        if self.order == "wait":  # who waits for the file sends a signal at once
            self.wait(done)
            return
        (done / uuid.uuid4().hex).touch()
        if self.order.startswith("signal "):
            number = int(self.order.split()[1])
            os.kill(os.getpid(), number)
            time.sleep(30 if number in (signal.SIGKILL, signal.SIGSTOP) else 0.1)  # others are looked for later
        elif self.order == "segfault":
            ctypes.string_at(0)
        elif self.order.startswith("leave "):
            os._exit(int(self.order.split()[1]))
        elif self.order == "exit":
            sys.exit(3)
        elif self.order == "interrupt":
            raise KeyboardInterrupt
        elif self.order == "memory":
            raise MemoryError("no more")
        elif self.order == "raise":
            raise RuntimeError("the method gave up")
        elif self.order == "full disk":
            raise OSError(28, "No space left on device")
        elif self.order == "sleep":
            time.sleep(60)

    def wait(self, done):
        """Go on when a signal has come, which the trainer looks for between two batches, or when told by a file."""
        caught = []

        def passing_on(handler):
            return lambda number, frame: (handler(number, frame), caught.append(number))

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, passing_on(signal.getsignal(number)))
        (done / uuid.uuid4().hex).touch()
        deadline = time.monotonic() + 30
        while not caught and not (HERE / "go on").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
'''


@pytest.fixture(autouse=True)
def _own_claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up GPUs are nobody else's."""
    monkeypatch.setattr(claims, "home", lambda: tmp_path / "claims")


class Kept:
    """A fork server that a sweep cannot close, so that the next sweep need not wait for torch again."""

    def __init__(self, server: ForkServer) -> None:
        self.spawn = server.spawn

    def close(self) -> None: ...


@pytest.fixture(scope="session")
def server() -> Iterator[Kept]:
    server = ForkServer(preload=sweeping.PRELOADED)
    yield Kept(server)
    server.close()


@pytest.fixture
def forked(server: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every sweep of this process use the one server."""
    monkeypatch.setattr(sweeping, "ForkServer", lambda preload: server)


class Hearer:
    """Remembers what a sweep reports."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def started(self, run: Planned, slot: Slot) -> None:
        self.heard.append(("started", run.run_id))

    def requeued(self, run: Planned) -> None:
        self.heard.append(("requeued", run.run_id))

    def ended(self, run: Planned, outcome: Outcome) -> None:
        self.heard.append(("ended", run.run_id))


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    path = tmp_path / "odd.py"
    path.write_text(ODD, encoding="utf-8")
    return path


@pytest.fixture
def plan(odd: Path) -> Callable[..., list[Planned]]:
    """Runs of some seconds/10: `plan("ce", seeds=(0, 1))`, `plan(order="raise")` for the misbehaving method."""

    def make(
        *methods: str, seeds: Sequence[int] = (0,), epochs: int = 3, order: str = "", at: int = 1, times: int = 1
    ) -> list[Planned]:
        named = tuple(methods) or (f"{odd}:Odd",)
        params: dict[str, dict[str, Any]] = {} if methods else {"odd.Odd": {"order": order, "at": at, "times": times}}
        train = {"epochs": epochs, "trace_samples": 32, "batch_size": 16}
        limits: dict[str, Any] = {"train_limit": 64, "test_limit": 64}
        suite = Suite("tiny", "digits", ("symmetric:0.5",), named, tuple(seeds), train=train, params=params, **limits)
        return grid.expand(suite)

    return make


@pytest.fixture
def launch(forked: None, tmp_path: Path) -> Callable[..., list[Outcome]]:
    """Execute runs in this process as `run` does; another call is another launch."""

    def go(
        runs: Sequence[Planned], results: str = "results", slots: int = 1, start: str = "fork", capture: str = "off"
    ) -> list[Outcome]:
        store = Store(tmp_path / results)
        sweep = Sweep(store, [Slot(None, number) for number in range(slots)], None, start, capture=capture)
        go.sweep = sweep  # type: ignore[attr-defined]
        return executor.execute(sweep, runs, Hearer())

    return go


@pytest.fixture
def command(forked: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`run_bench.py ...` in this process: runs are real processes, own methods are believed, nothing is drawn."""
    monkeypatch.setattr(preflight, "check_methods", lambda todo: None)
    monkeypatch.setattr(figures, "write_all", lambda found, folder: [])
    return lambda *argv: cli.main(list(argv))


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Callable[[list[str]], Driver]]:
    """Start `run_bench.py ...` as a process of its own, which is killed at the end of the test."""
    drivers = []

    def go(argv: list[str]) -> Driver:
        drivers.append(Driver(argv, tmp_path))
        return drivers[-1]

    yield go
    for driver in drivers:
        if driver.process.poll() is None:
            driver.process.kill()
        driver.process.communicate()


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """The folder of a made-up run, in which there is its config and nothing else."""
    run = Store(tmp_path).run(RUN_ID)
    with run.lock():
        run.write_config(CONFIG)
    return run

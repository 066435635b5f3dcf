"""A pass whose steps are recorded once and replayed: no Python, no launches one by one. It changes no number.

The recording is made anew for each pass, so whatever depends on the epoch cannot go stale in it. Batches are gathered
as ever and copied to where the recorded step reads them; what follows the clock within the pass comes from a table.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from torch import Tensor

from bench.training.clocks import Noting, Recorded, Table, instead
from bench.training.metrics import Traces
from bench.training.recorders import Recorder, Work
from bench.training.snapshot import Snapshot, bound, numbers, reached
from bench.training.task import RunTask
from methods.base import Batch, Clock, Method, Pass

Step = Callable[[Any, Clock], None]  # one real step on a batch, traces included
TRIAL = 10  # steps timed in each way


class CaptureFailed(RuntimeError):
    """A step could not be recorded, or its first replay failed: the run must go on in another process, without."""


@dataclass
class Kind:
    """What is known of the passes of one phase and name with batches of one form."""

    checked: bool = False  # a replay gave what the step itself gives
    timed: bool = False
    plain: bool = False  # they run step by step, for the reason that was told


class Capture:
    """Runs the passes of one run; `replayed` counts the steps of each pass name that were replays."""

    def __init__(
        self,
        recorder: Recorder,
        method: Method,
        task: RunTask,
        name: str,
        say: Callable[[str], None] = lambda text: print(text, flush=True),
    ) -> None:
        self.recorder, self.method, self.task, self.name, self.say = recorder, method, task, name, say
        self.kinds: dict[tuple[Any, ...], Kind] = {}
        self.replayed: Counter[str] = Counter()

    @contextmanager
    def steps(
        self, part: Pass, do: Step, clocks: Callable[[int], Clock], length: int | None, traces: Traces
    ) -> Iterator[Callable[[int, Any], None]]:
        """Yield what is to be called with the number and the batch of each step of a pass, in order.

        `clocks` gives the real clock of a step, `length` their number, if it is known. Raises CaptureFailed.
        """
        run = _Run(self, part, do, clocks, length, traces)
        with ExitStack() as stack:
            try:
                stack.enter_context(self.recorder.lane())
            except Exception as error:
                run.fail(error)
            stack.callback(self.recorder.drop)
            try:
                yield run
            except RuntimeError as error:  # a device tells late what a replay did; without replays it comes again
                if isinstance(error, CaptureFailed) or run.replay is None:
                    raise
                run.fail(error)


class _Run:
    """The steps of one pass: some run as they are written, then one is recorded, then replays."""

    def __init__(
        self,
        capture: Capture,
        part: Pass,
        do: Step,
        clocks: Callable[[int], Clock],
        length: int | None,
        traces: Traces,
    ) -> None:
        self.capture, self.recorder, self.part, self.traces = capture, capture.recorder, part, traces
        self.device, self.task = capture.task.device, capture.task
        self.do, self.clocks, self.length = do, clocks, length
        self.kind = Kind(plain=True)
        self.form: Any = None
        self.warm_up = 0
        self.replay: Work | None = None
        self.cost = 0.0  # seconds that the recording took
        self.marks: list[float] = []
        self.trial: int | None = None  # steps timed so far

    def __call__(self, number: int, batch: Any) -> None:
        if number == 0:
            self._begin(batch)
        if self.kind.plain or form_of(batch) != self.form:
            self._plainly(number, batch)
        elif self.replay is not None:
            self._timed(number, batch)
        elif self.warm_up > 0:
            self.warm_up -= 1
            (self._plainly if self.warm_up else self._noted)(number, batch)
        else:
            try:
                self._record(number, batch)
            except Exception as error:  # whatever it is: a process that failed to capture cannot be trusted
                self.fail(error)

    def fail(self, error: Exception) -> NoReturn:
        """Raise CaptureFailed, naming the method and the pass."""
        text = " ".join(str(error).split())
        raise CaptureFailed(f"{self._whose}: {type(error).__name__}: {text}") from error

    @property
    def _whose(self) -> str:
        return f"{self.capture.name}, pass {self.part.name!r}"

    def _begin(self, batch: Any) -> None:
        self.form = form_of(batch)
        if self.form is None or self.length is None:  # nothing that could be copied, or be tabulated ahead
            return
        key = (self.clocks(0).phase, self.part.name, self.part.train, self.form)
        self.kind = self.capture.kinds.setdefault(key, Kind())
        self.warm_up = 1 if self.kind.checked else self.recorder.warm_up
        if self.recorder.timed and not self.kind.timed and self.length - self.warm_up <= 2 * TRIAL + 2:
            self.kind = Kind(plain=True)  # too short to show that replays are faster, with a smaller batch at its end

    def _plainly(self, number: int, batch: Any) -> None:
        self.do(batch, self.clocks(number))

    def _noted(self, number: int, batch: Any) -> None:
        """A real step that shows what it asks the clock for, and whether it does what no recording repeats.

        Its batch stays where a recorded step reads: what a recording takes from it, and not from there, is found out.
        """
        roots, clock, held = self._roots(), Noting(self.clocks(number), self.device), numbers([self.capture.method])
        before = bound(roots)
        self.do(batch, clock)
        changed = [
            name
            for name, value in numbers([self.capture.method]).items()
            if held.get(name, value) is not value and held[name] != value
        ]
        now = bound(roots)
        anew = [name for key, (name, tensor) in before.items() if key in now and now[key][1] is not tensor]
        if clock.read:
            self._give_up(f"a step reads clock.{clock.read[0]}: {instead(clock.read[0])}")
        elif anew:
            self._give_up(f"a step binds {anew[0]} anew: write into the tensor, as in x.copy_(new)")
        elif changed:
            self._give_up(f"a step changes {changed[0]}, a number on the host")
        self.asked, self.first = clock.asked, number
        self.inputs = [tensor.clone() for tensor in leaves(batch) or ()]

    def _give_up(self, reason: str) -> None:
        self.kind.plain, self.replay = True, None
        self.capture.say(f"not captured: {self._whose}: {reason}")

    def _record(self, number: int, batch: Any) -> None:
        length = self.length or 0
        try:
            self.table = Table(self.asked, [self.clocks(step) for step in range(self.first, length)], self.device)
        except (RuntimeError, TypeError, ValueError) as error:  # answers of several shapes, or none that a tensor holds
            self._give_up(f"what a step asks of the clock fits no table: {error}")
            self._plainly(number, batch)
            return
        copied, clock = with_tensors(batch, iter(self.inputs)), self.clocks(number)

        def work() -> None:
            self.do(copied, Recorded(clock, self.device, self.table.answers))

        if not self.kind.checked:
            self._check(number, batch, work)
        else:
            self._show(number, batch)
            before = self._counts()
            replay = self._recorded(work)
            self.counts = self._counts() - before
            if not self.recorder.executes:
                replay()
            self.replay = replay
        if self.recorder.timed and not self.kind.timed:
            self.trial = 0

    def _recorded(self, work: Work) -> Work:
        """Record, and remember what it took of the pass's time."""
        if not self.recorder.timed:
            return self.recorder.record(work)
        self.recorder.wait()
        start = time.perf_counter()
        replay = self.recorder.record(work)
        self.recorder.wait()
        self.cost = time.perf_counter() - start
        return replay

    def _check(self, number: int, batch: Any, work: Work) -> None:
        """Do the step as it is written, take it back, and replay one recorded on the batch before: equal to the bit."""
        roots, generators = self._roots(), self.recorder.generators()
        before, start = Snapshot(roots, generators), self._counts()
        self._plainly(number, batch)
        after, done = Snapshot(roots, generators), self._counts()
        before.restore()
        replay = self._recorded(work)
        self.counts = self._counts() - done
        self._set_counts(done)
        if self.recorder.executes:
            before.restore()
        self._show(number, batch)
        replay()
        worst = after.difference()
        if worst is None and self.counts == done - start:
            self.kind.checked, self.replay = True, replay
            self.capture.replayed[self.part.name] += 1
            self.capture.say(f"captured: {self._whose}: a replayed step gives the same bits")
            return
        after.restore()
        self._give_up("a replayed step differs" + (f" in {worst[0]} by {worst[1]:g}" if worst else " in its counts"))

    def _timed(self, number: int, batch: Any) -> None:
        """A step after the recording: replayed, or for a while as the trial of both ways has it."""
        if self.trial is None:
            self._again(number, batch)
            return
        if self.trial % TRIAL == 0:
            self.recorder.wait()
            self.marks.append(time.perf_counter())
        if self.trial < TRIAL:
            self._plainly(number, batch)
        else:
            self._again(number, batch)
        self.trial = None if self.trial == 2 * TRIAL else self.trial + 1
        if self.trial is None:
            self._decide()

    def _decide(self) -> None:
        """Go on with replays only if they win back, in a whole pass, what its recording takes."""
        written, replayed = ((b - a) / TRIAL for a, b in zip(self.marks, self.marks[1:], strict=False))
        self.kind.timed = True
        told = (
            f"a step takes {1e3 * written:.3g} ms as written, {1e3 * replayed:.3g} ms replayed; recording it takes "
            f"{1e3 * self.cost:.3g} ms, once for {self.length} steps"
        )
        if self.cost + replayed * (self.length or 0) < written * (self.length or 0):
            self.capture.say(f"captured: {self._whose}: {told}")
        else:
            self._give_up(told)

    def _again(self, number: int, batch: Any) -> None:
        assert self.replay is not None
        self._show(number, batch)
        self.replay()
        self._set_counts(self._counts() + self.counts)
        self.capture.replayed[self.part.name] += 1

    def _show(self, number: int, batch: Any) -> None:
        """Put a batch, and the values of its step's clock, where the recorded step reads them."""
        for place, tensor in zip(self.inputs, leaves(batch) or (), strict=True):
            place.copy_(tensor)
        self.table.show(number - self.first)

    def _roots(self) -> list[Any]:
        """Everything that a step may change on the device."""
        optimizers = [optimizer.state for optimizer in self.task.optimizers]
        return [self.capture.method, *optimizers, self.traces, *reached(self.part.step)]

    def _counts(self) -> Counter[Any]:
        """What a step counts on the host."""
        return self.traces.counts + Counter({None: self.task.forward_samples})

    def _set_counts(self, counts: Counter[Any]) -> None:
        self.task.forward_samples = counts[None]
        self.traces.counts = Counter({name: count for name, count in counts.items() if name is not None})


def leaves(batch: Any) -> list[Tensor] | None:
    """The tensors of a Batch, or of a tuple of Batches and None, in order; None for anything else."""
    if isinstance(batch, Batch):
        return [batch.index, *batch.views, batch.y]
    if not isinstance(batch, tuple):
        return [] if batch is None else None
    parts = [leaves(part) for part in batch]
    return None if any(part is None for part in parts) else [tensor for part in parts for tensor in part or ()]


def with_tensors(batch: Any, tensors: Iterator[Tensor]) -> Any:
    """The same batch with other tensors in the order of `leaves`."""
    if isinstance(batch, Batch):
        return Batch(next(tensors), tuple(next(tensors) for _ in batch.views), next(tensors))
    return tuple(with_tensors(part, tensors) for part in batch) if isinstance(batch, tuple) else batch


def form_of(batch: Any) -> Any:
    """What two batches must share for one to take the other's place; None for what is no batch of ours."""
    if isinstance(batch, tuple):
        parts = tuple(form_of(part) for part in batch)
        return None if None in parts else parts
    found = leaves(batch)
    return None if found is None else tuple((t.shape, t.stride(), t.dtype, t.device) for t in found)

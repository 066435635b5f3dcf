"""One run, from its config to its record: the only loop over epochs.

The trainer owns every loop and alone holds the clean labels; a method sees a Task, batches and a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from bench.config import RunConfig
from bench.data.prepare import Prepared
from bench.seeds import derive
from bench.training import metrics, schedule
from bench.training.calibration import Calibration
from bench.training.capture import Capture
from bench.training.checkpoint import State
from bench.training.clocks import DeviceClock
from bench.training.recorders import Recorder
from bench.training.samples_table import Sheet, Tables
from bench.training.task import RunTask
from methods.base import Clock, Method, Pass

# samples of an evaluation batch, by kind of device; fixed, since another size may round differently
EVAL_BATCH = {"cpu": 128, "cuda": 1000}


class Interrupted(Exception):
    """Somebody asked the run to stop; the last checkpoint holds."""


@dataclass
class Outcome:
    """What a finished run found."""

    payload: dict[str, Any]
    predictions: torch.Tensor  # (heads, test samples) int64, of the last epoch; -1 where the logits were NaN


class Trainer:
    """Trains one method on prepared data; `state` and `restore` cut a run at any epoch without moving a bit.

    With a recorder the steps of a method that allows it are recorded once in a pass and replayed: the same numbers.
    """

    tables: Tables | None = None  # set by who wants tables of training samples; they move no number of the record

    def __init__(
        self,
        config: RunConfig,
        data: Prepared,
        method: Method,
        device: torch.device,
        recorder: Recorder | None = None,
    ) -> None:
        configure_torch(config, device)
        self.config, self.data, self.method, self.device = config, data, method, device
        self.task = RunTask(config, data.info, data.splits, data.facts, type(method).needs, device)
        self.task.clock = self._clock(0, 0, 1, [("setup", 1)])
        self.history: list[dict[str, Any]] = []
        torch.manual_seed(derive(config.seed, "method", "setup"))
        method.setup(self.task)
        method.to(device)
        self.capture: Capture | None = None
        if recorder is not None and type(method).capturable:
            self.capture = Capture(recorder, method, self.task, config.method.name)
        self.given = {name: resident.given.clone() for name, resident in data.splits.items()}
        self.phases = method.phases()
        if sum(length for _, length in self.phases) != config.train.epochs or any(n < 1 for _, n in self.phases):
            raise ValueError(f"phases {self.phases} of {config.method.name} do not fill {config.train.epochs} epochs")

    def run(self, save: Callable[[State], None], should_stop: Callable[[], bool]) -> Outcome:
        """Train the epochs that are left, handing over the state after each; Interrupted if asked to stop."""
        while len(self.history) < self.config.train.epochs and not self.diverged:
            self.epoch(should_stop)
            save(self.state())
        return self._outcome()

    @property
    def diverged(self) -> bool:
        return bool(self.history) and bool(self.history[-1]["diverged"])

    def epoch(self, should_stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """Train one epoch, score every head, and append its record to the history."""
        number = len(self.history)
        clock = self._clock(number, 0, 1, self.phases)
        torch.manual_seed(derive(self.config.seed, "method", number))  # for what a network draws itself: dropout
        self.task.clock = clock
        if clock.phase_epoch == 0:
            self.method.on_phase(clock)
        traces = metrics.Traces(self.method.num_networks, self.task.num_train, self.device)
        for part in self.method.epoch(clock):
            self._run_pass(part, clock, traces, should_stop)
        judgement = self.method.judgement()
        if judgement is not None:
            traces.judge(judgement)
        record = self._record(number, traces)
        if judgement is not None and judgement.transition is not None:
            record["transition"] = metrics.transition(judgement.transition, self.data.facts.get("transition"))
        self.history.append(record)
        return record

    def _run_pass(self, part: Pass, clock: Clock, traces: metrics.Traces, should_stop: Callable[[], bool]) -> None:
        schedule.apply(self.task.optimizers, self.config.train.schedule, clock)
        self.method.train(part.train)
        length = len(part.batches) if isinstance(part.batches, Sized) else None

        def now(step: int) -> Clock:
            real = self._clock(clock.epoch, step, length or 1, self.phases)
            return real if self.device.type == "cpu" else DeviceClock(real, self.device)

        def do(batch: Any, now: Clock) -> None:
            first = batch[0] if isinstance(batch, tuple) else batch
            result = part.step(batch, now)
            if result is not None:
                result.check(self.method.num_networks, len(first.y), self.task.num_classes)
            if result is not None and part.train:
                traces.add(result, first.index)

        plain = nullcontext(lambda step, batch: do(batch, now(step)))
        steps: AbstractContextManager[Callable[[int, Any], None]]
        steps = plain if self.capture is None else self.capture.steps(part, do, now, length, traces)
        with torch.set_grad_enabled(part.train), steps as run:
            for step, batch in enumerate(part.batches):
                if should_stop():
                    raise Interrupted
                run(step, batch)

    def _clock(self, epoch: int, step: int, steps: int, phases: Iterable[tuple[str, int]]) -> Clock:
        epochs, begun, name, length = self.config.train.epochs, 0, "", 0
        for name, length in phases:  # noqa: B007 - the phase that the epoch falls into is used below
            if epoch < begun + length:
                break
            begun += length
        progress = (epoch + min((step + 1) / steps, 1.0)) / epochs
        return Clock(epoch, epochs, step, steps, progress, name, epoch - begun, length)

    def _record(self, epoch: int, traces: metrics.Traces) -> dict[str, Any]:
        data, calibration, sheet = self.data, Calibration(), Sheet()
        test, val = self._predict("test", calibration.note), self._predict("val")
        # the last step of an epoch can break a network whose losses were all finite
        diverged = not bool(traces.finite) or any(bool((predicted < 0).any()) for predicted in test.values())
        is_last = diverged or epoch + 1 == self.config.train.epochs
        tables = self.tables if self.tables is not None and self.tables.due(is_last) else None
        whole = data.splits.get("trace") is data.splits["train"]
        trace = self._predict("trace", *([sheet.note] if tables is not None and whole else []))
        official = self._predict("val_clean")  # validation images with true labels of their own
        true = data.clean["train"] if data.truth else None
        if tables is not None:
            if not whole:
                self._predict_uncounted("train", sheet.note)
            tables.write(epoch + 1, sheet.columns(traces, data.splits["train"].given, true))
        record = {
            "epoch": epoch,
            "lr": self._rate(),
            "heads": self._heads(test, val, official, trace),
            "calibration": calibration.summary(),
            "knowledge": self._knowledge(traces, trace),
            "diverged": diverged,
        }
        self.test_predictions = test
        return record | traces.summary(data.splits["train"].given, true)

    def _heads(
        self,
        test: dict[str, torch.Tensor],
        val: dict[str, torch.Tensor],
        official: dict[str, torch.Tensor],
        trace: dict[str, torch.Tensor],
    ) -> dict[str, dict[str, int | None]]:
        """What each head gets right, as counts, from its predictions of each split; an absent split is empty."""
        data = self.data
        heads: dict[str, dict[str, int | None]] = {}
        for head, predicted in test.items():
            heads[head] = {"test": metrics.correct(predicted, data.test_labels), "val_noisy": 0, "val_clean": 0}
            if val:
                heads[head]["val_noisy"] = metrics.correct(val[head], data.splits["val"].given)
            if (official or val) and len(data.clean["val_clean"]):
                heads[head]["val_clean"] = metrics.correct((official or val)[head], data.clean["val_clean"])
            fitted = trace.get(head, torch.empty(0, dtype=torch.int64, device=self.device))
            heads[head] |= metrics.memorisation(fitted, data.given_trace, data.clean["trace"], data.truth)
        return heads

    def _knowledge(self, traces: metrics.Traces, trace: dict[str, torch.Tensor]) -> list[dict[str, int]]:
        seen = traces.seen["selected"]
        if not trace or not self.data.truth or not bool(seen.any()):
            return []
        where = self.data.trace_index
        return [
            metrics.knowledge(trace[f"net{k + 1}"], self.data.clean["trace"], traces.selected[k, where], seen[k, where])
            for k in range(self.method.num_networks)
            if f"net{k + 1}" in trace
        ]

    def _rate(self) -> float:
        """The learning rate of the networks: of the optimiser that the method calls so, else of its first."""
        present = getattr(self.method, "optimizer", None) or next(iter(self.task.optimizers), None)
        return float(present.param_groups[0]["lr"]) if present else 0.0

    def _predict(self, split: str, *watches: metrics.Watch) -> dict[str, torch.Tensor]:
        resident = self.data.splits.get(split)
        if resident is None:
            return {}
        self.method.eval()
        batches = resident.plain(EVAL_BATCH[self.device.type])
        return metrics.predictions(self.method.predict, batches, self.task.num_classes, watches)

    def _predict_uncounted(self, split: str, *watches: metrics.Watch) -> dict[str, torch.Tensor]:
        """The same for a pass that an uninterrupted run without tables does not make: the record must not tell."""
        counted = self.task.forward_samples
        predicted = self._predict(split, *watches)
        self.task.forward_samples = counted
        return predicted

    def state(self) -> State:
        """What a resume needs. Tensors are the live ones: serialise before training on."""
        optimizers = [optimizer.state_dict() for optimizer in self.task.optimizers]
        run_id, epoch = self.config.run_id, len(self.history)
        return State(run_id, epoch, self.method.state_dict(), optimizers, self.history, self.task.forward_samples)

    def restore(self, state: State) -> None:
        """Go on from a state: enter its phases in order, then load everything."""
        begun = 0
        for _, length in self.phases:
            if begun < state.epoch:
                self.task.clock = self._clock(begun, 0, 1, self.phases)
                self.method.on_phase(self.task.clock)
            begun += length
        self.method.load_state_dict(state.method)
        for optimizer, saved in zip(self.task.optimizers, state.optimizers, strict=True):
            optimizer.load_state_dict(saved)
        self.history, self.task.forward_samples = list(state.history), state.forward_samples

    def _outcome(self) -> Outcome:
        if not hasattr(self, "test_predictions"):  # resumed after the last epoch: the commit alone was lost
            self.test_predictions = self._predict_uncounted("test")
        for name, given in self.given.items():  # every method of a column must have met the same labels
            if not torch.equal(given, self.data.splits[name].given):
                raise RuntimeError(f"{self.config.method.name} has changed the observed labels of the {name} split")
        config, heads = self.config, sorted(self.test_predictions)
        payload = {
            "schema": 1,
            "run_id": config.run_id,
            "config": config.to_dict(),
            "noise_id": self.data.noise_id,
            "dataset_digest": config.dataset.digest,
            "device_kind": self.device.type,
            "num_networks": self.method.num_networks,
            "heads": heads,
            "headline": self.method.headline(),
            "needs": type(self.method).needs.declared(),
            "paper": type(self.method).paper,
            "parameters": sum(p.numel() for p in self.method.nets.parameters()),
            "forward_samples": self.task.forward_samples,
            "totals": self.data.totals,
            "diverged": self.diverged,
            "history": self.history,
        }
        return Outcome(payload, torch.stack([self.test_predictions[head] for head in heads]))


def configure_torch(config: RunConfig, device: torch.device) -> None:
    """Set what the process computes with: threads, TF32 or none of it, deterministic algorithms."""
    tf32 = config.train.precision == "tf32"
    if tf32 and device.type != "cuda":  # on a CPU the same switch would permit other roundings
        raise ValueError(f"precision tf32 is a format of NVIDIA GPUs, and this run is on the {device.type}")
    torch.set_num_threads(config.train.threads)
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = False
    # a GPU lacks deterministic versions of some operations: there they warn in the log instead of ending the run
    torch.use_deterministic_algorithms(config.train.deterministic, warn_only=device.type != "cpu")
    # the same flag would fill each new tensor with NaN first, a tenth of a step; what reads one unwritten is a defect
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]   # a property of the module

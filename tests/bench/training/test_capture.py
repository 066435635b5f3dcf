"""Passes recorded once and replayed: the same run to the bit, and what cannot be replayed runs as it is written."""

import itertools
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

from bench.training import capture, checkpoint
from bench.training.capture import CaptureFailed, form_of, leaves, with_tensors
from bench.training.recorders import FORCED, Graphs, Tape, recorder
from bench.training.snapshot import MOST, Snapshot, numbers
from methods import Batch, LossMethod, Pass, Step, zip_cycle
from methods.losses import cross_entropy

SETTINGS = {"batch_size": 12}  # four full batches in an epoch, and a smaller one
TOLD = []  # what a method keeps where nobody looks for it


class Noted(Tape):
    """A tape that, like a capture, does nothing to the tensors it knows of while it records."""

    executes = False

    def __init__(self, roots):
        self.roots, self.dropped = roots, 0

    def record(self, work):
        before = Snapshot(self.roots(), self.generators())
        replay = super().record(work)
        before.restore()
        return replay

    def drop(self):
        self.dropped += 1


class Timed(Tape):
    timed = True


class Broken(Tape):
    def record(self, work):
        raise RuntimeError("operation not permitted\nwhen stream is capturing")


class BrokenLater(Tape):
    """Says at the third replay what went wrong before, as a device does."""

    def record(self, work):
        replay, left = super().record(work), iter(range(2))

        def again():
            if next(left, None) is None:
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            replay()

        return again


@dataclass(eq=False)
class Plain(LossMethod):
    """Cross entropy; what is below misbehaves."""

    capturable: ClassVar[bool] = True

    def setup(self, task):
        super().setup(task)
        self.q = nn.Buffer(torch.ones(task.num_classes))
        self.count = 0
        TOLD.clear()

    def losses(self, logits, batch, clock):
        return Step((cross_entropy(logits.log_softmax(-1), batch.y) * self.weights(batch, clock)).mean(-1))

    def weights(self, batch, clock):
        return 1.0


class Rebinding(Plain):
    def weights(self, batch, clock):
        self.q = 0.9 * self.q
        return self.q[0]


class InPlace(Plain):
    def weights(self, batch, clock):
        self.q.mul_(0.9)
        return self.q[0]


class Counting(Plain):
    def weights(self, batch, clock):
        self.count += 1
        return 1 / self.count


class CountingInDict(Plain):
    def setup(self, task):
        super().setup(task)
        self.memory = {"seen": [task, {"steps": 0}]}
        self.memory["self"] = self.memory

    def weights(self, batch, clock):
        self.memory["seen"][1]["steps"] += 1
        return 1 / self.memory["seen"][1]["steps"]


class Helper:
    def __init__(self, owner):
        self.owner, self.steps = owner, 0


class CountingInHelper(Plain):
    def setup(self, task):
        super().setup(task)
        self.helpers = (Helper(self),)

    def weights(self, batch, clock):
        self.helpers[0].steps += 1
        return 1 / self.helpers[0].steps


class Appending(Plain):
    def setup(self, task):
        super().setup(task)
        self.history = []

    def weights(self, batch, clock):
        self.history.append(self.q.mean())
        return 1 / len(self.history)


class RebindingInHelper(Plain):
    def setup(self, task):
        super().setup(task)
        self.helper = Helper(torch.ones(()))

    def weights(self, batch, clock):
        self.helper.owner = 0.9 * self.helper.owner
        return self.helper.owner


class Reading(Plain):
    def weights(self, batch, clock):
        return 1 + clock.step


class Hiding(Plain):
    def weights(self, batch, clock):
        TOLD.append(1)
        return 1 / len(TOLD)


class Baking(Plain):
    """Takes a number of the batch to the host by a way that no operation shows."""

    def weights(self, batch, clock):
        return float(batch.x.detach().numpy().mean())


class Growing(Plain):
    def weights(self, batch, clock):
        return clock.value(lambda now: torch.ones(now.step + 1)).mean()


class Waiting(Plain):
    def weights(self, batch, clock):
        return float(batch.x.mean())


class Dropping(Plain):
    def losses(self, logits, batch, clock):
        return super().losses(nn.functional.dropout(logits, 0.3), batch, clock)


class Unsized(Plain):
    def epoch(self, clock):
        yield Pass(iter(self.task.loader()), self.update)


class Closing(Plain):
    """Keeps a sum in a closure, in a pass without training too."""

    def epoch(self, clock):
        total, seen = torch.zeros(()), {"most": torch.zeros(())}

        def look(batch, now):
            total.add_(self.nets[0](batch.x).softmax(-1).amax())
            seen["most"].copy_(total)

        yield Pass(self.task.loader(("plain",), shuffle=False), look, train=False, name="look")
        self.q.fill_(float(seen["most"]))
        yield Pass(self.task.loader(), self.update)

    def weights(self, batch, clock):
        return self.q[0]


class Paired(Plain):
    """Batches beside those of a smaller set, which ends and starts again in the midst of the pass."""

    def epoch(self, clock):
        half = torch.arange(30)
        yield Pass(zip_cycle(self.task.loader(), lambda n: self.task.loader(subset=half, stream=f"h{n}")), self.pair)

    def pair(self, pair, clock):
        batch, other = pair
        self.q.add_(other.x.mean())
        return self.update(batch, clock)

    def weights(self, batch, clock):
        return self.q[0].sigmoid()


def run(world, method, tape=None, **settings):
    """A finished trainer, and what its capture said."""
    trainer, said = world.trainer(method, recorder=tape, **SETTINGS, **settings), []
    if trainer.capture is not None:
        trainer.capture.say = said.append
    return world.finish(trainer), said


@pytest.mark.parametrize("cls", [Plain, InPlace, Dropping, Closing, Paired])
def test_replays_give_the_bits_of_the_run_as_written(cls, world):
    whole = world.bits(run(world, cls())[0])
    trainer, said = run(world, cls(), Tape())
    assert world.bits(trainer) == whole
    assert all(line.startswith(f"captured: {cls.__name__}, pass ") for line in said)
    # noted, checked, then two replays; from the second epoch on one is noted and one recorded, which does the step too
    assert trainer.capture.replayed["train"] == (3 + 2 + 2 if cls is not Paired else trainer.capture.replayed["train"])
    assert trainer.capture.replayed["train"] >= 3


@pytest.mark.parametrize("spec", ["cmd_p", "dividemix", "elr_plus", "volminnet", Dropping])
def test_a_recorder_that_executes_nothing_while_it_records_gives_the_same_bits(spec, world):
    make = spec if isinstance(spec, type) else lambda: spec
    whole = world.bits(run(world, make())[0])
    trainer = world.trainer(make(), recorder=Tape(), **SETTINGS)
    roots = lambda: [trainer.method, [o.state for o in trainer.task.optimizers], *now]  # noqa: E731
    now = []
    noted = trainer.capture.recorder = Noted(roots)
    steps = trainer.capture.steps

    def with_traces(part, do, clocks, length, traces):
        now[:] = [traces]
        return steps(part, do, clocks, length, traces)

    trainer.capture.steps = with_traces
    assert world.bits(world.finish(trainer)) == whole
    assert sum(trainer.capture.replayed.values()) > 6
    assert noted.dropped >= 3  # at the end of every pass


DEFECTS = {
    Rebinding: "a step binds q anew: write into the tensor, as in x.copy_(new)",
    Counting: "a step changes count, a number on the host",
    CountingInDict: "a step changes memory.seen.1.steps, a number on the host",
    CountingInHelper: "a step changes helpers.0.steps, a number on the host",
    Appending: "a step changes len(history), a number on the host",
    RebindingInHelper: "a step binds helper.owner anew: write into the tensor, as in x.copy_(new)",
    Reading: "a step reads clock.step: write clock.value(lambda now: ... now.step ...)",
    Hiding: "a replayed step differs in ",
    Baking: "a replayed step differs in ",
    Growing: "what a step asks of the clock fits no table: ",
}


@pytest.mark.parametrize("cls", DEFECTS)
def test_a_step_that_no_recording_repeats_is_found_out_told_once_and_run_as_it_is_written(cls, world):
    whole = world.bits(run(world, cls())[0])
    trainer, said = run(world, cls(), Tape())
    (line,) = said
    assert line.startswith(f"not captured: {cls.__name__}, pass 'train': {DEFECTS[cls]}")
    assert trainer.capture.replayed["train"] == 0
    if cls is not Hiding:  # whose count the check has moved: no recorder can know of it
        assert world.bits(trainer) == whole


def test_passes_of_unknown_length_run_as_they_are_written(world):
    whole = world.bits(run(world, Unsized())[0])
    trainer, said = run(world, Unsized(), Tape())
    assert (world.bits(trainer), said, trainer.capture.replayed) == (whole, [], {})


def test_what_was_found_out_holds_for_one_phase_and_one_pass_alone(world):
    trainer, said = run(world, "volminnet", Tape())
    assert len(said) == 1  # of three passes
    trainer, said = run(world, "pencil", Tape())
    phases = [(phase, name) for phase, name, *_ in trainer.capture.kinds]
    assert phases == [("backbone", "train"), ("correct", "train"), ("tune", "train")]
    assert len(said) == 3


def test_methods_that_do_not_ask_for_it_are_never_recorded(world, two_phases):
    assert world.trainer(two_phases, recorder=Broken()).capture is None


def test_what_a_step_counts_on_the_host_is_counted_for_a_replay_too(world):
    trainer, _ = run(world, "cmd_p", Tape(), epochs=2)
    # per epoch: 54 to train on, 24 to test, 6 held out, 54 of the trace; two networks
    assert trainer.outcome.payload["forward_samples"] == 2 * 2 * (54 + 24 + 6 + 54)


def test_a_run_may_go_on_without_its_recorder_and_with_it_again(world):
    whole = world.bits(run(world, "elr_plus", epochs=4)[0])
    for before, after in ((Tape(), None), (None, Tape())):
        first = world.trainer("elr_plus", recorder=before, epochs=4, **SETTINGS)
        first.epoch()
        first.epoch()
        data = checkpoint.to_bytes(first.state())
        second = world.trainer("elr_plus", recorder=after, epochs=4, **SETTINGS)
        second.restore(checkpoint.from_bytes(data, second.config.run_id, world.CPU))
        assert world.bits(world.finish(second)) == whole


@pytest.mark.parametrize(
    ("cls", "tape", "text"),
    [
        (Plain, Broken(), r"RuntimeError: operation not permitted when stream is capturing"),
        (Plain, BrokenLater(), r"RuntimeError: CUDA error: an illegal memory access was encountered"),
        (Waiting, Tape(), r"RuntimeError: aten\._local_scalar_dense\.default waits for the device"),
        (Plain, Graphs(torch.device("cpu")), r"\w+: .+"),
    ],
)
def test_a_failed_capture_says_whose_it_was_and_why(cls, tape, text, world):
    with pytest.raises(CaptureFailed, match=rf"^{cls.__name__}, pass 'train': {text}"):
        run(world, cls(), tape)


def test_a_step_that_fails_of_itself_fails_as_it_does_without_a_recorder(world):
    class Failing(Plain):
        def weights(self, batch, clock):
            raise ZeroDivisionError("by design")

    with pytest.raises(ZeroDivisionError, match="by design"):
        run(world, Failing(), Tape())


# the faster way


@pytest.mark.parametrize(
    ("moments", "line", "replayed"),
    [
        # of 27 steps one is noted, one checked, ten run as written and eleven replayed; then there are four left
        ((1, 0.3, 1, 0.5, 0.1), "captured: {} 50 ms as written, 10 ms replayed; recording it takes 300 ms{}", 12 + 4),
        ((1, 0.3, 1, 0.1, 0.5), "not captured: {} 10 ms as written, 50 ms replayed; recording it takes 300 ms{}", 12),
        (
            (1, 1.2, 1, 0.5, 0.1),
            "not captured: {} 50 ms as written, 10 ms replayed; recording it takes 1.2e+03 ms{}",
            12,
        ),
    ],
)
def test_the_faster_way_is_found_by_timing_both_and_told(moments, line, replayed, world, monkeypatch):
    settings = {"batch_size": 2, "epochs": 2}
    whole = world.bits(world.finish(world.trainer(Plain(), **settings)))
    trainer, said = world.trainer(Plain(), recorder=Timed(), **settings), []
    trainer.capture.say = said.append
    present = itertools.accumulate(moments)
    monkeypatch.setattr(capture.time, "perf_counter", lambda: next(present))
    trainer.epoch()
    monkeypatch.undo()
    assert said[1:] == [line.format("Plain, pass 'train': a step takes", ", once for 27 steps")]
    assert trainer.capture.replayed["train"] == replayed
    assert world.bits(world.finish(trainer)) == whole
    assert trainer.capture.replayed["train"] == replayed + (0 if line.startswith("not") else 25)
    assert len(said) == 2


def test_a_pass_too_short_for_a_trial_runs_as_it_is_written(world):
    whole = world.bits(run(world, Plain())[0])
    trainer, said = run(world, Plain(), Timed())
    assert (world.bits(trainer), said, trainer.capture.replayed) == (whole, [], {})


@pytest.mark.parametrize(("size", "lines"), [(12, 0), (10, 2)])
def test_a_trial_is_begun_only_where_it_ends_before_a_smaller_last_batch(size, lines, world, monkeypatch):
    """A trial of one step each way takes three after the two before it: of four full batches there are too few."""
    monkeypatch.setattr(capture, "TRIAL", 1)
    trainer, said = world.trainer(Plain(), recorder=Timed(), batch_size=size, epochs=1), []
    trainer.capture.say = said.append
    trainer.epoch()
    assert len(said) == lines


def test_a_kind_that_was_timed_is_replayed_in_short_passes_too(world, monkeypatch):
    monkeypatch.setattr(capture, "TRIAL", 100)
    trainer = world.trainer(Plain(), recorder=Timed(), epochs=2, **SETTINGS)
    trainer.epoch()
    (kind,) = trainer.capture.kinds.values()
    assert not kind.plain
    kind.timed = kind.checked = True
    trainer.epoch()
    assert trainer.capture.replayed["train"] == 2


# parts


def batch(size, views=1, layout=torch.contiguous_format):
    images = tuple(torch.zeros(size, 2, 3, 3).contiguous(memory_format=layout) for _ in range(views))
    return Batch(torch.arange(size), images, torch.zeros(size, dtype=torch.int64))


def test_two_batches_are_of_one_form_if_every_tensor_has_the_same_shape_layout_and_kind():
    assert form_of(batch(4)) == form_of(batch(4))
    others = [batch(3), batch(4, views=2), batch(4, layout=torch.channels_last), (batch(4), batch(4)), (batch(4), None)]
    forms = [form_of(each) for each in (batch(4), *others)]
    assert len(set(forms)) == len(forms)
    assert None not in forms
    assert form_of({"x": 1}) is form_of((batch(4), [1])) is leaves([batch(4)]) is None


def test_a_batch_is_rebuilt_around_other_tensors():
    pair = (batch(2, views=2), None, batch(3))
    copies = [tensor + 1 for tensor in leaves(pair)]
    first, nothing, second = with_tensors(pair, iter(copies))
    assert nothing is None
    assert [t is c for t, c in zip(leaves((first, nothing, second)), copies, strict=True)] == [True] * 7
    assert (len(first.views), len(second.views)) == (2, 1)


def test_on_the_cpu_auto_is_plain_and_only_always_insists():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert recorder("off", cuda) is recorder("off", cpu) is recorder("auto", cpu) is None
    assert isinstance(recorder("auto", cuda), Graphs)
    assert isinstance(recorder(FORCED, cpu), Graphs)


# what a snapshot holds


def test_numbers_are_found_wherever_a_method_keeps_them_but_not_in_tasks_and_not_in_what_others_made(world):
    method = world.trainer(CountingInHelper(), **SETTINGS).method
    method.parts = {"a": [1, {"b": True}], ("x", 2): 2.5, "deep": nn.ModuleList([nn.Dropout(0.25)])}
    method.long, method.optim = [0] * (MOST + 1), {"it": method.optimizer}
    found = numbers([method])
    wanted = {"parts.a.0": 1, "parts.a.1.b": True, "parts.1": 2.5, "parts.deep.0.p": 0.25, "helpers.0.steps": 0}
    assert {name: found[name] for name in wanted} == wanted
    assert (found["len(parts)"], found["len(parts.a)"], found["len(long)"]) == (3, 2, MOST + 1)
    assert not [name for name in found if name.startswith(("task", "long", "optim.it", "optimizer"))]


def test_a_snapshot_puts_back_tensors_wherever_they_are_kept_and_says_what_differs():
    module = nn.Linear(2, 2)
    module.memory, module.parts = torch.zeros(3), {"a": [torch.ones(2)]}
    module.parts["self"] = module.parts
    fixed = (torch.tensor([1.0, float("nan")]),)
    generator = torch.Generator().manual_seed(1)
    before = Snapshot([module, fixed], [generator])
    assert before.difference() is None
    weight, old = module.weight, module.memory
    with torch.no_grad():
        module.weight.add_(0.5)
        module.parts["a"][0].mul_(3)
        fixed[0][0] = 5
    module.memory = torch.full((3,), 7.0)
    assert before.difference() == ("memory", 7.0)
    torch.rand(3, generator=generator)
    before.restore()
    assert before.difference() is None
    assert module.memory is old
    assert module.weight is weight
    torch.rand(1, generator=generator)
    assert before.difference() == ("the state of a generator", float("inf"))

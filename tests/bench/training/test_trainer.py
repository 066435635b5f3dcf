"""Runs from config to record: what is counted, what survives an interruption, what ends a run."""

import math
import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from bench.sweep.records.result import check_payload
from bench.training.trainer import Interrupted
from methods import LossMethod, Pass, Step
from methods.losses import cross_entropy


@dataclass(eq=False)
class Toy(LossMethod):
    """Cross entropy that remembers what it was handed, and fails in an epoch of one's choice."""

    nan_epoch: int = -1  # in which the loss of one batch is no number
    passes: int = 1

    def setup(self, task):
        super().setup(task)
        self.clocks = []

    def epoch(self, clock):
        for number in range(self.passes):
            yield Pass(self.task.loader(stream=str(number)), self.update)

    def losses(self, logits, batch, clock):
        self.clocks.append(clock)
        loss = cross_entropy(logits.log_softmax(-1), batch.y).mean(-1)
        return Step(loss * math.nan if (clock.epoch, clock.step) == (self.nan_epoch, 1) else loss)


@dataclass(eq=False)
class EveryThird(LossMethod):
    """Cross entropy that is sure of every third sample."""

    def losses(self, logits, batch, clock):
        loss = cross_entropy(logits.log_softmax(-1), batch.y).mean(-1)
        return Step(loss, selected=(batch.index % 3 == 0)[None])


@dataclass(eq=False)
class Dropping(LossMethod):
    """Cross entropy with dropout, which draws from torch's own generator."""

    def losses(self, logits, batch, clock):
        kept = torch.nn.functional.dropout(logits, 0.3)
        return Step(cross_entropy(kept.log_softmax(-1), batch.y).mean(-1))


# the clock


def test_progress_rises_with_every_batch_and_is_exactly_one_at_the_last(world):
    trainer = world.finish(world.trainer(Toy(), epochs=3))
    clocks = trainer.method.clocks
    progress = [clock.progress for clock in clocks]
    assert len(progress) == 12
    assert progress[0] == pytest.approx(1 / 12)
    assert progress == sorted(set(progress))
    assert progress[-1] == 1.0
    assert [(c.epoch, c.step, c.steps, c.phase) for c in clocks[3:5]] == [(0, 3, 4, "train"), (1, 0, 4, "train")]


@pytest.mark.parametrize("epochs", [1, 7, 49])
def test_the_last_batch_of_any_number_of_epochs_is_at_progress_one(epochs, world):
    trainer = world.trainer(Toy(), epochs=epochs)
    trainer.history = [{"diverged": False}] * (epochs - 1)
    trainer.epoch()
    assert trainer.method.clocks[-1].progress == 1.0


def test_every_pass_of_an_epoch_ends_where_the_epoch_does(world):
    trainer = world.finish(world.trainer(Toy(passes=2), epochs=2))
    assert [c.progress for c in trainer.method.clocks if c.step == c.steps - 1] == [0.5, 0.5, 1.0, 1.0]


def test_phases_have_their_own_count_of_epochs(world, two_phases, monkeypatch):
    trainer = world.trainer(two_phases, epochs=4)
    entered = []
    enter = trainer.method.on_phase
    monkeypatch.setattr(trainer.method, "on_phase", lambda clock: (entered.append(clock), enter(clock)))
    world.finish(trainer)
    assert [(c.phase, c.epoch, c.phase_epoch, c.phase_epochs) for c in entered] == [
        ("warm_up", 0, 0, 1),
        ("again", 1, 0, 3),
    ]


def test_phases_that_do_not_fill_the_run_are_refused(world, two_phases):
    with pytest.raises(ValueError, match=r"phases .* of outside.TwoPhases do not fill 1 epochs"):
        world.trainer(two_phases, epochs=1)


# passes


def test_an_evaluation_pass_between_two_others_moves_nothing_and_trains_no_statistic(world, two_phases):
    trainer = world.trainer(two_phases)
    method, states, modes = trainer.method, [], []
    epoch = method.epoch

    def watched(clock):
        for part in epoch(clock):
            modes.append((part.name, part.train))
            yield part
            states.append({name: value.clone() for name, value in method.nets.state_dict().items()})

    method.epoch = watched
    trainer.epoch()
    assert modes == [("train", True), ("measure", False), ("train", True)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[1][name], states[2][name]) for name in states[0])
    assert (method.trust != 1).any()  # what stands between the yields ran between the passes


def test_the_steps_of_an_evaluation_pass_leave_no_trace(world):
    trainer = world.trainer("ce")
    world.looking_only(trainer.method, lambda batch, clock: Step(torch.tensor([5.0])))
    assert trainer.epoch()["loss"] == [None]


def test_scoring_moves_nothing(world):
    trainer = world.trainer("cmd_p")
    trainer.epoch()
    before = world.weights(trainer.method)
    trainer._predict("test")
    assert all(torch.equal(before[name], value) for name, value in trainer.method.state_dict().items())


# the record


def test_counts_are_recounts_of_the_last_predictions(world):
    trainer = world.finish(world.trainer("cmd_p"))
    payload, last = trainer.outcome.payload, trainer.history[-1]
    check_payload(payload | world.CODES, trainer.config.run_id)
    given, clean = trainer.data.splits["train"].given, trainer.data.clean["train"]
    assert payload["heads"] == ["ensemble", "net1", "net2"]
    assert payload["headline"] == ["net1", "net2"]
    for head, predicted in zip(payload["heads"], trainer.outcome.predictions, strict=True):
        assert last["heads"][head]["test"] == int((predicted == trainer.data.test_labels).sum())
    trainer.method.eval()
    plain = next(iter(trainer.data.splits["train"].plain(1000)))
    fitted = trainer.method.predict(plain.x)["net2"].argmax(-1)
    assert last["heads"]["net2"]["right_fit"] == int(((fitted == given) & (given == clean)).sum())
    assert last["heads"]["net2"]["wrong_fit"] == int(((fitted == given) & (given != clean)).sum())
    assert last["heads"]["net2"]["wrong_recovered"] == int(((fitted == clean) & (given != clean)).sum())
    val = trainer.data.splits["val"]
    chosen = trainer.method.predict(next(iter(val.plain(1000))).x)["net2"].argmax(-1)
    assert last["heads"]["net2"]["val_noisy"] == int((chosen == val.given).sum())
    assert last["heads"]["net2"]["val_clean"] == int((chosen == trainer.data.clean["val"]).sum())
    assert payload["totals"] == {
        "test": 24,
        "val": 6,
        "train": 54,
        "train_wrong": int((given != clean).sum()),
        "trace": 54,
        "trace_wrong": int((given != clean).sum()),
        "train_foreign": 0,
        "trace_foreign": 0,
        "val_clean": 6,
    }
    gate = last["knowledge"][1]
    assert gate["open"] + gate["shut"] == 54
    assert gate["open_right"] + gate["shut_right"] == int((fitted == clean).sum())


def test_forward_samples_are_all_that_went_through_a_network(world):
    trainer = world.finish(world.trainer("dml", epochs=2))
    # per epoch: 54 to train on, 24 to test, 6 held out, 54 of the trace; two networks
    assert trainer.outcome.payload["forward_samples"] == 2 * 2 * (54 + 24 + 6 + 54)
    assert trainer.outcome.payload["parameters"] == sum(p.numel() for p in trainer.method.nets.parameters())


def test_without_held_out_samples_their_counts_are_zero(world):
    trainer = world.finish(world.trainer("ce", epochs=1, dataset={"val": 0.0}))
    check_payload(trainer.outcome.payload | world.CODES, trainer.config.run_id)
    assert trainer.outcome.payload["totals"]["val"] == 0
    assert trainer.history[0]["heads"]["net1"]["val_noisy"] == 0


def test_a_trace_of_some_samples_is_measured_on_those(world):
    trainer = world.finish(world.trainer("cmd_p", epochs=2, trace_samples=20))
    data, last = trainer.data, trainer.history[-1]
    check_payload(trainer.outcome.payload | world.CODES, trainer.config.run_id)
    where = data.trace_index
    assert len(set(where.tolist())) == 20
    given, clean = data.splits["train"].given[where], data.clean["train"][where]
    assert torch.equal(data.splits["trace"].given, given)
    assert torch.equal(data.clean["trace"], clean)
    assert trainer.outcome.payload["totals"]["trace_wrong"] == int((given != clean).sum())
    trainer.method.eval()
    plain = next(iter(data.splits["train"].plain(1000)))
    fitted = trainer.method.predict(plain.x)["net1"].argmax(-1)[where]
    assert last["heads"]["net1"]["right_fit"] == int(((fitted == given) & (given == clean)).sum())
    assert last["heads"]["net1"]["wrong_fit"] == int(((fitted == given) & (given != clean)).sum())
    gate = last["knowledge"][0]
    assert gate["open"] + gate["shut"] == 20
    assert gate["open_right"] + gate["shut_right"] == int((fitted == clean).sum())


@pytest.mark.parametrize("trace_samples", [20, 54])
def test_knowledge_is_counted_on_the_samples_of_the_trace_by_their_index(trace_samples, world):
    trainer = world.finish(world.trainer(EveryThird(), epochs=2, trace_samples=trace_samples))
    where = trainer.data.trace_index
    is_open = where % 3 == 0
    trainer.method.eval()
    fitted = trainer.method.predict(next(iter(trainer.data.splits["trace"].plain(100))).x)["net1"].argmax(-1)
    right = fitted == trainer.data.clean["trace"]
    assert trainer.history[-1]["knowledge"] == [
        {
            "open": int(is_open.sum()),
            "open_right": int((is_open & right).sum()),
            "shut": int((~is_open).sum()),
            "shut_right": int((~is_open & right).sum()),
        }
    ]
    assert trainer.history[-1]["selection"][0]["selected"] == 18


def test_the_trace_is_the_same_for_every_method_and_seed(world):
    one, other = (world.trainer(name, seed=seed, trace_samples=20) for name, seed in (("ce", 0), ("dml", 3)))
    assert torch.equal(one.data.trace_index, other.data.trace_index)


def test_a_run_without_a_trace_has_counts_of_zero(world):
    trainer = world.finish(world.trainer("cmd_p", epochs=1, trace_samples=0))
    check_payload(trainer.outcome.payload | world.CODES, trainer.config.run_id)
    assert trainer.history[0]["heads"]["net1"]["right_fit"] == 0
    assert trainer.history[0]["knowledge"] == []


# ends


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_its_history(world):
    trainer = world.finish(world.trainer(Toy(nan_epoch=1), epochs=4))
    payload = trainer.outcome.payload
    assert payload["diverged"]
    assert [record["diverged"] for record in payload["history"]] == [False, True]
    assert payload["history"][1]["loss"] == [None]
    assert payload["history"][0]["loss"][0] > 0
    check_payload(payload | world.CODES, trainer.config.run_id)


def test_a_dead_network_scores_nothing_though_the_argmax_of_nan_is_class_zero(world):
    trainer = world.finish(world.trainer(Toy(nan_epoch=1), epochs=4))
    assert (trainer.data.test_labels == 0).any()
    assert trainer.history[1]["heads"]["net1"]["test"] == 0
    assert (trainer.outcome.predictions == -1).all()


@dataclass(eq=False)
class LateDeath(LossMethod):
    """Every loss is finite, and the last update of the first epoch breaks the network."""

    def losses(self, logits, batch, clock):
        return Step(cross_entropy(logits.log_softmax(-1), batch.y).mean(-1))

    def update(self, batch, clock):
        step = super().update(batch, clock)
        if clock.step == clock.steps - 1:
            with torch.no_grad():
                next(self.parameters()).fill_(math.nan)
        return step


def test_a_network_that_the_last_step_broke_is_called_diverged(world):
    trainer = world.finish(world.trainer(LateDeath(), epochs=3))
    assert [record["diverged"] for record in trainer.outcome.payload["history"]] == [True]
    assert trainer.history[0]["loss"][0] > 0


def test_a_diverged_run_that_is_resumed_stays_as_it_ended(world):
    settings = {"epochs": 4}
    whole = world.finish(world.trainer(Toy(nan_epoch=1), **settings))
    again = world.resumed(Toy(nan_epoch=1), 2, Toy(nan_epoch=1), **settings)
    assert again.outcome.payload == whole.outcome.payload


def test_a_stop_leaves_the_epoch_before_as_the_last_state(world):
    trainer = world.trainer("ce")
    saved, asked = [], iter(range(100))
    with pytest.raises(Interrupted):
        trainer.run(saved.append, lambda: next(asked) >= 6)  # four batches in an epoch
    assert [state.epoch for state in saved] == [1]
    assert len(saved[0].history) == 1


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_a_method_of_two_phases_is_resumed_bit_for_bit_at_every_epoch(cut, world, two_phases):
    settings = {"epochs": 4, "params": {"warm_up": 2}}
    whole = world.bits(world.finish(world.trainer(two_phases, **settings)))
    assert world.bits(world.resumed(two_phases, cut, **settings)) == whole


@pytest.mark.parametrize("schedule", [{"name": "cosine"}, {"name": "linear", "start": 0.3, "momentum_after": 0.5}])
def test_momentum_is_resumed_bit_for_bit(schedule, world):
    settings = {"optimizer": {"name": "sgd", "lr": 0.05}, "schedule": schedule}
    whole = world.bits(world.finish(world.trainer("cmd_p", **settings)))
    assert any("momentum" in name for name in whole)
    assert world.bits(world.resumed("cmd_p", 2, **settings)) == whole


@pytest.mark.parametrize("cut", [1, 2])
def test_what_a_network_draws_itself_is_resumed_bit_for_bit(cut, world):
    whole = world.bits(world.finish(world.trainer(Dropping())))
    assert world.bits(world.resumed(Dropping(), cut, Dropping())) == whole


def test_the_second_phase_starts_from_fresh_weights(world, two_phases):
    settings = {"epochs": 2, "params": {"warm_up": 1}}
    trainer = world.trainer(two_phases, **settings)
    trainer.epoch()
    trained = trainer.method.nets[0].head.weight.clone()
    trainer.method.epoch = lambda clock: iter(())
    trainer.epoch()
    assert not torch.equal(trainer.method.nets[0].head.weight, trained)
    assert len(trainer.task.optimizers) == 2


def test_restoring_enters_the_phases_begun_and_not_the_next(world, two_phases):
    settings = {"epochs": 4, "params": {"warm_up": 2}}
    for cut, wanted in ((1, 1), (2, 1), (3, 2)):
        first = world.trainer(two_phases, **settings)
        for _ in range(cut):
            first.epoch()
        second = world.trainer(two_phases, **settings)
        second.restore(first.state())
        assert len(second.task.optimizers) == wanted


def test_a_run_leaves_the_generators_of_python_and_numpy_alone(world):
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002 - only read
    world.finish(world.trainer("co_teaching"))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


@pytest.mark.parametrize("change", [{"seed": 1}, {"epochs": 2}, {"batch_size": 8}, {"optimizer": {"lr": 0.02}}])
def test_what_the_config_says_changes_the_numbers(change, world):
    base = world.finish(world.trainer("ce")).history
    assert world.finish(world.trainer("ce", **change)).history != base

"""Progressive early stopping: what moves in which phase, whom it trusts, and a main epoch of each kind written out."""

import dataclasses

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

import methods.pes as module
from methods.base import Batch, Clock
from methods.mixing import partners
from methods.registry import create

BOTH = pytest.mark.parametrize("name", ["pes", "pes_semi"])
SETTINGS = {
    "schedule": {"name": "steps", "steps": [0.3], "gamma": 0.5},
    "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3},
    "epochs": 5,
}
TAILS = {"pes": [("refine_stage", 1), ("refine_head", 0)], "pes_semi": [("refine", 0)]}


def weights_of(net):
    return {name: value.detach().clone() for name, value in net.named_parameters()}


def tail_of(net, stages):
    names = [f"stages.{number}." for number in range(len(net.stages) - stages, len(net.stages))]
    return {name for name, _ in net.named_parameters() if name.startswith(("head.", *names))}


def test_phases_are_those_of_the_code(world):
    assert world.trainer("pes", epochs=212).phases == [
        ("warm_up", 25),
        ("refine_stage", 7),
        ("refine_head", 5),
        ("main", 175),
    ]
    assert world.trainer("pes_semi", epochs=300).phases == [("warm_up", 20), ("refine", 5), ("main", 275)]


@BOTH
def test_only_the_tail_moves_while_it_is_refined_and_everything_does_afterwards(name, world):
    trainer = world.trainer(name, **SETTINGS)
    net = trainer.method.nets[0]
    trainer.epoch()
    for number, (phase, stages) in enumerate(TAILS[name], start=1):
        before = weights_of(net)
        trainer.epoch()
        assert trainer.task.clock.phase == phase
        moved = {key for key, value in weights_of(net).items() if not torch.equal(value, before[key])}
        assert moved == tail_of(net, stages) == {key for key, p in net.named_parameters() if p.requires_grad}
        assert len(moved) == 2 + 2 * stages
        assert trainer.history[number]["loss"][0] > 0
    before = weights_of(net)
    trainer.epoch()
    assert trainer.task.clock.phase == "main"
    assert not any(torch.equal(value, before[key]) for key, value in weights_of(net).items())


@BOTH
def test_a_tail_is_trained_from_fresh_weights_by_adam_at_a_rate_that_no_schedule_changes(name, world):
    trainer = world.trainer(name, **SETTINGS)
    trainer.epoch()
    first, *refining = trainer.task.optimizers
    assert not refining
    net, old = trainer.method.nets[0], weights_of(trainer.method.nets[0])
    for number, (_, stages) in enumerate(TAILS[name], start=1):
        trainer.epoch()
        adam = trainer.task.optimizers[number]
        (group,) = adam.param_groups
        assert isinstance(adam, torch.optim.Adam)
        assert (group["lr"], group["weight_decay"], group["betas"]) == (1e-4, 0.0, (0.9, 0.999))
        for key in tail_of(net, stages):  # four steps of 1e-4 do not lead from the old weights to here: drawn anew
            assert (net.get_parameter(key) - old[key]).abs().max() > 0.01
        old = weights_of(net)
        assert not any(first.state[p]["momentum_buffer"].any() for p in net.head.parameters())
    assert first.param_groups[0]["lr"] == pytest.approx(0.05 * (0.5 if number / 5 >= 0.3 else 1.0))


def given(method, labels, confident):
    method.task.num_classes = max(labels) + 1
    method.task.labels = lambda split="train": torch.tensor(labels)
    method.confident = torch.tensor(confident)


def test_class_weights_are_the_mean_count_over_the_count_of_confident_samples(world):
    method = world.trainer("pes", **SETTINGS).method
    given(method, [0, 0, 0, 1, 1, 1, 2], [True, True, True, True, False, False, True])
    assert method.class_weights(float("inf")).tolist() == pytest.approx([5 / 9, 5 / 3, 5 / 3])
    # a class of which no sample is trusted has no weight, and no part in the mean
    given(method, [0, 0, 0, 1, 1, 1, 2], [True, True, True, True, False, False, False])
    assert method.class_weights(float("inf")).tolist() == pytest.approx([2 / 3, 2.0, 0.0])
    given(method, [0] * 9 + [1], [True] * 10)
    assert method.class_weights(float("inf")).tolist() == pytest.approx([5 / 9, 5.0])
    assert method.class_weights(3.0).tolist() == pytest.approx([5 / 9, 3.0])
    given(method, [0, 1], [False, False])
    assert method.class_weights(3.0).tolist() == [0.0, 0.0]


def in_main(world, name, epochs_done, **params):
    """A trainer before its epoch number `epochs_done`, in the main phase, the epoch's clock set."""
    trainer = world.trainer(name, params=params, **SETTINGS)
    for _ in range(epochs_done):
        trainer.epoch()
    trainer.task.clock = trainer._clock(epochs_done, 0, 1, trainer.phases)
    assert trainer.task.clock.phase == "main"
    if trainer.task.clock.phase_epoch == 0:
        trainer.method.on_phase(trainer.task.clock)
    return trainer


def confident_by_hand(net, task):
    """Whether the mean prediction of two augmented copies, in evaluation mode, is the given label."""
    net.eval()
    found = torch.zeros(task.num_train, dtype=torch.bool)
    with torch.no_grad():
        for batch in task.loader(("weak", "weak"), shuffle=False):
            p = (net(batch.views[0]).softmax(1) + net(batch.views[1]).softmax(1)) / 2
            for place, (row, label) in enumerate(zip(p.tolist(), batch.y.tolist(), strict=True)):
                found[batch.index[place]] = row.index(max(row)) == label
    net.train()
    return found


@BOTH
def test_it_trusts_the_samples_whose_label_is_predicted(name, world):
    trainer = in_main(world, name, 4)
    method, task = trainer.method, trainer.task
    expected = confident_by_hand(method.nets[0], task)
    assert 2 <= expected.sum() <= len(expected) - 2
    looking = next(method.epoch(task.clock))
    assert not looking.train
    method.eval()
    with torch.no_grad():
        for batch in looking.batches:
            looking.step(batch, task.clock)
    assert torch.equal(method.confident, expected)
    assert torch.equal(method.judgement().selected, expected[None])


@BOTH
def test_nothing_is_judged_before_the_main_phase(name, world):
    trainer = world.trainer(name, **SETTINGS)
    trainer.epoch()
    assert trainer.method.judgement() is None


class Straight:
    """A network and plain stochastic gradient descent, from a trainer that is about to begin its main phase."""

    def __init__(self, world, name, done):
        started = in_main(world, name, done)
        self.task, self.clock = started.task, started.task.clock
        self.net = started.method.nets[0]
        self.velocity = {
            key: started.method.optimizer.state[p]["momentum_buffer"].clone() for key, p in self.net.named_parameters()
        }
        self.velocity |= {key: 0 for key in tail_of(self.net, {"pes": 1, "pes_semi": 0}[name])}  # drawn anew
        self.rate = 0.05 * 0.5

    def learn(self, loss):
        self.net.zero_grad()
        loss.backward()
        with torch.no_grad():
            for key, p in self.net.named_parameters():
                self.velocity[key] = 0.9 * self.velocity[key] + p.grad + 1e-3 * p
                p -= self.rate * self.velocity[key]


def compare(trainer, straight):
    mine, theirs = trainer.method.nets[0].state_dict(), straight.net.state_dict()
    torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-5)


def test_a_main_epoch_is_weighted_cross_entropy_on_the_trusted_samples(world):
    straight = Straight(world, "pes", 3)
    task = straight.task
    trusted = confident_by_hand(straight.net, task)
    labels = task.labels()
    counts = [int((trusted & (labels == c)).sum()) for c in range(3)]
    present = [n for n in counts if n]
    weight = torch.tensor([sum(present) / len(present) / n if n else 0.0 for n in counts])
    for batch in task.loader(subset=trusted.nonzero().flatten()):
        straight.learn(cross_entropy(straight.net(batch.x), batch.y, weight=weight))
    trainer = in_main(world, "pes", 3)
    trainer.epoch()
    compare(trainer, straight)


def rounds(task, subset, size, num):
    batches, number = [], 0
    while len(batches) < num:
        stream = f"unlabelled.{number}"
        batches += list(task.loader(("weak", "weak"), subset=subset, batch_size=size, stream=stream))
        number += 1
    return batches[:num]


def test_a_main_epoch_of_the_other_kind_is_mixmatch_on_trusted_and_doubtful_samples(world):
    straight = Straight(world, "pes_semi", 2)
    task, net, clock = straight.task, straight.net, straight.clock
    trusted = confident_by_hand(net, task)
    labels, total = task.labels(), task.num_train
    counts = [int((trusted & (labels == c)).sum()) for c in range(3)]
    present = [n for n in counts if n]
    weight = torch.tensor([min(sum(present) / len(present) / n, 3.0) if n else 0.0 for n in counts])
    doubtful = total - sum(counts)
    size = 8 if doubtful > sum(counts) else int(doubtful / total * 16)
    chosen = trusted.nonzero().flatten()
    first = list(task.loader(("weak", "weak"), subset=chosen, batch_size=16 - size, stream="labelled"))
    second = rounds(task, (~trusted).nonzero().flatten(), size, len(first))
    for step, (x, u) in enumerate(zip(first, second, strict=True)):
        net.eval()
        with torch.no_grad():
            p = ((net(u.views[0]).softmax(1) + net(u.views[1]).softmax(1)) / 2) ** 2  # temperature 1/2
        net.train()
        guess, known = p / p.sum(1, keepdim=True), one_hot(x.y, 3).float()
        inputs, targets = torch.cat([*x.views, *u.views]), torch.cat([known, known, guess, guess])
        now = dataclasses.replace(clock, step=step, steps=len(first))
        lam, order = partners(task, now, len(inputs), 4.0, "mixmatch")
        lam = max(lam, 1 - lam)
        logits = net(lam * inputs + (1 - lam) * inputs[order])
        target = lam * targets + (1 - lam) * targets[order]
        cut = 2 * len(known)
        mean = -(logits[:cut].log_softmax(1) * target[:cut]).mean(0)
        rise = step / len(first)  # one epoch of five is more than 16 of 300
        loss = (mean * weight).sum() + 15 * rise * ((logits[cut:].softmax(1) - target[cut:]) ** 2).mean()
        straight.learn(loss)
    trainer = in_main(world, "pes_semi", 2)
    trainer.epoch()
    compare(trainer, straight)


def test_a_batch_holds_as_large_a_share_of_doubtful_samples_as_the_data_but_at_most_half(world):
    method = in_main(world, "pes_semi", 2).method
    num = method.task.num_train
    for trusted, sizes in ((40, (12, 4)), (10, (8, 8)), (num - 2, (14, 2))):
        method.confident[:] = False
        method.confident[:trusted] = True
        labelled, rest = next(iter(method.main().batches))
        assert (len(labelled.y), len(rest.y)) == sizes
        assert (labelled.index < trusted).all()
        assert (rest.index >= trusted).all()


def test_class_weights_of_the_mixing_kind_are_capped_at_three(world, monkeypatch):
    method = in_main(world, "pes_semi", 2).method
    asked = []
    monkeypatch.setattr(type(method), "class_weights", lambda self, highest: asked.append(highest) or torch.ones(3))
    method.confident[:30] = True
    method.main()
    assert asked == [3.0]


def clock(epoch, epochs=300, step=0, steps=4):
    return Clock(epoch, epochs, step, steps, 0.5, "main", epoch - 25, 275)


def test_alpha_falls_at_half_way_and_the_weight_of_doubtful_samples_rises_for_sixteen_epochs(world, monkeypatch):
    method = in_main(world, "pes_semi", 2, lambda_u=10.0).method
    asked, weight = [], []

    class Found:
        def supervised(self, weights):
            weight.append(None)
            return method.nets[0].head.weight.sum() * 0

        def unsupervised(self):
            return method.nets[0].head.bias.sum() * 0 + 1

    monkeypatch.setattr(module, "mixmatch", lambda *args: asked.append(args[5]) or Found())
    (batch,) = method.task.loader(("weak", "weak"), subset=torch.arange(8), batch_size=8)
    found = {}
    for epoch, step in ((25, 0), (25, 2), (33, 0), (41, 0), (149, 0), (150, 0), (299, 3)):
        loss = method.mix((batch, batch), clock(epoch, step=step), torch.ones(3)).losses
        found[epoch + step / 4] = float(loss)
    assert asked == [4.0] * 5 + [0.75] * 2
    assert found == pytest.approx({25: 0, 25.5: 10 / 32, 33: 5, 41: 10, 149: 10, 150: 10, 299.75: 10})


def test_guessing_leaves_the_statistics_of_batch_norm_alone(world):
    method = in_main(world, "pes_semi", 2).method
    method.train()
    norm = method.nets[0].stages[0][1]
    seen = int(norm.num_batches_tracked)
    (batch,) = method.task.loader(("weak", "weak"), subset=torch.arange(8), batch_size=8)
    method.mix((batch, batch), method.task.clock, torch.ones(3))
    assert int(norm.num_batches_tracked) == seen + 1
    assert norm.training


def test_without_doubtful_samples_the_labelled_ones_are_mixed_among_themselves(world):
    trainer = in_main(world, "pes_semi", 2)
    method = trainer.method
    method.confident[:] = True
    part = method.main()
    labelled, rest = next(iter(part.batches))
    assert rest is None
    step = part.step((labelled, rest), trainer.task.clock)
    assert torch.isfinite(step.losses).all()


@BOTH
@pytest.mark.parametrize("trusted", [0, 1])
def test_with_fewer_than_two_trusted_samples_it_learns_from_all_by_cross_entropy(name, trusted, world):
    method = in_main(world, name, {"pes": 3, "pes_semi": 2}[name]).method
    method.confident[:] = False
    method.confident[:trusted] = True
    part = method.main()
    batch = next(iter(part.batches))
    assert isinstance(batch, Batch)
    expected = cross_entropy(method.train().nets[0](batch.x), batch.y).item()
    assert part.step(batch, method.task.clock).losses.tolist() == pytest.approx([expected], rel=1e-5)


@pytest.mark.parametrize(
    ("name", "wrong", "text"),
    [
        ("pes", {"warm_up": 0.0}, "must be above 0, together below 1"),
        ("pes", {"refine_stage": 0.9}, "must be above 0, together below 1"),
        ("pes_semi", {"refine": 0.0}, "warm_up and refine must be above 0 and together below 1"),
        ("pes_semi", {"warm_up": 0.99}, "warm_up and refine must be above 0 and together below 1, got 0.99 and"),
        ("pes_semi", {"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        ("pes_semi", {"alpha_late": -0.1}, "alpha_late must be at least 0, got -0.1"),
    ],
)
def test_wrong_settings_are_refused(name, wrong, text):
    with pytest.raises(ValueError, match=text):
        create(name, **wrong)

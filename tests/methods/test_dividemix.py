"""DivideMix: two epochs against the paper's algorithm written out, and each part of it by itself."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

import methods.dividemix as module
from methods.base import Batch, Clock
from methods.mixing import partners
from methods.mixture import clean_probability
from methods.registry import create, describe

SETTINGS = {
    "schedule": {"name": "constant"},
    "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3},
}
OTHER = {"lambda_u": 3.0, "alpha": 0.5, "temperature": 0.7}


def at(epoch: int, step: int = 0, steps: int = 1, epochs: int = 3, warm_up: int = 1) -> Clock:
    phase, begun, length = ("warm_up", 0, warm_up) if epoch < warm_up else ("divide", warm_up, epochs - warm_up)
    return Clock(epoch, epochs, step, steps, 0.5, phase, epoch - begun, length)


class Straight:
    """The algorithm for two networks with an optimiser each, from the paper and its code, on a task's batches."""

    def __init__(self, task, penalty=False, threshold=0.5, temperature=0.5, alpha=4.0, lambda_u=25.0, reference=False):
        self.task, self.penalty, self.threshold, self.temperature = task, penalty, threshold, temperature
        self.alpha, self.lambda_u, self.reference = alpha, lambda_u, reference
        self.nets = [task.make_network(k) for k in range(2)]
        self.steps = [
            torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3, foreach=False)
            for net in self.nets
        ]

    def epoch(self, clock: Clock) -> None:
        self.task.clock = clock
        for net in self.nets:
            net.train()
        if clock.phase == "warm_up":
            for k in range(2):
                for batch in self.task.loader(stream=f"net{k + 1}"):
                    self.learn(k, self.warm_up_loss(self.nets[k](batch.x), batch.y))
            return
        clean = [self.divide(k, clock) for k in range(2)]
        for k in range(2):
            self.train(k, clean[1 - k], clock)

    def warm_up_loss(self, logits, y):
        loss = torch.nn.functional.cross_entropy(logits, y)
        p = logits.softmax(1)
        return loss + (p * p.log()).sum(1).mean() if self.penalty else loss

    def learn(self, k, loss):
        self.steps[k].zero_grad()
        loss.backward()
        self.steps[k].step()

    def divide(self, k, clock):
        losses = np.zeros(self.task.num_train)
        self.nets[k].eval()
        with torch.no_grad():
            for batch in self.task.loader(views=("plain",), shuffle=False):
                each = torch.nn.functional.cross_entropy(self.nets[k](batch.x), batch.y, reduction="none")
                losses[batch.index.numpy()] = each.numpy()
        self.nets[k].train()
        losses = (losses - losses.min()) / (losses.max() - losses.min())
        seed = self.task.rng(f"mixture{k}", clock).initial_seed() % 2**32
        return clean_probability(losses.astype(np.float32), seed)

    def train(self, k, w, clock):
        labelled = np.flatnonzero(w > self.threshold)
        unlabelled = np.flatnonzero(w <= self.threshold)
        assert len(labelled) > 8 < len(unlabelled)  # or the test would say little
        first = list(self.loader(labelled, f"labelled{k + 1}"))
        second, number = [], 0
        while len(second) < len(first):
            second += list(self.loader(unlabelled, f"unlabelled{k + 1}.{number}"))
            number += 1
        for step, (x, u) in enumerate(zip(first, second, strict=False)):
            now = dataclasses.replace(clock, step=step, steps=len(first))
            self.mixed_step(k, x, u, torch.tensor(w, dtype=torch.float32)[x.index], now)

    def loader(self, subset, stream):
        half = self.task.batch_size // 2
        return self.task.loader(("weak", "weak"), subset=torch.tensor(subset), batch_size=half, stream=stream)

    def mixed_step(self, k, x, u, w, clock):
        own, peer = self.nets[k], self.nets[1 - k]
        own.train(self.reference)
        peer.eval()
        with torch.no_grad():
            guesses = [net(view).softmax(1) for net in (own, peer) for view in u.views]
            pu = (guesses[0] + guesses[1] + guesses[2] + guesses[3]) / 4
            px = (own(x.views[0]).softmax(1) + own(x.views[1]).softmax(1)) / 2
            px = w[:, None] * one_hot(x.y, 3) + (1 - w[:, None]) * px
            tx, tu = px ** (1 / self.temperature), pu ** (1 / self.temperature)
            tx, tu = tx / tx.sum(1, keepdim=True), tu / tu.sum(1, keepdim=True)
        own.train()
        peer.train()
        inputs = torch.cat([*x.views, *u.views])
        targets = torch.cat([tx, tx, tu, tu])
        lam, order = partners(self.task, clock, len(inputs), self.alpha, f"mixmatch{k}")
        lam = max(lam, 1 - lam)
        target = lam * targets + (1 - lam) * targets[order]
        logits = own(lam * inputs + (1 - lam) * inputs[order])
        cut, p = 2 * len(tx), logits.softmax(1)
        supervised = -(logits[:cut].log_softmax(1) * target[:cut]).sum(1).mean()
        unsupervised = ((p[cut:] - target[cut:]) ** 2).mean()
        prior = torch.ones(3) / 3
        penalty = (prior * (prior / p.mean(0)).log()).sum()
        rise = min((clock.phase_epoch + clock.step / clock.steps) / max(1.0, 16 / 300 * clock.epochs), 1.0)
        self.learn(k, supervised + self.lambda_u * rise * unsupervised + penalty)


def networks(method):
    return [method.nets[k].state_dict() for k in range(2)]


@pytest.mark.parametrize(
    ("params", "straight"),
    [
        ({}, {}),
        ({**OTHER, "warm_up_penalty": True, "p_threshold": 0.3}, {**OTHER, "penalty": True, "threshold": 0.3}),
        ({"compat": "reference"}, {"reference": True}),
    ],
    ids=["as the paper", "other settings", "reference"],
)
def test_three_epochs_are_those_of_the_algorithm_written_out(params, straight, world):
    trainer = world.trainer("dividemix", params=params, **SETTINGS)
    other = Straight(world.trainer("ce", **SETTINGS).task, **straight)
    for epoch in range(3):
        trainer.epoch()
        other.epoch(at(epoch))
        for mine, theirs in zip(networks(trainer.method), [net.state_dict() for net in other.nets], strict=True):
            torch.testing.assert_close(mine, theirs, atol=10 ** (epoch - 6), rtol=1e-3)  # what rounding grows to


@pytest.fixture
def method(world):
    """Two networks after one epoch of warm-up, at the beginning of the second epoch."""
    return ready(world)


def ready(world, **params):
    trainer = world.trainer("dividemix", params=params, **SETTINGS)
    trainer.epoch()
    trainer.task.clock = at(1)
    trainer.method.train()
    return trainer.method


def pair_of(method, subset=slice(0, 8), rest=slice(8, 16)) -> tuple[Batch, Batch]:
    (batch,) = method.task.loader(("weak", "weak"), subset=torch.arange(16), batch_size=16, shuffle=False)
    parts = [
        Batch(batch.index[part], tuple(view[part] for view in batch.views), batch.y[part]) for part in (subset, rest)
    ]
    return parts[0], parts[1]


def seen_batches(net):
    return int(net.stages[0][1].num_batches_tracked)


def test_guessing_in_evaluation_mode_leaves_the_statistics_of_batch_norm_alone(method):
    before = [seen_batches(net) for net in method.nets]
    method.mix(pair_of(method), at(1), 0)
    assert [seen_batches(net) for net in method.nets] == [before[0] + 1, before[1]]  # the training forward alone
    assert all(net.training for net in method.nets)


def test_the_reference_guesses_with_the_learning_network_in_training_mode(world):
    method = ready(world, compat="reference")
    before = [seen_batches(net) for net in method.nets]
    method.mix(pair_of(method), at(1), 1)
    assert [seen_batches(net) for net in method.nets] == [before[0], before[1] + 5]  # two and two views, then training


def test_a_lesson_moves_its_own_network_and_not_the_peer(method, world):
    for k in range(2):
        before = world.weights(method.nets[1 - k])
        own = world.weights(method.nets[k])
        step = method.mix(pair_of(method), at(1), k)
        assert all(torch.equal(value, before[name]) for name, value in method.nets[1 - k].state_dict().items())
        assert not torch.equal(method.nets[k].head.weight, own["head.weight"])
        assert step.network == k
        assert step.losses[1 - k] == 0 < step.losses[k]


def drawn(part):
    """Positions of the labelled and of the unlabelled samples of a lesson."""
    pairs = list(part.batches)
    labelled = torch.cat([x.index for x, _ in pairs])
    rest = torch.cat([u.index for _, u in pairs if u is not None]) if pairs[0][1] is not None else torch.empty(0)
    return set(labelled.tolist()), set(rest.tolist())


def test_each_network_learns_from_the_division_by_its_peer(method):
    method.clean[0] = 0.1
    method.clean[0, :10] = 0.9
    method.clean[1] = 0.2
    method.clean[1, 20:50] = 0.8
    everything = set(range(method.task.num_train))
    assert drawn(method.lesson(0, at(1))) == (set(range(20, 50)), everything - set(range(20, 50)))
    assert drawn(method.lesson(1, at(1)))[0] == set(range(10))
    judged = method.judgement()
    assert judged.selected.sum(1).tolist() == [10, 30]
    assert torch.equal(judged.clean_score, method.clean)


def test_the_weight_of_a_given_label_is_the_peers_probability(method, monkeypatch):
    targets = []
    real = module.mixmatch

    def spy(net, labelled, unlabelled, *more):
        targets.append(labelled[0][1])
        return real(net, labelled, unlabelled, *more)

    monkeypatch.setattr(module, "mixmatch", spy)
    method.clean[0], method.clean[1] = 0.0, 1.0
    pair = pair_of(method)
    method.mix(pair, at(1), 0)
    assert torch.equal(targets[0], one_hot(pair[0].y, 3).float())  # network 2 is sure of all labels
    method.mix(pair, at(1), 1)
    assert not torch.equal(targets[1], one_hot(pair[0].y, 3).float())


def test_a_sample_at_the_threshold_is_not_labelled(method):
    method.clean[1] = 0.5
    method.clean[1, :4] = 0.51
    assert drawn(method.lesson(0, at(1)))[0] == {0, 1, 2, 3}


def test_a_batch_is_half_labelled_and_half_not_and_doubtful_samples_are_drawn_anew_when_they_are_through(method):
    method.clean[1] = 0.9
    method.clean[1, :8] = 0.1
    pairs = list(method.lesson(0, at(1)).batches)
    assert [len(x.y) for x, _ in pairs] == [8, 8, 8, 8, 8, 6]
    rounds = [u for _, u in pairs]
    assert {tuple(sorted(u.index.tolist())) for u in rounds} == {tuple(range(8))}
    orders = {tuple(u.index.tolist()) for u in rounds}
    views = [u.x[u.index.argsort()] for u in rounds]
    assert len(orders) == len(rounds)
    assert not any(torch.equal(views[0], view) for view in views[1:])
    again = list(method.lesson(0, at(1)).batches)
    assert all(torch.equal(one[1].x, other[1].x) for one, other in zip(pairs, again, strict=True))


@pytest.mark.parametrize("doubtful", [0, 1])
def test_without_unlabelled_samples_their_terms_are_dropped(method, doubtful, monkeypatch):
    method.clean[:] = 1.0
    method.clean[1, :doubtful] = 0.0
    found = []
    real = module.mixmatch
    monkeypatch.setattr(module, "mixmatch", lambda *args: found.append(real(*args)) or found[-1])
    part = method.lesson(0, at(1))
    pair = next(iter(part.batches))
    assert pair[1] is None
    step = part.step(pair, at(2))
    torch.testing.assert_close(step.losses[0], (found[0].supervised() + found[0].unevenness()).detach())


@pytest.mark.parametrize("trusted", [0, 1])
def test_a_network_with_fewer_than_two_labelled_samples_learns_by_cross_entropy_for_an_epoch(method, trusted):
    method.clean[:] = 0.0
    method.clean[1, :trusted] = 1.0
    part = method.lesson(0, at(1))
    batches = list(part.batches)
    assert sum(len(batch.y) for batch in batches) >= method.task.num_train - 1
    net = copy.deepcopy(method.nets[0])
    loss = torch.nn.functional.cross_entropy(net(batches[0].x), batches[0].y)
    step = part.step(batches[0], at(1))
    assert step.losses[0] == pytest.approx(loss.item(), rel=1e-5)
    assert not torch.equal(net.head.weight, method.nets[0].head.weight)


def test_confidence_is_penalised_in_the_warm_up_alone(world):
    method = ready(world, warm_up_penalty=True)
    batch = pair_of(method)[0]
    logp = method.nets[0](batch.x).log_softmax(1).detach()
    given, spread = -logp.gather(1, batch.y[:, None]).mean(), -(logp.exp() * logp).sum(1).mean()
    first = copy.deepcopy(method.state_dict())
    assert float(method.update(batch, at(0)).losses[0]) == pytest.approx(float(given - spread), rel=1e-5)
    method.load_state_dict(first)
    assert float(method.update(batch, at(1)).losses[0]) == pytest.approx(float(given), rel=1e-5)


def test_losses_of_several_epochs_are_scaled_one_by_one_and_averaged_before_the_fit(world, monkeypatch):
    method = ready(world, loss_history=3)
    fitted = []

    def fit(losses, seed):
        fitted.append(losses.copy())
        return np.linspace(0, 1, len(losses))

    monkeypatch.setattr(module, "clean_probability", fit)
    raw = [torch.rand(method.task.num_train, generator=torch.Generator().manual_seed(n)) * (n + 1) for n in range(4)]
    scaled = [(losses - losses.min()) / (losses.max() - losses.min()) for losses in raw]
    for epoch, losses in enumerate(raw, start=1):
        passes = method.epoch(at(epoch, epochs=9))
        part = next(passes)
        assert (part.train, part.name) == (False, "measure1")
        method.losses[0, 0], method.losses[0, 1] = losses, 1 - losses
        assert next(passes).name == "measure2"
        assert next(passes).name == "net1"
        recent = torch.stack(scaled[max(0, epoch - 3) : epoch]).mean(0)
        np.testing.assert_allclose(fitted[-2], recent.numpy(), atol=1e-6)
        np.testing.assert_allclose(fitted[-1], (1 - recent).numpy(), atol=1e-5)
    assert torch.equal(method.clean[0], torch.linspace(0, 1, method.task.num_train, dtype=torch.float64).float())


def test_losses_are_measured_on_plain_views_of_every_sample_in_evaluation_mode(method):
    passes = method.epoch(at(1))
    for _ in range(2):
        part = next(passes)
        method.eval()
        with torch.no_grad():
            for batch in part.batches:
                part.step(batch, at(1))
    everything = next(iter(method.task.loader(("plain",), batch_size=method.task.num_train, shuffle=False)))
    for k in range(2):
        expected = torch.nn.functional.cross_entropy(method.nets[k](everything.x), everything.y, reduction="none")
        torch.testing.assert_close(method.losses[0, k], expected.detach(), atol=1e-6, rtol=1e-5)


def test_equal_losses_of_all_samples_leave_every_label_trusted(method):
    method.losses[0] = 0.7
    assert method.divided(0, at(1)).tolist() == [1.0] * method.task.num_train


def test_the_weight_of_unlabelled_samples_rises_linearly_for_sixteen_epochs_after_the_warm_up():
    method = create("dividemix")

    def weight(epoch, step=0, steps=10):
        return method.unlabelled_weight(at(epoch, step, steps, epochs=300, warm_up=10))

    assert weight(10) == 0.0
    assert weight(10, 5) == pytest.approx(25 / 32)
    assert weight(18) == pytest.approx(12.5)
    assert [weight(26), weight(27, 3), weight(299)] == [25.0, 25.0, 25.0]
    assert create("dividemix", ramp=0.0).unlabelled_weight(at(2, epochs=3)) == 25.0


def test_the_ensemble_is_the_sum_of_the_logits(method, rng):
    x = torch.randn(4, 1, 8, 8, generator=rng)
    heads = method.eval().predict(x)
    assert list(heads) == ["net1", "net2", "ensemble"]
    assert torch.equal(heads["ensemble"], method.nets[0](x) + method.nets[1](x))
    assert method.headline() == ["net1", "net2"]


def test_the_warm_up_is_ten_epochs_of_three_hundred_and_nothing_is_judged_in_it(world):
    trainer = world.trainer("dividemix", epochs=300)
    assert trainer.phases == [("warm_up", 10), ("divide", 290)]
    trainer.task.clock = at(0)
    assert trainer.method.judgement() is None
    assert trainer.method.half_batch == 8


def test_networks_warm_up_in_orders_of_their_own(world):
    trainer = world.trainer("dividemix")
    orders = [torch.cat([b.index for b in part.batches]).tolist() for part in trainer.method.epoch(at(0))]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        ({"loss_history": 0}, "loss_history must be above 0, got 0"),
        ({"warm_up": 1.0}, r"warm_up must be in \(0, 1\), got 1.0"),
        ({"alpha": -1.0}, "alpha must be at least 0, got -1.0"),
        ({"lambda_u": -1.0}, "lambda_u must be at least 0, got -1.0"),
        ({"compat": "refrence"}, "compat must be one of correct, reference, got 'refrence'; did you mean 'reference'"),
    ],
)
def test_wrong_settings_are_refused(wrong, text):
    with pytest.raises(ValueError, match=text):
        create("dividemix", **wrong)


def test_defaults_are_those_of_the_code():
    defaults = describe("dividemix").resolve({})
    assert (defaults["alpha"], defaults["temperature"], defaults["p_threshold"], defaults["lambda_u"]) == (
        4,
        0.5,
        0.5,
        25,
    )
    assert (defaults["warm_up"] * 300, defaults["ramp"] * 300, defaults["loss_history"]) == (10, 16, 1)

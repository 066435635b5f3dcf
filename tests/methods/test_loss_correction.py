"""Forward, backward and Dual-T: limits, and whole runs against a straight-line training written from the papers."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from methods import create

IDENTITY = {"network": "digits_cnn", "noise_text": "symmetric:0.0", "optimizer": {"name": "sgd", "lr": 0.05}}
STEPS = {"name": "steps", "steps": [0.5], "gamma": 0.1}
RUN = {"epochs": 6, "optimizer": {"name": "sgd", "lr": 0.05}, "schedule": STEPS, "params": {"estimate": 0.5}}
SKEW = torch.tensor([[0.7, 0.2, 0.1], [0.05, 0.9, 0.05], [0.3, 0.1, 0.6]])


def told(name, transition):
    """A method that was told a matrix, with no run around it."""
    method = create(name)
    method.task = type("Told", (), {"transition": transition})()
    if name == "backward_oracle":
        method.inverse = torch.linalg.inv(transition)
    return method


# told the matrix


def test_forward_and_backward_give_the_losses_of_the_worked_example(world):
    logits = torch.tensor([[[0.7, 0.2, 0.1]]]).log()
    even = torch.full((3, 3), 0.1) + 0.7 * torch.eye(3)
    for name, wanted in (("forward_oracle", 0.527633), ("backward_oracle", -0.100278)):
        step = told(name, even).losses(logits, world.batch([0]), world.clock())
        assert step.losses.tolist() == pytest.approx([wanted], abs=2e-6)


@pytest.mark.parametrize("name", ["forward_oracle", "backward_oracle"])
def test_the_loss_is_the_mean_over_the_batch(name, world, rng):
    logits, y = torch.randn(1, 8, 3, generator=rng), torch.randint(3, (8,), generator=rng)
    method = told(name, SKEW)
    each = [method.losses(logits[:, i : i + 1], world.batch(y[i : i + 1]), world.clock()).losses for i in range(8)]
    torch.testing.assert_close(method.losses(logits, world.batch(y), world.clock()).losses, torch.stack(each).mean(0))


@pytest.mark.parametrize("name", ["forward_oracle", "backward_oracle"])
def test_without_noise_the_oracles_train_as_cross_entropy(name, world):
    control = world.finish(world.trainer("ce", **IDENTITY)).method.nets[0].state_dict()
    found = world.finish(world.trainer(name, **IDENTITY)).method.nets[0].state_dict()
    for key, value in control.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-5)


def test_the_oracles_are_told_how_the_noise_flips(world):
    trainer = world.trainer("backward_oracle", noise_text="pairflip:0.3")
    flips = 0.7 * torch.eye(3) + 0.3 * torch.eye(3).roll(1, dims=1)
    torch.testing.assert_close(trainer.task.transition, flips)
    torch.testing.assert_close(trainer.method.inverse @ flips, torch.eye(3))


def test_backward_refuses_a_matrix_that_cannot_be_inverted_before_it_trains(world):
    with pytest.raises(ValueError, match="condition number"):
        world.trainer("backward_oracle", noise_text="symmetric:0.6666666")


# estimating it


class Straight:
    """What the papers' procedure does, on the batches of a run of its own: SGD with momentum .9 in plain steps."""

    def __init__(self, world, name, **settings):
        self.world, self.twin = world, world.trainer(name, **settings)
        self.task = self.twin.task
        self.fresh()

    def fresh(self):
        self.net = self.task.make_network(0)
        self.speed = [torch.zeros_like(p) for p in self.net.parameters()]

    def train(self, epoch, lr, loss):
        self.task.clock = self.world.clock(epoch=epoch)
        self.net.train()
        for batch in self.task.loader():
            value = loss(self.net(batch.x).log_softmax(-1), batch.y)
            slopes = torch.autograd.grad(value, list(self.net.parameters()))
            with torch.no_grad():
                for p, v, slope in zip(self.net.parameters(), self.speed, slopes, strict=True):
                    v.mul_(0.9).add_(slope)
                    p.sub_(lr * v)

    @torch.no_grad()
    def look(self, split):
        """Predictions (n, C) of a split in order, not augmented, in evaluation mode."""
        self.net.eval()
        batches = self.task.loader(("plain",), split=split, shuffle=False)
        return torch.cat([self.net(batch.x).softmax(-1) for batch in batches])


def mean_ce(logp: Tensor, y: Tensor) -> Tensor:
    return -logp[torch.arange(len(y)), y].mean()


def anchors_in_a_loop(p: np.ndarray) -> np.ndarray:
    struck = [np.where(c >= np.percentile(c, 97, method="higher"), 0.0, c) for c in p.T.copy()]
    return np.array([p[int(np.argmax(column))] for column in struck])


def dual_in_a_loop(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    second = np.eye(p.shape[1])
    for label in range(p.shape[1]):
        given = y[p.argmax(1) == label]
        if len(given):
            second[label] = np.bincount(given, minlength=p.shape[1]) / len(given)
    return anchors_in_a_loop(p) @ second


def through_columns(matrix: Tensor):
    return lambda logp, y: -(logp.exp() * matrix[:, y].T).sum(1).log().mean()


def through_the_inverse(matrix: Tensor):
    inverse = torch.linalg.inv(matrix.double()).float()
    return lambda logp, y: -(inverse[y] * logp).sum(1).mean()


@pytest.mark.parametrize(
    ("name", "seed", "lr", "third", "estimated", "corrected", "best"),
    [
        ("forward", 1, 0.05, 0.1, lambda p, y: anchors_in_a_loop(p), through_columns, 1),
        ("dual_t", 1, 0.05, 1.0, dual_in_a_loop, through_columns, 1),
        ("backward", 2, 0.01, 0.1, lambda p, y: anchors_in_a_loop(p), through_the_inverse, 2),
    ],
)
def test_a_run_estimates_from_the_best_epoch_and_starts_again_through_the_estimate(
    name, seed, lr, third, estimated, corrected, best, world
):
    # the rate falls to a tenth in the second half of a phase, but stays in Dual-T's first one
    settings = {**RUN, "noise_text": "symmetric:0.3", "seed": seed, "optimizer": {"name": "sgd", "lr": lr}}
    ours = world.finish(world.trainer(name, **settings)).method
    straight = Straight(world, name, **settings)
    y = straight.task.labels("val")
    scores, kept = [], []
    for epoch, factor in enumerate((1, 1, third)):
        straight.train(epoch, lr * factor, mean_ce)
        scores.append(int((straight.look("val").argmax(1) == y).sum()))
        kept.append(copy.deepcopy(straight.net.state_dict()))
    assert scores.index(max(scores)) == best
    straight.net.load_state_dict(kept[best])
    found = estimated(straight.look("train").numpy().astype(np.float64), straight.task.labels().numpy())
    matrix = torch.from_numpy(found).float()
    torch.testing.assert_close(ours.transition, matrix, rtol=1e-4, atol=1e-5)
    straight.fresh()
    for epoch, factor in ((3, 1), (4, 1), (5, 0.1)):
        straight.train(epoch, lr * factor, corrected(matrix))
    for key, value in straight.net.state_dict().items():
        torch.testing.assert_close(ours.nets[0].state_dict()[key], value, rtol=2e-3, atol=2e-4)


def test_the_estimate_is_that_of_the_best_epoch_and_not_of_the_last(world, monkeypatch):
    trainer = world.trainer("forward", **RUN)
    method, marks = trainer.method, []
    # epochs 0, 1, 2 of the first phase are scored as if 2, 4 and 3 of 6 labels had been predicted
    for hits in (2, 4, 3):
        scripted(method.best, hits, monkeypatch)
        trainer.epoch()
        marks.append(copy.deepcopy(method.nets[0].state_dict()))
    found = []
    monkeypatch.setattr(type(method), "restart", lambda self: found.append(copy.deepcopy(self.nets[0].state_dict())))
    trainer.epoch()
    assert all(torch.equal(found[0][key], marks[1][key]) for key in marks[1])
    assert not all(torch.equal(found[0][key], marks[2][key]) for key in marks[2])


def scripted(best, hits, monkeypatch):
    """Let the next validation pass count `hits` labels, whatever is predicted."""
    real = type(best).passes

    def passes(task, network, transition=None):
        for part in real(best, task, network, transition):
            yield part
            best.hits.fill_(hits)

    monkeypatch.setattr(best, "passes", passes, raising=False)


def test_the_second_phase_starts_from_the_weights_of_the_first_without_its_momentum(world):
    trainer = world.trainer("forward", **RUN)
    for _ in range(3):
        trainer.epoch()
    trainer.method.task.clock = trainer._clock(3, 0, 1, trainer.phases)
    trainer.method.on_phase(trainer.method.task.clock)
    passes = trainer.method.epoch(trainer.method.task.clock)
    look = next(passes)
    assert (look.name, look.train) == ("estimate", False)
    with torch.no_grad():
        for batch in look.batches:
            look.step(batch, trainer.method.task.clock)
    assert next(passes).train
    start = trainer.task.make_network(0).state_dict()
    assert all(torch.equal(value, start[key]) for key, value in trainer.method.nets[0].state_dict().items())
    assert not trainer.method.optimizer.state


def test_a_failing_estimate_of_backward_is_damped_instead_of_inverted(world):
    method = world.trainer("backward").method
    p = torch.tensor([[0.6, 0.3, 0.1], [0.4, 0.3, 0.3], [0.2, 0.1, 0.7]])  # the surest of class 1 is sample 0, too
    method.filter_outlier = False
    found = method.estimated(p, torch.tensor([0, 1, 2]))
    assert torch.equal(found, p[[0, 0, 2]])
    assert method.inverse.abs().max() < 10
    torch.testing.assert_close(found @ method.inverse @ found, found)


@pytest.mark.parametrize("estimate", [0.0, 1.0, 1.5])
def test_a_share_that_leaves_no_epoch_for_a_phase_is_refused(estimate):
    with pytest.raises(ValueError, match=rf"^estimate must be in \(0, 1\), got {estimate}$"):
        create("forward", estimate=estimate)


@pytest.mark.parametrize(("name", "third"), [("forward", 0.005), ("backward", 0.005), ("dual_t", 0.05)])
def test_the_rate_follows_the_schedule_in_every_phase_but_not_in_dual_ts_short_first_one(name, third, world):
    trainer = world.trainer(name, **RUN)
    rates = []
    for _ in range(6):
        trainer.epoch()
        rates.append(trainer.method.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.05, 0.05, third, 0.05, 0.05, 0.005])


def test_dual_t_estimates_for_a_tenth_of_the_epochs_of_training(world):
    assert world.trainer("dual_t", epochs=22).phases == [("estimate", 2), ("train", 20)]
    assert world.trainer("forward", epochs=22).phases == [("estimate", 11), ("train", 11)]

"""PENCIL: its terms and the step of a label by hand, and a run against one written from the paper."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from methods import create

# six epochs: two of cross entropy, two in which labels are learnt, two of fine-tuning
RUN = {
    "epochs": 6,
    "optimizer": {"name": "sgd", "lr": 0.1},
    "schedule": {"name": "steps", "steps": [0.5], "gamma": 0.1},
    "params": {"backbone": 2 / 6, "correction": 2 / 6, "first_lr": 0.02},
}
# p = (.5, .5), yd = (.75, .25), y = 0
EVEN = torch.tensor([[0.5, 0.5]], dtype=torch.float64).log()
LABEL = torch.tensor([[math.log(3), 0.0]], dtype=torch.float64)
FIRST = torch.tensor([0])
KL = 0.143841  # .5 log(.5 / .75) + .5 log(.5 / .25)


# terms


def test_the_loss_of_the_worked_example_in_every_phase():
    method = create("pencil")
    assert float(method.loss(EVEN, LABEL, FIRST, "backbone")) == pytest.approx(math.log(2))
    assert float(method.loss(EVEN, LABEL, FIRST, "tune")) == pytest.approx(KL / 2, abs=1e-6)
    wanted = KL / 2 + 0.4 * 0.287682 + 0.1 * math.log(2) / 2
    assert float(method.loss(EVEN, LABEL, FIRST, "correct")) == pytest.approx(wanted, abs=1e-6)


def test_without_class_mean_divergence_and_entropy_are_not_divided_by_the_number_of_classes():
    method = create("pencil", class_mean=False)
    assert float(method.loss(EVEN, LABEL, FIRST, "tune")) == pytest.approx(KL, abs=1e-6)
    wanted = KL + 0.4 * 0.287682 + 0.1 * math.log(2)
    assert float(method.loss(EVEN, LABEL, FIRST, "correct")) == pytest.approx(wanted, abs=1e-6)


def test_the_references_term_of_the_given_label_takes_a_second_softmax():
    method = create("pencil", compat="reference")
    # cross entropy of logits (.75, .25): log(1 + exp(-.5))
    wanted = KL / 2 + 0.4 * math.log(1 + math.exp(-0.5)) + 0.1 * math.log(2) / 2
    assert float(method.loss(EVEN, LABEL, FIRST, "correct")) == pytest.approx(wanted, abs=1e-6)
    assert float(method.loss(EVEN, LABEL, FIRST, "tune")) == pytest.approx(KL / 2, abs=1e-6)


@pytest.mark.parametrize("compat", ["correct", "reference"])
@pytest.mark.parametrize("phase", ["correct", "tune"])
def test_the_gradients_of_predictions_and_labels_agree_with_finite_differences(phase, compat, rng):
    method = create("pencil", compat=compat)
    z, label = (torch.randn(5, 4, generator=rng, dtype=torch.float64, requires_grad=True) for _ in range(2))
    y = torch.tensor([0, 1, 2, 3, 1])
    assert torch.autograd.gradcheck(lambda z, label: method.loss(z.log_softmax(-1), label, y, phase), (z, label))


def test_labels_that_equal_the_predictions_cost_nothing_in_the_last_phase(rng):
    z = torch.randn(5, 4, generator=rng, dtype=torch.float64)
    loss = create("pencil").loss(z.log_softmax(-1), z + 3, torch.zeros(5, dtype=torch.int64), "tune")
    assert abs(float(loss)) < 1e-12


# the step of a label


class Even(torch.nn.Module):
    """Predicts both classes alike, whatever it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.bias.expand(len(x), 2)


def with_even_network(label_logits: list[list[float]], **params):
    method = create("pencil", **params)
    method.nets = torch.nn.ModuleList([Even()])
    method.optimizer = torch.optim.SGD(method.nets.parameters(), lr=0.1)
    method.label_logits = torch.nn.Buffer(torch.tensor(label_logits))
    return method


def at(world, phase: str, epoch: int = 0, epochs: int = 3):
    clock = world.clock(epoch=epoch)
    return type(clock)(epoch, 9, 0, 1, 0.5, phase, epoch, epochs)


@pytest.mark.parametrize(
    ("compat", "slope"),
    [
        # (yd - p) / C + .4 (yd - q) = (.125, -.125) + (-.1, .1)
        ("correct", [0.025, -0.025]),
        # second softmax s = (.622459, .377541): .4 yd * (s - q - <yd, s - q>) = (-.0566312, .0566312)
        ("reference", [0.125 - 0.0566312, 0.0566312 - 0.125]),
    ],
)
def test_a_label_moves_by_lambda_times_the_gradient_of_the_batch_mean(compat, slope, world):
    start = [[math.log(3), 0.0], [0.0, 0.0], [math.log(3), 0.0]]
    method = with_even_network(start, compat=compat)
    whole = world.batch([0, 1, 0], torch.zeros(3, 1))
    part = type(whole)(torch.tensor([2, 0]), (torch.zeros(2, 1),), torch.tensor([0, 0]))
    step = method.update(part, at(world, "correct"))
    torch.testing.assert_close(step.relabelled, torch.tensor([[0.75, 0.25], [0.75, 0.25]]))
    moved = [math.log(3) - 600 * slope[0] / 2, -600 * slope[1] / 2]  # a batch of two: half of each
    torch.testing.assert_close(method.label_logits, torch.tensor([moved, [0.0, 0.0], moved]), rtol=1e-4, atol=1e-4)
    assert not method.label_logits.requires_grad


@pytest.mark.parametrize("phase", ["backbone", "tune"])
def test_in_the_other_phases_labels_stay(phase, world):
    start = [[math.log(3), 0.0], [0.0, 1.0]]
    method = with_even_network(start)
    method.update(world.batch([0, 0], torch.zeros(2, 1)), at(world, phase))
    assert torch.equal(method.label_logits, torch.tensor(start))
    assert method.nets[0].bias.abs().max() > 0


def test_a_label_moves_by_minus_lambda_times_finite_differences_of_the_batch_mean(world):
    trainer = world.trainer("pencil", **{**RUN, "params": {**RUN["params"], "label_lr": 30.0, "start": 2.0}})
    method = trainer.method
    for _ in range(2):
        trainer.epoch()
    trainer.task.clock = trainer._clock(2, 0, 4, trainer.phases)
    batch = next(iter(trainer.task.loader()))
    before, logits = method.label_logits.clone(), []
    method.nets[0].train().register_forward_hook(lambda net, args, out: logits.append(out.detach()))
    method.update(batch, trainer.task.clock)
    p = logits[0].double().softmax(-1).numpy()
    y, rows = batch.y.numpy(), before[batch.index].double().numpy()

    def mean_loss(rows: np.ndarray) -> float:
        yd = np.exp(rows) / np.exp(rows).sum(1, keepdims=True)
        fit, entropy = (p * np.log(p / yd)).sum(1) / 3, -(p * np.log(p)).sum(1) / 3
        return float((fit - 0.4 * np.log(yd[np.arange(len(y)), y]) + 0.1 * entropy).mean())

    slope = np.zeros_like(rows)
    for place in np.ndindex(rows.shape):
        width = np.zeros_like(rows)
        width[place] = 1e-5
        slope[place] = (mean_loss(rows + width) - mean_loss(rows - width)) / 2e-5
    np.testing.assert_allclose(method.label_logits[batch.index].numpy(), rows - 30 * slope, atol=1e-5)
    others = torch.ones(len(before), dtype=torch.bool)
    others[batch.index] = False
    assert torch.equal(method.label_logits[others], before[others])
    assert np.abs(30 * slope).max() > 0.01


# the run


def straight_line(world, compat: str = "correct") -> tuple[torch.nn.Module, Tensor]:
    """Eq. 2-9 on the batches of a run of its own: SGD with momentum .9 in plain steps; network and label logits."""
    task = world.trainer("pencil", **RUN).task
    net = task.make_network(0).train()
    given = torch.nn.functional.one_hot(task.labels(), 3).float()
    logits = 10 * given
    for epoch in range(6):
        if epoch in (0, 4):
            speed = [torch.zeros_like(p) for p in net.parameters()]
        task.clock = world.clock(epoch=epoch)
        lr = [0.02, 0.02, 0.02, 0.02, 0.1, 0.01][epoch]
        if compat == "reference" and epoch == 5:
            lr = 0.0  # .2 // 10: of the last phase's two epochs the second lies beyond a third
        for batch in task.loader():
            p = net(batch.x).softmax(-1)
            rows = logits[batch.index].requires_grad_()
            yd = rows.softmax(-1)
            if epoch < 2:
                loss = -(given[batch.index] * p.log()).sum(1).mean()
            else:
                loss = (p * (p / yd).log()).sum(1).mean() / 3
            if epoch in (2, 3):
                kept = yd.softmax(-1) if compat == "reference" else yd
                loss = loss - 0.4 * (given[batch.index] * kept.log()).sum(1).mean()
                loss = loss - 0.1 * (p * p.log()).sum(1).mean() / 3
                logits[batch.index] -= 600 * torch.autograd.grad(loss, rows, retain_graph=True)[0]
            slopes = torch.autograd.grad(loss, list(net.parameters()))
            with torch.no_grad():
                for weights, v, slope in zip(net.parameters(), speed, slopes, strict=True):
                    v.mul_(0.9).add_(slope)
                    weights.sub_(lr * v)
    return net, logits


@pytest.mark.parametrize("compat", ["correct", "reference"])
def test_a_run_is_cross_entropy_then_corrects_labels_and_then_tunes(compat, world):
    settings = {**RUN, "params": {**RUN["params"], "compat": compat}}
    ours = world.finish(world.trainer("pencil", **settings)).method
    net, logits = straight_line(world, compat)
    torch.testing.assert_close(ours.label_logits, logits, rtol=1e-3, atol=1e-2)
    assert (logits.argmax(1) != ours.task.labels()).any()
    for key, value in net.state_dict().items():
        torch.testing.assert_close(ours.nets[0].state_dict()[key], value, rtol=1e-3, atol=1e-4)


def test_in_reference_the_network_stands_still_after_a_third_of_the_last_phase_and_else_never(world):
    for compat, moving in (("correct", [True, True, True]), ("reference", [True, False, False])):
        method = with_even_network([[math.log(3), 0.0]], compat=compat)
        moved = []
        for epoch in range(3):
            before = method.nets[0].bias.detach().clone()
            method.update(world.batch([0], torch.zeros(1, 1)), at(world, "tune", epoch))
            moved.append(not torch.equal(before, method.nets[0].bias.detach()))
        assert moved == moving


def test_labels_start_at_ten_times_the_given_ones_and_are_judged_as_distributions(world):
    method = world.trainer("pencil", **RUN).method
    given = torch.nn.functional.one_hot(method.task.labels(), 3).float()
    assert torch.equal(method.label_logits, 10 * given)
    torch.testing.assert_close(method.judgement().relabelled, (10 * given).softmax(-1))


def test_the_phases_of_the_papers_320_epochs(world):
    assert world.trainer("pencil", epochs=32).phases == [("backbone", 7), ("correct", 13), ("tune", 12)]


@pytest.mark.parametrize("shares", [(0.0, 0.5), (0.5, 0.0), (0.5, 0.5)])
def test_shares_that_leave_no_epoch_for_a_phase_are_refused(shares):
    text = rf"^backbone and correction must be above 0 and together below 1, got \({shares[0]}, {shares[1]}\)$"
    with pytest.raises(ValueError, match=text):
        create("pencil", backbone=shares[0], correction=shares[1])

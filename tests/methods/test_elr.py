"""ELR: the pull towards a running mean of predictions."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from methods import create
from methods.elr import clamped, early_learning

P = torch.tensor([[0.7, 0.2, 0.1]])


def ready(num=4, num_classes=3, **params):
    method = create("elr", **params)
    method.target = torch.nn.Buffer(torch.zeros(num, num_classes))
    return method


def test_the_pull_is_the_number_worked_out_by_hand():
    # log(1 - (.42 + .06 + .01))
    pull = early_learning(torch.tensor([[0.6, 0.3, 0.1]]), P)
    assert abs(float(pull) - -0.673345) < 1e-6


def test_the_target_moves_before_the_loss_is_taken(world):
    method = ready(beta=0.7, weight=3.0)
    method.target[0] = torch.tensor([0.6, 0.3, 0.1])
    step = method.losses(P.log()[None], world.batch([0]), world.clock())
    moved = torch.tensor([0.63, 0.27, 0.1])  # .7 (.6, .3, .1) + .3 (.7, .2, .1)
    torch.testing.assert_close(method.target[0], moved)
    wanted = -math.log(0.7) + 3 * math.log(1 - (0.63 * 0.7 + 0.27 * 0.2 + 0.1 * 0.1))
    torch.testing.assert_close(step.losses, torch.tensor([wanted]))


def test_the_first_target_is_a_share_of_the_first_prediction(world):
    method = ready(beta=0.9)
    step = method.losses(P.log()[None], world.batch([1]), world.clock())
    torch.testing.assert_close(method.target[0], 0.1 * P[0])
    torch.testing.assert_close(step.relabelled, P)  # what it believes is a distribution all the same
    torch.testing.assert_close(step.clean_score, torch.tensor([[0.2]]))


def test_only_rows_of_the_batch_move_and_by_their_index(world):
    method = ready(num=5)
    batch = replace(world.batch([0, 1]), index=torch.tensor([3, 1]))
    logits = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]])
    method.losses(logits, batch, world.clock())
    assert method.target.sum(-1).nonzero().flatten().tolist() == [1, 3]
    assert method.target[3].argmax() == 0
    assert method.target[1].argmax() == 1


def test_predictions_are_kept_off_zero_and_one_and_targets_sum_to_one(world):
    sure = torch.tensor([[[50.0, 0.0, 0.0]]])
    assert clamped(sure.log_softmax(-1)).tolist() == [[pytest.approx([0.9999, 0.0001, 0.0001])]]
    method = ready(beta=0.0)
    step = method.losses(sure, world.batch([0]), world.clock())
    torch.testing.assert_close(method.target[0], torch.tensor([0.9999, 1e-4, 1e-4]) / 1.0001)
    assert torch.isfinite(step.losses).all()


def test_the_gradient_flows_through_the_prediction_and_not_through_the_target(rng):
    logits = torch.randn(1, 4, 5, generator=rng, dtype=torch.float64, requires_grad=True)
    y = torch.randint(5, (4,), generator=rng)
    old = torch.rand(4, 5, generator=rng, dtype=torch.float64).softmax(-1)

    def loss(z, fixed=None):
        method = ready(beta=0.6, weight=2.0)
        method.target = torch.nn.Buffer(old.clone())
        index = torch.arange(4)
        found = method.losses(z, type("B", (), {"y": y, "index": index})(), None).losses.sum()
        return found if fixed is None else (found, method.target)

    _, target = loss(logits, True)
    p = logits[0].softmax(-1)
    alone = cross_entropy(logits[0], y) + 2 * torch.log(1 - (target.detach() * p).sum(-1)).mean()
    (mine,) = torch.autograd.grad(loss(logits), logits)
    (wanted,) = torch.autograd.grad(alone, logits)
    torch.testing.assert_close(mine, wanted)
    # p_c (t_c - <t, p>) / (1 - <t, p>) is what the pull takes off each logit's gradient
    inner = (target * p).sum(-1, keepdim=True)
    formula = p - torch.nn.functional.one_hot(y, 5) - 2 * p * (target - inner) / (1 - inner)
    torch.testing.assert_close(mine[0], formula.detach() / 4)


def test_the_pull_is_smooth_as_finite_differences_have_it(rng):
    target = torch.rand(3, 4, generator=rng, dtype=torch.float64).softmax(-1)
    logits = torch.randn(3, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: early_learning(target, clamped(z.log_softmax(-1))), logits)


@pytest.mark.parametrize("optimizer", [{"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}, {}])
def test_without_weight_a_run_is_cross_entropy_bit_for_bit(world, optimizer):
    mine = world.finish(world.trainer("elr", params={"weight": 0.0}, optimizer=optimizer))
    plain = world.finish(world.trainer("ce", optimizer=optimizer))
    assert all(torch.equal(v, mine.method.state_dict()[name]) for name, v in plain.method.state_dict().items())


def test_a_run_is_the_algorithm_of_the_paper_weight_by_weight(world):
    settings = {"schedule": {"name": "constant"}, "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9}}
    run, other = (world.trainer("elr", params={"beta": 0.6, "weight": 2.0}, **settings) for _ in range(2))
    net = other.task.make_network(0).train()
    stepper = torch.optim.SGD(net.parameters(), 0.05, 0.9)
    target = torch.zeros(other.task.num_train, 3)
    for epoch in range(3):
        run.epoch()
        other.task.clock = replace(other.task.clock, epoch=epoch)
        for batch in other.task.loader():
            z = net(batch.x)
            pull = 0.0
            for row, i in enumerate(batch.index.tolist()):
                p = z[row].softmax(-1).clamp(1e-4, 1 - 1e-4)
                target[i] = 0.6 * target[i] + 0.4 * p.detach() / p.detach().sum()
                pull = pull + torch.log(1 - target[i].clone() @ p) / len(batch.y)
            stepper.zero_grad()
            (cross_entropy(z, batch.y) + 2 * pull).backward()
            stepper.step()
    torch.testing.assert_close(run.method.target, target, rtol=1e-4, atol=1e-5)
    for mine, theirs in zip(run.method.nets[0].parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("beta", [-0.1, 1.0])
def test_a_mean_that_never_moves_is_refused(beta):
    with pytest.raises(ValueError, match=rf"^beta must be in \[0, 1\), got {beta}$"):
        create("elr", beta=beta)

"""T-Revision: the two weighted losses and their gradients, and a whole run against one written from the paper."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from methods import create

SKEW = torch.tensor([[0.7, 0.2, 0.1], [0.05, 0.9, 0.05], [0.3, 0.1, 0.6]], dtype=torch.float64)
Y = torch.tensor([0, 1, 2, 2, 1, 0])


@pytest.fixture
def method():
    """A method in float64 with an estimated matrix, and no run around it."""
    method = create("t_revision")
    method.transition = SKEW.clone()
    method.slack = torch.nn.Parameter(torch.zeros_like(SKEW))
    return method


def logits_of(rng: torch.Generator, num: int) -> Tensor:
    return torch.randn(num, 3, generator=rng, dtype=torch.float64, requires_grad=True)


# losses


def test_the_loss_of_the_worked_example(method):
    # p = (.7, .2, .1), y = 0: the observed label's probability is .7 * .7 + .2 * .05 + .1 * .3 = .53
    logp, y = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64).log(), torch.tensor([0])
    assert float(method.loss(logp, y, "estimate")) == pytest.approx(0.356675, abs=5e-7)
    for phase in ("reweight", "revise"):
        assert float(method.loss(logp, y, phase).detach()) == pytest.approx(0.7 / 0.53 * 0.356675, abs=1e-6)


def test_dt_is_added_to_the_matrix_behind_the_weights(method):
    with torch.no_grad():
        method.slack[0, 0], method.slack[1, 0] = 0.1, -0.05
    logp = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64).log()
    loss = method.loss(logp, torch.tensor([0]), "revise")
    assert float(loss.detach()) == pytest.approx(0.7 / (0.53 + 0.7 * 0.1 - 0.2 * 0.05) * 0.356675, abs=1e-6)


def test_with_the_identity_and_no_correction_every_phase_is_cross_entropy(method, rng):
    method.transition = torch.eye(3, dtype=torch.float64)
    logp = logits_of(rng, 6).log_softmax(-1)
    wanted = method.loss(logp, Y, "estimate")
    torch.testing.assert_close(method.loss(logp, Y, "reweight"), wanted)
    torch.testing.assert_close(method.loss(logp, Y, "revise"), wanted)


def test_while_reweighting_the_weights_are_constants(method, rng):
    z = logits_of(rng, 6)
    method.loss(z.log_softmax(-1), Y, "reweight").backward()
    p = z.detach().softmax(-1)
    weight = p.gather(1, Y[:, None]) / (p @ SKEW).gather(1, Y[:, None])
    torch.testing.assert_close(z.grad, weight * (p - torch.eye(3, dtype=torch.float64)[Y]) / 6)
    assert method.slack.grad is None


def test_while_revising_the_weights_send_gradient_to_the_network(method, rng):
    z = logits_of(rng, 6)
    fixed = torch.autograd.grad(method.loss(z.log_softmax(-1), Y, "reweight"), z)[0]
    learnt = torch.autograd.grad(method.loss(z.log_softmax(-1), Y, "revise"), z)[0]
    assert (fixed - learnt).abs().max() > 1e-3


def test_the_revised_loss_and_its_gradients_agree_with_finite_differences(method, rng):
    def loss(z: Tensor, slack: Tensor) -> Tensor:
        del method.slack
        method.slack = slack
        return method.loss(z.log_softmax(-1), Y, "revise")

    slack = (0.02 * torch.randn(3, 3, generator=rng, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(loss, (logits_of(rng, 6), slack))


def test_the_gradient_of_dt_is_that_of_the_formula(method, rng):
    # d/d dT[i, j] of p_y / sum_i p_i (T + dT)[i, y] (-log p_y) = log p_y p_y p_i / (...)^2 where j = y
    z = logits_of(rng, 6)
    method.loss(z.log_softmax(-1), Y, "revise").backward()
    p, wanted = z.detach().softmax(-1).numpy(), np.zeros((3, 3))
    for b, y in enumerate(Y.tolist()):
        seen = p[b] @ SKEW.numpy()[:, y]
        wanted[:, y] += np.log(p[b, y]) * p[b, y] * p[b] / seen**2 / len(Y)
    torch.testing.assert_close(method.slack.grad, torch.from_numpy(wanted))


@pytest.mark.parametrize("copies", [8, 32, 128])
def test_the_gradient_of_dt_is_the_same_at_any_batch_size(copies, method, rng):
    # the reference adds dT once more for every sample: there the gradient grows with the batch, or never arrives
    z = logits_of(rng, 1)
    alone = torch.autograd.grad(method.loss(z.log_softmax(-1), Y[:1], "revise"), method.slack)[0]
    many = method.loss(z.expand(copies, 3).log_softmax(-1), Y[:1].expand(copies), "revise")
    torch.testing.assert_close(torch.autograd.grad(many, method.slack)[0], alone)
    assert alone.abs().max() > 0.01


# the run

STEPS = {"name": "steps", "steps": [0.5], "gamma": 0.1}
RUN = {
    "epochs": 9,
    "noise_text": "symmetric:0.3",
    "optimizer": {"name": "sgd", "lr": 0.05},
    "schedule": STEPS,
    "params": {"estimate": 1 / 3, "revision": 1 / 3, "revision_lr": 1e-3},
}


def anchors_in_a_loop(p: np.ndarray) -> np.ndarray:
    struck = [np.where(c >= np.percentile(c, 97, method="higher"), 0.0, c) for c in p.T.copy()]
    return np.array([p[int(np.argmax(column))] for column in struck])


def accuracy(net, batches, matrix: Tensor) -> int:
    net.eval()
    with torch.no_grad():
        return sum(int(((net(batch.x).softmax(-1) @ matrix).argmax(1) == batch.y).sum()) for batch in batches)


def straight_line(world, seed: int) -> tuple[torch.nn.Module, Tensor, Tensor, list[int]]:
    """Algorithm 1 on the batches of a run of its own: network, T, dT, and the epoch kept of every phase."""
    task = world.trainer("t_revision", seed=seed, **RUN).task
    net, matrix, slack = task.make_network(0), torch.eye(3), torch.zeros(3, 3, requires_grad=True)
    kept: list[int] = []
    for phase in range(3):
        if phase == 2:
            steps = torch.optim.Adam([*net.parameters(), slack], lr=1e-3)
        else:
            steps = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
        best, weights = -1, net.state_dict()
        for epoch in range(3):
            task.clock = world.clock(epoch=3 * phase + epoch)
            steps.param_groups[0]["lr"] = [0.05, 0.05, 1e-3][phase] * (0.1 if phase == 1 and epoch >= 2 else 1)
            net.train()
            for batch in task.loader():
                p = net(batch.x).softmax(-1)
                own = p[torch.arange(len(p)), batch.y]
                weight = own / (p * (matrix + slack)[:, batch.y].T).sum(1)
                weight = [torch.ones_like(own), weight.detach(), weight][phase]
                loss = -(weight * own.log()).mean()
                steps.zero_grad()
                loss.backward()
                steps.step()
            held = task.loader(("plain",), split="val", shuffle=False)
            score = accuracy(net, held, matrix + slack.detach())
            if score > best:
                best, weights = score, copy.deepcopy(net.state_dict())
                kept[phase:] = [epoch]
        if phase < 2:
            net.load_state_dict(weights)
        if phase == 0:
            net.eval()
            with torch.no_grad():
                p = torch.cat([net(b.x).softmax(-1) for b in task.loader(("plain",), shuffle=False)])
            matrix = torch.from_numpy(anchors_in_a_loop(p.numpy().astype(np.float64))).float()
    return net, matrix, slack.detach(), kept


@pytest.mark.parametrize(("seed", "chosen"), [(1, [1, 0]), (7, [2, 0])])
def test_every_phase_starts_from_the_best_weights_of_the_one_before(seed, chosen, world):
    ours = world.finish(world.trainer("t_revision", seed=seed, **RUN)).method
    net, matrix, slack, kept = straight_line(world, seed)
    assert kept[:2] == chosen
    torch.testing.assert_close(ours.transition, matrix, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.slack.detach(), slack, rtol=1e-4, atol=1e-6)
    assert slack.abs().max() > 5e-3
    for key, value in net.state_dict().items():
        torch.testing.assert_close(ours.nets[0].state_dict()[key], value, rtol=1e-3, atol=1e-4)


def test_the_phases_of_the_papers_420_epochs_and_the_step_of_the_last(world):
    trainer = world.trainer("t_revision", epochs=42)
    assert trainer.phases == [("estimate", 2), ("reweight", 20), ("revise", 20)]
    method = trainer.method
    method.on_phase(trainer._clock(22, 0, 1, trainer.phases))
    (group,) = method.optimizer.param_groups
    assert isinstance(method.optimizer, torch.optim.Adam)
    assert (group["lr"], group["follow"]) == (5e-7, "constant")
    assert any(p is method.slack for p in group["params"])


@pytest.mark.parametrize(("estimate", "revision"), [(0.0, 0.5), (0.5, 0.0), (0.5, 0.5)])
def test_shares_that_leave_no_epoch_for_a_phase_are_refused(estimate, revision):
    text = f"^estimate and revision must be above 0 and together below 1, got {estimate} and {revision}$"
    with pytest.raises(ValueError, match=text):
        create("t_revision", estimate=estimate, revision=revision)

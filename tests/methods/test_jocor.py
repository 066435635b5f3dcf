"""JoCoR: one loss for two networks."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from methods import create

P = torch.tensor([[[0.7, 0.2, 0.1]], [[0.6, 0.3, 0.1]]], dtype=torch.float64)  # (2, 1, 3)


def by_hand(logits, y, agreement):
    """The loss (B,) of two networks from torch's own functions."""
    first, second = (z.log_softmax(-1) for z in logits)
    supervised = sum(cross_entropy(z, y, reduction="none") for z in logits)
    apart = kl_div(first, second.exp(), reduction="none") + kl_div(second, first.exp(), reduction="none")
    return (1 - agreement) * supervised + agreement * apart.sum(-1)


def test_the_joint_loss_is_the_number_worked_out_by_hand():
    # .1 (.356675 + .510826) + .9 (.0268125 + .0291491)
    (found,) = create("jocor", agreement=0.9).joint(P.log(), torch.tensor([0]))
    assert abs(float(found) - 0.137115) < 1e-6


@pytest.mark.parametrize("agreement", [0.0, 0.1, 0.65, 1.0])
def test_the_joint_loss_is_that_of_torchs_own_functions(rng, agreement):
    logits = 2 * torch.randn(2, 30, 5, generator=rng)
    y = torch.randint(5, (30,), generator=rng)
    found = create("jocor", agreement=agreement).joint(logits.log_softmax(-1), y)
    torch.testing.assert_close(found, by_hand(logits, y, agreement))


def test_without_agreement_it_is_the_sum_of_both_cross_entropies():
    found = create("jocor", agreement=0.0).joint(P.log(), torch.tensor([1]))
    torch.testing.assert_close(found, -(P[0, :, 1].log() + P[1, :, 1].log()))


def test_by_agreement_alone_labels_play_no_part_and_equal_networks_pay_nothing():
    method = create("jocor", agreement=1.0)
    assert torch.equal(method.joint(P.log(), torch.tensor([0])), method.joint(P.log(), torch.tensor([2])))
    assert method.joint(P[:1].log().repeat(2, 1, 1), torch.tensor([0])).tolist() == [0.0]


def test_swapping_the_networks_changes_nothing():
    method = create("jocor")
    torch.testing.assert_close(*(method.joint(p.log(), torch.tensor([0])) for p in (P, P.flip(0))))


def test_the_gradient_goes_through_both_networks_and_both_divergences(rng):
    method, y = create("jocor", agreement=0.7), torch.tensor([0, 2, 1])
    logits = torch.randn(2, 3, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: method.joint(z.log_softmax(-1), y), logits)
    (grad,) = torch.autograd.grad(method.joint(logits.log_softmax(-1), y).sum(), logits)
    assert (grad.abs().sum((1, 2)) > 0).all()


@pytest.mark.parametrize("agreement", [0.0, 0.9])
@pytest.mark.parametrize("compat", ["correct", "reference"])
def test_a_run_is_the_algorithm_of_the_paper_weight_by_weight(world, agreement, compat):
    params = {"ramp_epochs": 3, "agreement": agreement, "compat": compat}
    settings = {"schedule": {"name": "constant"}, "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9}}
    run, other = (world.trainer("jocor", params=params, **settings) for _ in range(2))
    nets = [other.task.make_network(k).train() for k in range(2)]
    stepper = torch.optim.SGD([p for net in nets for p in net.parameters()], 0.05, 0.9)
    for epoch in range(3):
        run.epoch()
        other.task.clock = replace(other.task.clock, epoch=epoch)
        forget = other.task.noise_rate * min((epoch + 1) / (3 if compat == "correct" else 2), 1)
        for batch in other.task.loader():
            each = by_hand([net(batch.x) for net in nets], batch.y, agreement)
            loss = each.sort().values[: max(1, int((1 - forget) * len(batch.y)))].mean()
            stepper.zero_grad()
            loss.backward()
            stepper.step()
    for mine, theirs in zip(run.method.nets.parameters(), [p for net in nets for p in net.parameters()], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_both_networks_keep_the_same_samples_those_of_smallest_joint_loss(world):
    trainer = world.trainer("jocor", params={"forget_rate": 0.5, "ramp_epochs": 1})
    batch = next(iter(trainer.task.loader()))
    with torch.no_grad():
        each = by_hand([net.train()(batch.x) for net in trainer.method.nets], batch.y, 0.9)
    step = trainer.method.update(batch, world.clock())
    chosen = set(each.argsort()[: len(batch.y) // 2].tolist())
    assert [set(row.nonzero().flatten().tolist()) for row in step.selected] == [chosen, chosen]
    torch.testing.assert_close(step.clean_score, -each.expand(2, -1))
    torch.testing.assert_close(step.losses, each[list(chosen)].mean().expand(2))


def test_half_of_the_asked_rate_is_forgotten_under_asymmetric_noise(world):
    # half of ten classes pass on 40 % of their labels: what is granted is the share of wrong labels
    trainer = world.trainer(
        "jocor", noise_text="asymmetric:0.4:map=cifar10", data=world.blobs(10, 600), params={"ramp_epochs": 1}
    )
    wrong = float((trainer.data.splits["train"].given != trainer.data.clean["train"]).float().mean())
    assert wrong == pytest.approx(0.2, abs=0.02)
    assert 1 - trainer.method.kept_share(world.clock()) == pytest.approx(wrong)


@pytest.mark.parametrize("weight", [-0.1, 1.1])
def test_a_weight_outside_of_its_range_is_refused(weight):
    with pytest.raises(ValueError, match=rf"^agreement must be in \[0, 1\], got {weight}$"):
        create("jocor", agreement=weight)

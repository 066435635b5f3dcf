"""ELR+: two networks, their averages, and mixup."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from methods import create
from methods.elr_plus import rise
from methods.mixing import partners

SGD = {"schedule": {"name": "constant"}, "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9}}


def plain_networks(trainer):
    """Networks as the run begins with, each with an optimiser of its own."""
    nets = [trainer.task.make_network(k).train() for k in range(2)]
    return nets, [torch.optim.SGD(net.parameters(), 0.05, 0.9, fused=True) for net in nets]


def test_the_ramp_is_the_exponential_one():
    assert [rise(share) for share in (0.5, 1.0, 7.0)] == [math.exp(-5 / 4), 1.0, 1.0]
    assert abs(rise(0.0) - 0.0067379) < 1e-7


def test_the_loss_is_the_number_worked_out_by_hand(world):
    # cross entropy to (.8, .2, 0), and 3 log(1 - (.42 + .06 + .01))
    p, label, target = (torch.tensor([row]) for row in ([0.7, 0.2, 0.1], [0.8, 0.2, 0.0], [0.6, 0.3, 0.1]))
    found = create("elr_plus").loss(p.log(), label, target, world.clock())
    assert abs(float(found) - (-0.8 * math.log(0.7) - 0.2 * math.log(0.2) - 3 * 0.673345)) < 1e-5


def test_reweighing_multiplies_labels_by_targets_and_normalises_them(world):
    # (.8, .2, 0) times (.6, .3, .1) is (.48, .06, 0): (8, 1, 0) ninths
    p, label, target = (torch.tensor([row]) for row in ([0.7, 0.2, 0.1], [0.8, 0.2, 0.0], [0.6, 0.3, 0.1]))
    found = create("elr_plus", reweigh_labels=True, weight=0.0).loss(p.log(), label, target, world.clock())
    assert abs(float(found) - (-8 / 9 * math.log(0.7) - 1 / 9 * math.log(0.2))) < 1e-6


def test_the_weight_rises_over_its_share_of_the_run(world):
    p, target = torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([[0.6, 0.3, 0.1]])
    method = create("elr_plus", weight=1.0, weight_ramp=0.4)
    for progress, share in ((0.2, math.exp(-5 / 4)), (0.4, 1.0), (1.0, 1.0)):
        found = method.loss(p.log(), torch.zeros(1, 3), target, world.clock(progress))
        assert abs(float(found) - share * -0.673345) < 1e-6


def test_without_mixing_and_weight_a_run_is_cross_entropy_for_each_network_bit_for_bit(world):
    run, other = (world.trainer("elr_plus", params={"alpha": 0.0, "weight": 0.0}, **SGD) for _ in range(2))
    nets, steppers = plain_networks(other)
    for epoch in range(3):
        run.epoch()
        other.task.clock = replace(other.task.clock, epoch=epoch)
        for k, (net, stepper) in enumerate(zip(nets, steppers, strict=True)):
            for batch in other.task.loader(stream=f"net{k + 1}"):
                stepper.zero_grad()
                cross_entropy(net(batch.x), batch.y).backward()
                stepper.step()
    for mine, theirs in zip(run.method.nets, nets, strict=True):
        assert all(torch.equal(mine.state_dict()[name], value) for name, value in theirs.state_dict().items())


@pytest.mark.parametrize("reweigh", [False, True])
def test_a_run_is_the_algorithm_of_the_paper_weight_by_weight(world, reweigh):
    params = {"beta": 0.6, "weight": 2.0, "average": 0.9, "average_ramp": 0.5, "weight_ramp": 0.8}
    run, other = (world.trainer("elr_plus", params={**params, "reweigh_labels": reweigh}, **SGD) for _ in range(2))
    nets, steppers = plain_networks(other)
    averages = [other.task.make_network(k).eval() for k in range(2)]
    q = torch.zeros(2, other.task.num_train, 3)
    for epoch in range(3):
        run.epoch()
        other.task.clock = replace(other.task.clock, epoch=epoch)
        for k in range(2):
            batches = list(other.task.loader(stream=f"net{k + 1}"))
            for number, batch in enumerate(batches):
                clock = replace(other.task.clock, step=number)
                t = (epoch + (number + 1) / len(batches)) / 3
                lam, order = partners(other.task, clock, len(batch.y), 1.0, f"mix{k}")
                lam = max(lam, 1 - lam)
                q[k, batch.index] = 0.6 * q[k, batch.index] + 0.4 * averages[1 - k](batch.x).detach().softmax(-1)
                mix = lam * q[k, batch.index] + (1 - lam) * q[k, batch.index][order]
                label = one_hot(batch.y, 3).float()
                label = lam * label + (1 - lam) * label[order]
                if reweigh:
                    label = (label * mix) / (label * mix).sum(-1, keepdim=True)
                z = nets[k](lam * batch.x + (1 - lam) * batch.x[order])
                p = z.softmax(-1).clamp(1e-4, 1 - 1e-4)
                pull = torch.log(1 - (mix * p).sum(-1)).mean()
                steppers[k].zero_grad()
                (cross_entropy(z, label) + 2.0 * math.exp(-5 * (1 - min(t / 0.8, 1)) ** 2) * pull).backward()
                steppers[k].step()
                rate = 0.9 * math.exp(-5 * (1 - min(t / 0.5, 1)) ** 2)
                with torch.no_grad():
                    for slow, value in zip(averages[k].parameters(), nets[k].parameters(), strict=True):
                        slow.copy_(rate * slow + (1 - rate) * value)
                    for slow, value in zip(averages[k].buffers(), nets[k].buffers(), strict=True):
                        slow.copy_(rate * slow + (1 - rate) * value if slow.is_floating_point() else value)
    torch.testing.assert_close(run.method.target, q, rtol=1e-4, atol=1e-5)
    for mine, theirs in ((run.method.nets, nets), (run.method.averages, averages)):
        for k in range(2):
            for name, value in theirs[k].state_dict().items():
                torch.testing.assert_close(mine[k].state_dict()[name], value, rtol=1e-3, atol=1e-4)


def test_both_networks_meet_the_same_labels_in_orders_of_their_own(world, monkeypatch):
    trainer = world.trainer("elr_plus")
    seen, update = ([], []), type(trainer.method).update

    def noted(method, batch, clock, k):
        seen[k].extend(zip(batch.index.tolist(), batch.y.tolist(), strict=True))
        return update(method, batch, clock, k)

    monkeypatch.setattr(type(trainer.method), "update", noted)
    trainer.epoch()
    assert seen[0] != seen[1]
    assert sorted(seen[0]) == sorted(seen[1]) == list(enumerate(trainer.task.labels().tolist()))


def test_a_batch_moves_one_network_its_average_and_its_targets_alone(world):
    trainer = world.trainer("elr_plus", batch_size=8)
    before = world.weights(trainer.method)
    trainer.method.train()
    batch = next(iter(trainer.task.loader(stream="net2")))
    step = trainer.method.update(batch, world.clock(), k=1)
    assert step.network == 1
    after = trainer.method.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert {name.rsplit(".", 99)[:2][1] for name in moved if name != "target"} == {"1"}
    assert {name.split(".")[0] for name in moved} == {"nets", "averages", "target"}
    rows = (after["target"] != 0).any(-1)
    assert not rows[0].any()
    assert sorted(rows[1].nonzero().flatten().tolist()) == sorted(batch.index.tolist())


def test_targets_come_from_the_peers_average_on_the_unmixed_image(world):
    trainer = world.trainer("elr_plus", params={"beta": 0.7})
    method = trainer.method.train()
    batch = next(iter(trainer.task.loader()))
    with torch.no_grad():
        for weight in method.averages[0].parameters():
            weight.add_(0.1)
        wanted = 0.3 * method.averages[0](batch.x).softmax(-1)
    method.update(batch, world.clock(), k=1)
    torch.testing.assert_close(method.target[1][batch.index], wanted)


def test_an_average_rate_of_zero_makes_copies_batch_norm_included(world):
    trainer = world.finish(world.trainer("elr_plus", params={"average": 0.0}))
    for net, slow in zip(trainer.method.nets, trainer.method.averages, strict=True):
        assert all(torch.equal(slow.state_dict()[name], value) for name, value in net.state_dict().items())


def test_averages_are_evaluated_with_their_own_statistics_while_networks_train(world):
    trainer = world.trainer("elr_plus")
    trainer.epoch()
    trainer.method.train()
    assert trainer.method.nets[0].training
    assert not any(module.training for module in trainer.method.averages.modules())
    assert not any(p.requires_grad for p in trainer.method.averages.parameters())


def test_the_ensemble_is_the_mean_of_the_raw_networks_logits(world, rng):
    trainer = world.trainer("elr_plus")
    trainer.epoch()
    trainer.method.eval()
    x = torch.randn(4, 1, 8, 8, generator=rng)
    heads = trainer.method.predict(x)
    assert list(heads) == ["net1", "net2", "ensemble", "ema1", "ema2"]
    torch.testing.assert_close(heads["ensemble"], (trainer.method.nets[0](x) + trainer.method.nets[1](x)) / 2)
    for k, net in enumerate(trainer.method.averages):
        assert torch.equal(heads[f"ema{k + 1}"], net(x))
    assert trainer.method.headline() == ["net1", "net2"]


def test_of_a_sample_not_met_yet_it_believes_nothing(world):
    method = world.trainer("elr_plus").method
    method.target[0, 0] = method.target[1, 0] = torch.tensor([0.0, 0.03, 0.01])
    method.target[0, 1] = torch.tensor([0.0, 0.2, 0.0])
    belief = method.judgement()
    torch.testing.assert_close(belief.relabelled.sum(-1), torch.ones(len(belief.relabelled)))
    torch.testing.assert_close(
        belief.relabelled[:3], torch.tensor([[0, 0.75, 0.25], [1 / 6, 2 / 3, 1 / 6], [1 / 3] * 3])
    )
    given = method.task.labels()[0]
    torch.testing.assert_close(belief.clean_score[:, 0], torch.tensor([0, 0.75, 0.25])[given].expand(2))
    torch.testing.assert_close(belief.clean_score[:, 2], torch.full((2,), 1 / 3))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"beta": 1.0}, r"^beta must be in \[0, 1\), got 1.0$"),
        ({"average": 1.5}, r"^average must be in \[0, 1\), got 1.5$"),
        ({"alpha": -1.0}, r"^alpha must be at least 0, got -1.0$"),
    ],
)
def test_a_hyper_parameter_outside_of_its_range_is_refused(params, message):
    with pytest.raises(ValueError, match=message):
        create("elr_plus", **params)

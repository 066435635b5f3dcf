"""Truncated GCE: what is left out, when it is decided anew and by whom, and what it then costs."""

import math

import pytest
import torch

from methods import create

SGD = {"optimizer": {"name": "sgd", "lr": 0.02}, "schedule": {"name": "constant"}}
NEVER = {"start": 1.0}


def net(trainer):
    return trainer.method.nets[0].state_dict()


def gce(p, q=0.7):
    return (1 - p**q) / q


def passes(trainer, epochs):
    """The names of the passes of the first epochs, which are not run."""
    names = []
    for epoch in range(epochs):
        trainer.task.clock = clock = trainer._clock(epoch, 0, 1, trainer.phases)
        names.append([part.name for part in trainer.method.epoch(clock)])
    return names


def test_with_nothing_left_out_it_trains_as_gce_bit_for_bit(world):
    whole = world.finish(world.trainer("gce"))
    truncated = world.finish(world.trainer("gce_truncated", params=NEVER))
    assert all(torch.equal(net(whole)[name], value) for name, value in net(truncated).items())


def test_with_nothing_left_out_loss_and_gradient_are_gces_but_for_a_constant(world, rng):
    method = world.trainer("gce_truncated").method
    logits = torch.randn(1, 12, 3, generator=rng).requires_grad_()
    batch = world.batch(torch.randint(3, (12,), generator=rng))
    found = [m.losses(logits, batch, world.clock()).losses for m in (method, create("gce"))]
    torch.testing.assert_close(found[1] - found[0], torch.tensor([gce(0.5)]))
    grads = [torch.autograd.grad(loss, logits)[0] for loss in found]
    assert torch.equal(*grads)


def test_a_sample_left_out_sends_no_gradient_and_counts_in_the_mean(world):
    method = world.trainer("gce_truncated").method
    method.kept[1] = 0.0
    p = torch.tensor([[[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.25, 0.25, 0.5]]], dtype=torch.float64)
    logits = p.log().requires_grad_()
    loss = method.losses(logits, world.batch([0, 0, 2]), world.clock()).losses
    assert float(loss.detach()) == pytest.approx((gce(0.7) + gce(0.5) - 2 * gce(0.5)) / 3, abs=1e-9)
    (grad,) = torch.autograd.grad(loss, logits)
    assert torch.equal(grad[0, 1], torch.zeros(3, dtype=torch.float64))
    assert (grad[0, [0, 2]].abs().sum(-1) > 0).all()


def test_kept_is_what_the_network_holds_more_probable_than_k(world):
    method = world.trainer("gce_truncated", params={"k": 0.3}).method
    p = torch.tensor([[0.31, 0.69], [0.29, 0.71], [0.29, 0.71], [1e-9, 1.0]], dtype=torch.float64)
    method.nets[0].forward = lambda x: p.log()
    batch = world.batch([0, 0, 1, 0])
    method.renew(type(batch)(torch.tensor([5, 6, 7, 8]), batch.views, batch.y), world.clock())
    assert method.kept[5:9].tolist() == [1.0, 0.0, 1.0, 0.0]
    assert method.kept.sum() == len(method.kept) - 2
    assert method.truncated == pytest.approx((1 - 0.3**0.7) / 0.7, abs=1e-12)


def test_a_sample_that_was_left_out_comes_back_when_the_network_changes_its_mind(world):
    method = world.trainer("gce_truncated").method
    batch = world.batch([0, 1])
    for p, kept in (([0.9, 0.1], [1.0, 0.0]), ([0.1, 0.9], [0.0, 1.0])):
        method.nets[0].forward = lambda x, p=p: torch.tensor([p, p]).log()
        method.renew(batch, world.clock())
        assert method.kept[:2].tolist() == kept


def test_the_paper_preset_decides_every_tenth_epoch_from_the_fortieth(world):
    found = passes(world.trainer("gce_truncated", epochs=120), 120)
    assert [epoch for epoch, names in enumerate(found) if names == ["prune", "train"]] == list(range(40, 120, 10))
    assert all(names[-1] == "train" for names in found)


@pytest.mark.parametrize(
    ("params", "wanted"), [({}, [1, 2]), (NEVER, []), ({"start": 0.0, "every": 0.67}, [0, 2]), ({"every": 1.0}, [1])]
)
def test_shares_scale_to_a_run_of_three_epochs(params, wanted, world):
    found = passes(world.trainer("gce_truncated", params=params), 3)
    assert [epoch for epoch, names in enumerate(found) if "prune" in names] == wanted


def test_a_run_is_the_one_written_out_from_the_paper(world):
    """Pruned before the epochs 1, 3 and 5 by the present network, in evaluation mode on images as they are."""
    params = {"k": 0.3, "start": 1 / 6, "every": 2 / 6}
    trainer, by_hand = (world.trainer("gce_truncated", params=params, epochs=6, **SGD) for _ in range(2))
    task, model = by_hand.task, by_hand.method.nets[0]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    kept, dropped = [True] * task.num_train, []
    for epoch in range(6):
        trainer.epoch()
        task.clock = by_hand._clock(epoch, 0, 1, by_hand.phases)
        if epoch in (1, 3, 5):
            model.eval()
            for batch in by_hand.data.splits["train"].plain(7):
                for i, row, label in zip(batch.index.tolist(), model(batch.x).softmax(-1), batch.y, strict=True):
                    kept[i] = row[label].item() > 0.3
            dropped.append(tuple(kept))
        model.train()
        for batch in task.loader():
            p = model(batch.x).softmax(-1)
            rows = [i for i, sample in enumerate(batch.index.tolist()) if kept[sample]]
            loss = sum(gce(p[i, batch.y[i]]) - gce(0.3) for i in rows) / len(batch.y) + 0 * p.sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert trainer.method.kept.tolist() == [float(k) for k in kept]
        judged = trainer.method.judgement()
        assert (judged is None) == (epoch < 1)
        assert judged is None or judged.selected.tolist() == [kept]
    assert len(set(dropped)) == 3  # each look was another one
    assert all(True in each and False in each for each in dropped)
    for name, value in net(trainer).items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"q": 0.0}, r"q must be in \(0, 1\] and k in \(0, 1\), got 0.0 and 0.5"),
        ({"k": 1.0}, r"q must be in \(0, 1\] and k in \(0, 1\), got 0.7 and 1.0"),
        ({"start": 1.5}, r"start and every must be shares in \[0, 1\], got 1.5 and 0.08"),
        ({"every": -0.5}, r"start and every must be shares in \[0, 1\], got 0.33.* and -0.5"),
    ],
)
def test_a_setting_without_meaning_is_refused(params, said):
    with pytest.raises(ValueError, match=said):
        create("gce_truncated", **params)


def test_at_q_1_what_is_left_out_would_cost_one_minus_k():
    assert create("gce_truncated", q=1.0, k=0.4).truncated == pytest.approx(0.6)
    assert create("gce_truncated", q=1e-6, k=0.4).truncated == pytest.approx(-math.log(0.4), rel=1e-5)

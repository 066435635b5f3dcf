"""GJS and JS: an epoch written out by hand, its views, and the limits of the label's weight."""

import math

import pytest
import torch

from methods import create, registry

SGD = {"optimizer": {"name": "sgd", "lr": 0.05}, "schedule": {"name": "constant"}}


def net(trainer):
    return trainer.method.nets[0].state_dict()


def divergence(weights, parts):
    """sum_j pi_j KL(d_j || m) of rows (B, C), from its definition."""
    mean = sum(w * part for w, part in zip(weights, parts, strict=True))
    each = [torch.where(part > 0, part * (part.clamp(min=1e-30) / mean).log(), 0.0).sum(-1) for part in parts]
    return sum(w * kl for w, kl in zip(weights, each, strict=True))


@pytest.mark.parametrize(
    ("name", "params", "weights"),
    [
        ("gjs", {}, (0.9, 0.05, 0.05)),
        ("gjs", {"label_weight": 0.3}, (0.3, 0.35, 0.35)),
        ("gjs", {"label_weight": 0.4, "predictions": 3}, (0.4, 0.2, 0.2, 0.2)),
        ("js", {}, (0.7, 0.3)),
    ],
)
def test_an_epoch_is_the_one_written_out_from_the_paper(name, params, weights, world):
    trainer, by_hand = (world.trainer(name, params=params, **SGD) for _ in range(2))
    trainer.epoch()
    model = by_hand.method.nets[0].train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for batch in by_hand.task.loader(views=("strong",) * (len(weights) - 1)):
        label = torch.nn.functional.one_hot(batch.y, 3).float()
        parts = [label, *(model(view).softmax(-1) for view in batch.views)]
        loss = divergence(weights, parts).mean() / -((1 - weights[0]) * math.log(1 - weights[0]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for key, value in net(trainer).items():
        torch.testing.assert_close(value, model.state_dict()[key], rtol=1e-4, atol=1e-5)


def test_the_predictions_are_of_differently_augmented_strong_views(world):
    trainer, seen = world.trainer("gjs"), []
    real = trainer.task.loader
    trainer.task.loader = lambda **asked: seen.append(asked) or real(**asked)
    (part,) = trainer.method.epoch(trainer.task.clock)
    assert seen == [{"views": ("strong", "strong")}]
    batch = next(iter(part.batches))
    assert not torch.equal(*batch.views)


def test_as_the_label_loses_its_weight_js_trains_almost_as_cross_entropy(world):
    sgd = {**SGD, "augment": "none"}
    control, limit, far = (
        world.trainer(name, params=params, **sgd)
        for name, params in (("ce", {}), ("js", {"label_weight": 1e-3}), ("js", {"label_weight": 0.7}))
    )
    weak = control.task.loader
    for trainer in (limit, far):  # the same images as the control's
        trainer.task.loader = lambda views, trainer=trainer: weak()
    for trainer in (control, limit, far):
        trainer.epoch()
    for name in (name for name in net(control) if name.endswith("weight")):
        torch.testing.assert_close(net(limit)[name], net(control)[name], rtol=0, atol=2e-3)
    assert (net(far)["head.weight"] - net(control)["head.weight"]).abs().max() > 0.01


def test_js_is_gjs_with_one_prediction(world):
    assert registry.describe("js").resolve({}) == {"label_weight": 0.7, "predictions": 1}
    one = world.finish(world.trainer("js"))
    other = world.finish(world.trainer("gjs", params={"label_weight": 0.7, "predictions": 1}))
    assert all(torch.equal(net(one)[name], value) for name, value in net(other).items())


@pytest.mark.parametrize("weight", [0.0, 1.0, -0.5])
def test_a_label_weight_at_which_the_scale_is_infinite_is_refused(weight):
    with pytest.raises(ValueError, match=rf"label_weight must be in \(0, 1\), got {weight}"):
        create("gjs", label_weight=weight)


def test_no_prediction_is_refused():
    with pytest.raises(ValueError, match="predictions must be at least 1, got 0"):
        create("gjs", predictions=0)

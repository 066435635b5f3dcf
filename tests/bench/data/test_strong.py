"""Policies: the steps are torchvision's, each drawn as often as it should be, each made on its own sample alone."""

import importlib

import numpy as np
import pytest
import torch

from bench.data import strong
from bench.data.strong import Strong, StrongDraws
from tests.bench.data.torchvision_ops import THEIRS, magnitudes, theirs

CPU = torch.device("cpu")


def photographs(n: int, channels: int = 3, side: int = 32) -> torch.Tensor:
    """Smooth images with some noise, as equalising and stretching need."""
    rng = np.random.default_rng(n)
    coarse = rng.integers(0, 200, (n, channels, side // 8, side // 8)).repeat(8, 2).repeat(8, 3)
    return torch.from_numpy((coarse + rng.integers(0, 56, coarse.shape)).astype(np.uint8))


def same(one: StrongDraws, other: StrongDraws) -> bool:
    return torch.equal(one.changes, other.changes) and torch.equal(one.centre, other.centre)


def test_autoaugment_is_torchvisions_policy_for_cifar10(torchvision) -> None:
    transforms = torchvision.transforms
    plans = transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10).policies
    found = [[(THEIRS[s.operation], s.probability, s.bin) for s in plan] for plan in strong.policy("autoaugment").plans]
    assert found == [[(name, probability, bin or 0) for name, probability, bin in plan] for plan in plans]
    assert strong.policy("autoaugment").bins == 10


def test_randaugment_is_one_of_torchvisions_operations_at_magnitude_3(torchvision) -> None:
    theirs = torchvision.transforms.RandAugment(num_ops=1, magnitude=3)
    policy = strong.policy("randaugment")
    space = theirs._augmentation_space(theirs.num_magnitude_bins, (32, 32))
    assert sorted(THEIRS[step.operation] for (step,) in policy.plans) == sorted(space)
    assert {(step.probability, step.bin) for (step,) in policy.plans} == {(1.0, theirs.magnitude)}
    assert policy.bins == theirs.num_magnitude_bins
    assert {THEIRS[name] for name in strong._SIGNED} == {name for name, (_, signed) in space.items() if signed}


@pytest.mark.parametrize("name", strong.available())
def test_each_change_is_drawn_as_often_as_its_policy_says(name) -> None:
    n, plans = 60_000, strong.policy(name).plans
    changes = Strong(name, 32, 32, CPU).draw(4, n).changes.numpy()
    assert changes.shape == (n, len(plans[0]))
    for step in range(len(plans[0])):
        expected = [plan[step].probability / len(plans) / 2 for plan in plans for _ in (1, -1)]
        first = 1 + 2 * len(plans) * step
        count = np.bincount(changes[:, step], minlength=first + len(expected))
        assert len(count) == first + len(expected)
        assert count[1:first].sum() == 0  # these rows are of the steps before
        found = np.array([count[0], *count[first:]]) / n
        share = np.array([1 - sum(expected), *expected])
        assert (abs(found - share) <= 4.5 * np.sqrt(share * (1 - share) / n)).all()


def test_both_steps_of_a_sample_are_of_one_plan() -> None:
    first, second = Strong("autoaugment", 32, 32, CPU).draw(4, 5000).changes.numpy().T
    both = (first > 0) & (second > 0)
    assert both.sum() > 1000
    assert np.array_equal((first[both] - 1) // 2, (second[both] - 1) // 2 - 25)
    agree = (first[both] - 1) % 2 == (second[both] - 1) % 2  # each has its own sign
    assert 0.45 < agree.mean() < 0.55


def test_the_square_may_lie_anywhere() -> None:
    centre = Strong("randaugment", 8, 16, CPU).draw(2, 16_000).centre.numpy()
    for axis, side in ((0, 8), (1, 16)):
        count = np.bincount(centre[:, axis])
        assert len(count) == side
        assert abs(count - 16_000 / side).max() < 4.5 * np.sqrt(16_000 / side)
    assert abs(np.corrcoef(centre.T)[0, 1]) < 0.04


def test_the_seed_is_all_that_strong_draws_depend_on() -> None:
    policy = Strong("autoaugment", 32, 32, CPU)
    first = policy.draw(1, 300)
    torch.manual_seed(5)
    np.random.default_rng(1).random(3)
    assert same(first, policy.draw(1, 300))
    assert same(first, Strong("autoaugment", 32, 32, CPU).draw(1, 300))
    assert not same(first, policy.draw(2, 300))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", strong.available())
def test_a_sample_is_changed_alike_alone_and_in_a_batch(name, channels) -> None:
    policy, images = Strong(name, 16, 16, CPU), photographs(150, channels, 16)
    draws = policy.draw(3, len(images))
    before = images.clone()
    together = policy.apply(images, draws)
    assert torch.equal(images, before)
    assert together.dtype == torch.uint8
    assert together.shape == images.shape
    for i in range(len(images)):
        assert torch.equal(policy.apply(images[i : i + 1], draws.of(torch.tensor([i]))), together[i : i + 1])


@pytest.mark.parametrize("name", strong.available())
def test_a_batch_is_what_torchvision_makes_of_each_image(name, torchvision) -> None:
    functional = importlib.import_module("torchvision.transforms.v2.functional")
    plans, images = strong.policy(name).plans, photographs(400)
    policy = Strong(name, 32, 32, CPU)
    draws = policy.draw(9, len(images))
    found = policy.apply(images, draws)
    apart = []
    for i, image in enumerate(images):
        for step, row in enumerate(draws.changes[i].tolist()):
            if row:
                number, negative = divmod(row - 1, 2)
                assert number // len(plans) == step
                operation, _, bin = plans[number % len(plans)][step]
                magnitude = magnitudes(torchvision, operation, strong.policy(name).bins, 32, 32)[bin]
                sign = -1 if negative and operation in strong._SIGNED else 1
                image = theirs(functional, image, operation, sign * magnitude)
        y, x = draws.centre[i].tolist()
        image = image.clone()
        image[:, max(0, y - 8) : y + 8, max(0, x - 8) : x + 8] = 0  # 16 of 32
        apart.append((found[i].int() - image.int()).abs())
    apart_of_all = torch.stack(apart)
    assert (apart_of_all <= 1).float().mean() > 0.999  # a level apart may be more after equalising
    assert (apart_of_all == 0).float().mean() > 0.98
    assert apart_of_all.max() <= 16


@pytest.mark.parametrize("name", strong.available())
def test_no_value_is_asked_for_on_the_way(name) -> None:
    nowhere = torch.device("meta")  # where there are shapes and no values, so that asking for one is an error
    draws = Strong(name, 32, 32, CPU).draw(0, 7).to(nowhere)
    images = torch.empty(7, 3, 32, 32, dtype=torch.uint8, device=nowhere)
    assert Strong(name, 32, 32, nowhere).apply(images, draws).shape == images.shape


def test_an_unknown_policy_meets_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"unknown strong augmentation 'randaug'; did you mean 'randaugment'\?"):
        Strong("randaug", 32, 32, CPU)
    with pytest.raises(ValueError, match="unknown strong augmentation 'x'; allowed: autoaugment, randaugment"):
        strong.policy("x")

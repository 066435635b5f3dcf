from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.data import datasets
from bench.data.loader import Resident
from bench.seeds import derive

INFO = replace(datasets.info("cifar10"), shape=(3, 8, 8))


def resident(n: int = 21, *, augment="crop_flip", channels_last=False, normalise=True, info=INFO) -> Resident:
    rng = np.random.default_rng(n)
    channels, height, width = info.shape
    images = rng.integers(0, 256, (n, height, width, channels), dtype=np.uint8)
    images.setflags(write=False)
    given = rng.integers(0, 10, n)
    given.setflags(write=False)
    return Resident(images, given, info, "cpu", channels_last, augment, normalise)


def one_pass(data: Resident, **changes):
    options = {"batch_size": 4, "shuffle": True, "seed": 7, "stream": "main", "epoch": 2, "drop_single": True}
    return data.batches(**options | changes)


def by_index(batches, view: int = 0) -> dict[int, torch.Tensor]:
    return {int(i): x for batch in batches for i, x in zip(batch.index, batch.views[view], strict=True)}


@pytest.mark.parametrize("batch_size", [1, 4, 7, 21, 50])
def test_evaluation_gives_each_index_exactly_once_in_order(batch_size) -> None:
    batches = resident().plain(batch_size)
    index = torch.cat([batch.index for batch in batches])
    assert index.tolist() == list(range(21))
    assert len(batches) == len(list(batches))


@pytest.mark.parametrize(("n", "sizes"), [(20, [4] * 5), (21, [4] * 5), (22, [4] * 5 + [2]), (3, [3]), (5, [4])])
def test_a_training_pass_never_yields_a_batch_of_one(n, sizes) -> None:
    batches = one_pass(resident(n))
    assert [len(batch.y) for batch in batches] == sizes
    assert len(batches) == len(sizes)


def test_a_batch_of_one_is_kept_where_nothing_is_dropped() -> None:
    assert [len(batch.y) for batch in one_pass(resident(5), drop_single=False)] == [4, 1]


def test_training_on_fewer_than_two_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="cifar10: training needs at least 2 samples, got 1"):
        one_pass(resident(1))
    assert len(list(resident(1).plain(4))) == 1
    with pytest.raises(ValueError, match="batch_size must be at least 2, got 1"):
        one_pass(resident(), batch_size=1)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        resident().plain(0)


def test_every_index_keeps_its_label_in_every_pass() -> None:
    data = resident()
    for epoch, stream in [(0, "main"), (1, "main"), (0, "other")]:
        for batch in one_pass(data, epoch=epoch, stream=stream):
            assert torch.equal(batch.y, data.given[batch.index])


def test_the_same_seed_stream_and_epoch_give_the_same_bits_whatever_ran_before() -> None:
    fresh = list(one_pass(resident()))
    used = resident()
    torch.manual_seed(99)
    for epoch in range(4):
        next(iter(one_pass(used, epoch=epoch)))
    batches = one_pass(used)
    for again in (list(batches), list(batches)):
        for one, two in zip(fresh, again, strict=True):
            assert torch.equal(one.index, two.index)
            assert torch.equal(one.views[0], two.views[0])


@pytest.mark.parametrize("change", [{"seed": 8}, {"stream": "other"}, {"epoch": 3}])
def test_another_seed_stream_or_epoch_gives_another_order_and_other_draws(change) -> None:
    data = resident()
    here, there = one_pass(data), one_pass(data, **change)
    assert torch.cat([b.index for b in here]).tolist() != torch.cat([b.index for b in there]).tolist()
    images, others = by_index(here), by_index(there)
    assert any(not torch.equal(images[i], others[i]) for i in images.keys() & others.keys())


def test_the_order_is_the_one_of_its_stream() -> None:
    expected = np.random.default_rng(derive(7, "order", "main", 2)).permutation(22)
    assert torch.cat([batch.index for batch in one_pass(resident(22))]).tolist() == expected.tolist()
    straight = one_pass(resident(22), shuffle=False)
    assert torch.cat([batch.index for batch in straight]).tolist() == list(range(22))


def test_draws_follow_the_sample_not_its_place() -> None:
    data = resident(22)
    shuffled = by_index(one_pass(data))
    for other in (one_pass(data, shuffle=False), one_pass(data, batch_size=11), one_pass(data, batch_size=22)):
        images = by_index(other)
        assert all(torch.equal(images[i], shuffled[i]) for i in range(22))


def test_two_weak_views_differ_and_a_plain_one_is_the_image() -> None:
    data = resident(22)
    batches = one_pass(data, views=("weak", "weak", "plain"))
    first, second, plain = (by_index(batches, view) for view in range(3))
    evaluated = by_index(data.plain(5))
    assert any(not torch.equal(first[i], second[i]) for i in range(22))
    assert all(torch.equal(plain[i], evaluated[i]) for i in range(22))
    alone = by_index(one_pass(data))
    assert all(torch.equal(first[i], alone[i]) for i in range(22))


def test_an_unknown_view_meets_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"unknown view 'week'; did you mean 'weak'\?"):
        one_pass(resident(), views=("week",))


def test_a_subset_gives_its_positions_and_no_others() -> None:
    data = resident()
    subset = torch.tensor([2, 3, 5, 8, 13])
    batches = one_pass(data, subset=subset, batch_size=3)
    assert sorted(torch.cat([batch.index for batch in batches]).tolist()) == subset.tolist()
    whole = by_index(one_pass(data, batch_size=21))
    assert all(torch.equal(x, whole[i]) for i, x in by_index(batches).items())


@pytest.mark.parametrize("subset", [[], [4]])
def test_an_empty_or_single_subset_gives_no_training_batch(subset) -> None:
    batches = one_pass(resident(), subset=torch.tensor(subset, dtype=torch.int64))
    assert len(batches) == 0
    assert list(batches) == []


def test_a_mask_as_subset_is_refused() -> None:
    with pytest.raises(ValueError, match=r"subset must be a row of int64 positions, got torch.bool \(21,\)"):
        one_pass(resident(), subset=torch.ones(21, dtype=torch.bool))


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_evaluated_images_are_pixels_minus_mean_over_deviation(augment) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    data = Resident(pixels, np.zeros(6, np.int64), INFO, "cpu", channels_last=False, augment=augment)
    expected = (pixels / 255 - np.array(INFO.mean)) / np.array(INFO.std)
    (batch,) = data.plain(6)
    assert batch.views[0].dtype == torch.float32
    assert np.allclose(batch.views[0].numpy(), expected.transpose(0, 3, 1, 2), atol=1e-5)


def test_padding_is_black_before_normalisation() -> None:
    white = np.full((200, 8, 8, 3), 255, np.uint8)
    data = Resident(white, np.zeros(200, np.int64), INFO, "cpu", channels_last=False, augment="crop_flip")
    (batch,) = one_pass(data, batch_size=200)
    black = -torch.tensor(INFO.mean) / torch.tensor(INFO.std)
    for channel in range(3):
        assert torch.isclose(batch.x[:, channel].min(), black[channel], atol=1e-5)


def test_without_normalisation_pixels_lie_between_0_and_1() -> None:
    digits = datasets.load("digits")
    data = Resident(digits.test_images, digits.test_labels, digits.info, "cpu", False, "none", normalise=False)
    x = torch.cat([batch.x for batch in data.plain(100)])
    assert x.shape == (360, 1, 8, 8)
    assert np.allclose(x.numpy()[:, 0], digits.test_images[..., 0] / 16)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_memory_layout_changes_no_value(channels) -> None:
    info = replace(INFO, shape=(channels, 8, 8), mean=INFO.mean[:channels], std=INFO.std[:channels])
    straight, last = resident(info=info), resident(info=info, channels_last=True)
    for one, two in zip(one_pass(straight), one_pass(last), strict=True):
        assert torch.equal(one.x, two.x)
        assert two.x.is_contiguous(memory_format=torch.channels_last)
        assert one.x.is_contiguous()


def test_a_method_that_spoils_its_batch_spoils_nothing_else() -> None:
    data = resident(augment="none")
    before = by_index(data.plain(7))
    for batch in one_pass(data):
        batch.x.zero_()
        batch.y.zero_()
        batch.index.zero_()
    after = by_index(data.plain(7))
    assert all(torch.equal(before[i], after[i]) for i in range(21))
    assert data.given.sum() > 0


def test_images_and_labels_of_unequal_number_are_refused() -> None:
    with pytest.raises(ValueError, match="cifar10: 3 images, but 2 labels"):
        Resident(np.zeros((3, 8, 8, 3), np.uint8), np.zeros(2, np.int64), INFO, "cpu", False, "none")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_pass_on_the_gpu_waits_for_nothing_and_gives_the_values_of_the_cpu() -> None:
    rng = np.random.default_rng(0)
    images, given = rng.integers(0, 256, (21, 8, 8, 3), dtype=np.uint8), rng.integers(0, 10, 21)
    here, there = (Resident(images, given, INFO, device, False, "crop_flip") for device in ("cpu", "cuda"))
    batches = one_pass(there)
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = list(batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for one, two in zip(one_pass(here), found, strict=True):
        assert torch.equal(one.index, two.index.cpu())
        assert torch.allclose(one.x, two.x.cpu(), atol=1e-6)

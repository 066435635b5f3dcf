"""The view named "strong" as loaders give it: the weak view, then the policy, the same wherever images lie."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.data import datasets
from bench.data.loader import Resident
from bench.data.streamed import Streamed
from bench.data.strong import Strong
from bench.seeds import derive

N = 23
PASS = {"shuffle": True, "seed": 7, "stream": "main", "epoch": 2, "drop_single": True}
POLICIES = ["autoaugment", "randaugment"]


def info_of(shape=(3, 12, 12), **changes) -> datasets.DatasetInfo:
    mean, std = (0.5, 0.4, 0.45, 0.6)[: shape[0]], (0.2, 0.25, 0.3, 0.2)[: shape[0]]
    return replace(datasets.info("cifar10"), shape=shape, mean=mean, std=std, **changes)


def pixels_of(info: datasets.DatasetInfo) -> np.ndarray:
    channels, height, width = info.shape
    size = (N, height + info.margin, width + info.margin, channels)
    return np.random.default_rng(1).integers(0, info.pixel_max + 1, size, dtype=np.uint8)


def loader(kind=Resident, info=None, *, name="crop_flip", last=False, device="cpu", **options) -> Resident | Streamed:
    info = info or info_of()
    how = (np.arange(N) % 10, info, device, last, name)
    if kind is Resident:
        return Resident(pixels_of(info), *how, **options)
    rows = np.random.default_rng(2).permutation(N)  # of a store in another order
    return Streamed(pixels_of(info)[np.argsort(rows)], rows, *how, **options)


def by_index(batches, view: int = 0) -> torch.Tensor:
    """Return one view of all samples in their order, (N, A, H, W)."""
    pairs = {int(i): x for batch in batches for i, x in zip(batch.index, batch.views[view], strict=True)}
    return torch.stack([pairs[i] for i in range(N)])


@pytest.mark.parametrize("name", ["crop_flip", "none"])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_strong_view_is_its_policy_on_the_weak_view_of_its_place_then_normalised(policy, name) -> None:
    plain = {"name": name, "strong": policy, "rotate": 10.0}
    weak = by_index(loader(**plain, normalise=False).batches(**PASS, batch_size=5, views=("plain", "weak")), 1)
    drawn = Strong(policy, 12, 12, torch.device("cpu"))
    draws = drawn.draw(derive(derive(7, "augment", "main", 1, 2), "strong"), N)
    expected = drawn.apply((weak * 255).round().byte(), draws).double() / 255
    info = info_of()
    expected = (expected - torch.tensor(info.mean)[:, None, None]) / torch.tensor(info.std)[:, None, None]
    views = loader(**plain).batches(**PASS, batch_size=5, views=("weak", "strong"))
    found = by_index(views, 1)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), expected, atol=1e-5)


def test_strong_views_draw_by_place_and_leave_the_others_as_they_are() -> None:
    data = loader()
    batches = data.batches(**PASS, batch_size=5, views=("weak", "strong", "strong", "plain"))
    views = [by_index(batches, place) for place in range(4)]
    alone = by_index(data.batches(**PASS, batch_size=5))
    assert torch.equal(views[0], alone)
    assert not torch.equal(views[1], views[2])
    assert torch.equal(views[3], by_index(data.plain(4)))
    later = by_index(data.batches(**PASS | {"epoch": 3}, batch_size=5, views=("weak", "strong")), 1)
    assert not torch.equal(views[1], later)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("change", [{"batch_size": 1}, {"batch_size": N}, {"shuffle": False}])
def test_a_strong_sample_knows_neither_its_place_nor_its_layout(change, last) -> None:
    settings = PASS | {"drop_single": False, "batch_size": 5, "views": ("strong",)}
    one = loader(strong="autoaugment").batches(**settings)
    other = loader(strong="autoaugment", last=last).batches(**settings | change)
    assert torch.equal(by_index(one), by_index(other))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("margin", [0, 5])
@pytest.mark.parametrize("name", ["crop_flip", "crop_flip_reflect", "none"])
@pytest.mark.parametrize("policy", POLICIES)
def test_streamed_strong_and_turned_views_are_those_of_a_resident_set_bit_for_bit(policy, name, margin, last) -> None:
    how = {"info": info_of(margin=margin), "name": name, "last": last, "strong": policy, "rotate": 15.0}
    views = ("weak", "strong", "plain", "strong")
    pair = [
        loader(kind, **how).batches(**PASS, batch_size=4, views=views, subset=torch.arange(1, N, 2))
        for kind in (Resident, Streamed)
    ]
    for ours, theirs in zip(*pair, strict=True):
        assert torch.equal(ours.index, theirs.index)
        assert all(torch.equal(a, b) for a, b in zip(ours.views, theirs.views, strict=True))
        assert all(a.stride() == b.stride() for a, b in zip(ours.views, theirs.views, strict=True))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 10), (4, 9, 9), (3, 1, 1)], ids=str)
def test_images_of_any_shape_have_a_strong_view(shape, policy) -> None:
    data = loader(info=info_of(shape), strong=policy, rotate=10.0)
    images = by_index(data.batches(**PASS, batch_size=6, views=("strong",)))
    assert images.shape == (N, *shape)
    assert bool(images.isfinite().all())


@pytest.mark.parametrize("policy", POLICIES)
def test_white_is_white_however_it_is_stored(policy) -> None:
    coarse, fine = info_of((1, 8, 8), pixel_max=16), info_of((1, 8, 8))
    pixels = pixels_of(coarse)
    scaled = np.rint(pixels * (255 / 16)).astype(np.uint8)
    settings = PASS | {"batch_size": 6, "views": ("strong",)}
    pair = [
        by_index(Resident(images, np.zeros(N, int), info, "cpu", False, "crop_flip", strong=policy).batches(**settings))
        for images, info in ((pixels, coarse), (scaled, fine))
    ]
    assert torch.allclose(*pair, atol=1e-5)


def test_an_unknown_policy_or_view_meets_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"unknown strong augmentation 'autoaug'; did you mean 'autoaugment'\?"):
        loader(strong="autoaug")
    with pytest.raises(ValueError, match=r"unknown view 'strongg'; did you mean 'strong'\?"):
        loader().batches(**PASS, batch_size=4, views=("strongg",))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("policy", POLICIES)
def test_a_strong_pass_on_the_gpu_waits_for_nothing_and_gives_the_values_of_the_cpu(policy) -> None:
    how = {"strong": policy, "rotate": 15.0}
    batches = loader(device="cuda", **how).batches(**PASS, batch_size=5, views=("weak", "strong"))
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = list(batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    here = loader(**how).batches(**PASS, batch_size=5, views=("weak", "strong"))
    for one, two in zip(here, found, strict=True):
        assert all(torch.allclose(a, b.cpu(), atol=1e-6) for a, b in zip(one.views, two.views, strict=True))

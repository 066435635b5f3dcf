"""Weak views that are turned or padded by reflection, and the bits of those that are neither, which never change."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.data import augment, datasets
from bench.data.loader import Resident
from bench.data.padded import Form
from bench.data.streamed import Streamed
from bench.seeds import derive

SIDE, N = 12, 37
PASS = {"shuffle": True, "seed": 11, "stream": "main", "drop_single": True}
KINDS = [Resident, Streamed]

# Of all that training and evaluation get, by augmentation and margin. The tables under results/ stand on these bits.
PINNED = {
    ("crop_flip", 0): "2de5f7095f0e944e",
    ("crop_flip", 6): "907899dd9691b5b3",
    ("none", 0): "079a45331c1fbaf6",
    ("none", 6): "f9cfddb7a0690c5b",
}


def pixels_of(margin: int = 0, side: int = SIDE) -> np.ndarray:
    size = (N, side + margin, side + margin, 3)
    return (np.arange(np.prod(size)) * 7919 % 251).astype(np.uint8).reshape(size)


def loader(kind=Resident, name="crop_flip", *, last=False, margin=0, side=SIDE, **options) -> Resident | Streamed:
    info = replace(datasets.info("cifar10"), shape=(3, side, side), margin=margin)
    images, how = pixels_of(margin, side), (np.arange(N) % 10, info, "cpu", last, name)
    return Resident(images, *how, **options) if kind is Resident else Streamed(images, np.arange(N), *how, **options)


def whole(data: Resident | Streamed, *views: str, epoch: int = 0) -> torch.Tensor:
    """Every view of every sample in the order of the samples, as pixels: (views, N, A, H, W)."""
    (batch,) = data.batches(**PASS | {"shuffle": False}, batch_size=N, views=views, epoch=epoch)
    return (torch.stack(batch.views) * 255).round().byte()


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "margin"), PINNED)
def test_batches_have_the_bits_that_committed_results_were_trained_on(name, margin, kind, last) -> None:
    data, found = loader(kind, name, last=last, margin=margin), hashlib.sha256()
    for epoch in (0, 3):
        for batch in data.batches(batch_size=8, views=("weak", "plain", "weak"), epoch=epoch, **PASS):
            found.update(batch.index.numpy().tobytes() + batch.y.numpy().tobytes())
            for view in batch.views:
                found.update(view.contiguous().numpy().tobytes())
    for batch in data.plain(10):
        found.update(batch.x.contiguous().numpy().tobytes())
    assert found.hexdigest()[:16] == PINNED[name, margin]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "margin"), [("none", 0), ("crop_flip", 0), ("crop_flip", 4)])
def test_a_turned_view_is_torchvisions_rotation_of_the_view_that_is_not(name, margin, kind, torchvision) -> None:
    straight = whole(loader(kind, name, margin=margin, normalise=False), "plain", "weak")
    turned = whole(loader(kind, name, margin=margin, normalise=False, rotate=20.0), "plain", "weak")
    assert torch.equal(turned[0], straight[0])
    draws = augment.draw(derive(11, "augment", "main", 1, 0), N, name, 8, 20.0)  # of the second view of epoch 0
    angles = torch.atan2(draws.turn[:, 1].double(), draws.turn[:, 0].double()).rad2deg()
    for i, angle in enumerate(angles.tolist()):
        assert torch.equal(turned[1, i], torchvision.transforms.functional.rotate(straight[1, i], angle))


def test_angles_are_uniform_between_both_ends_and_move_no_window() -> None:
    n, degrees = 20_000, 15.0
    with_turns, without = augment.draw(5, n, "crop_flip", 8, degrees), augment.draw(5, n, "crop_flip", 8)
    for name in ("dy", "dx", "flip"):
        assert torch.equal(getattr(with_turns, name), getattr(without, name))
    assert without.turn is None
    cosine, sine = (with_turns.turn.double() / 2**32).unbind(1)
    assert (cosine.square() + sine.square() - 1).abs().max() < 1e-8
    angles = torch.atan2(sine, cosine).rad2deg().numpy()
    count, _ = np.histogram(angles, bins=10, range=(-degrees, degrees))
    assert count.sum() == n
    assert abs(count - n / 10).max() < 4.5 * np.sqrt(n * 0.1 * 0.9)
    assert abs(np.corrcoef(angles, with_turns.dy)[0, 1]) < 0.03
    assert not torch.equal(augment.draw(6, n, "none", 8, degrees).turn, with_turns.turn)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("padding", [0, 1, 4])
def test_reflected_padding_is_torchvisions(padding, channels_last, torchvision) -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 5, 7, 2), dtype=np.uint8))
    store = augment.padded_store(images, Form(padding, True, channels_last))
    expected = torchvision.transforms.functional.pad(images.permute(0, 3, 1, 2), [padding], padding_mode="reflect")
    assert store.is_contiguous()
    assert torch.equal(store.permute(0, 3, 1, 2) if channels_last else store, expected)


def test_reflecting_changes_no_window_and_no_pixel_of_the_image_itself() -> None:
    zeros, mirrored = (loader(name=name, normalise=False) for name in ("crop_flip", "crop_flip_reflect"))
    black, view = whole(zeros, "plain", "weak"), whole(mirrored, "plain", "weak")
    assert torch.equal(black[0], view[0])
    inside = black[1] > 0
    assert torch.equal(black[1][inside], view[1][inside])
    assert (black[1] == 0).float().mean() > 0.2
    assert (view[1] == 0).float().mean() < 0.01  # of these pixels one in 251 is 0


def test_a_margin_needs_no_padding_of_either_kind() -> None:
    zeros, mirrored = (whole(loader(name=name, margin=6), "weak") for name in ("crop_flip", "crop_flip_reflect"))
    assert torch.equal(zeros, mirrored)


@pytest.mark.parametrize("side", [3, 4])
def test_an_image_that_is_too_small_to_be_reflected_is_refused(side) -> None:
    message = f"cifar10: 'crop_flip_reflect' reflects 4 pixels, so images need 5 a side; they have {side} x {side}"
    with pytest.raises(ValueError, match=message):
        loader(name="crop_flip_reflect", side=side)
    assert len(loader(name="crop_flip", side=side)) == N
    assert whole(loader(name="crop_flip_reflect", side=5), "weak").shape == (1, N, 3, 5, 5)


@pytest.mark.parametrize("degrees", [-1.0, 180.5, float("nan"), float("inf")])
def test_an_angle_that_means_nothing_is_refused(degrees) -> None:
    with pytest.raises(ValueError, match=rf"rotate must be in \[0, 180\] degrees, got {degrees}"):
        loader(rotate=degrees)

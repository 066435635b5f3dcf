import numpy as np
import pytest
import torch

from bench.data import augment
from bench.data.padded import Form

N, A, H, W, P = 7, 3, 5, 6, 2


def images_of(n: int = N, channels: int = A) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(1, 256, (n, H, W, channels), dtype=np.uint8))


def cut(images: torch.Tensor, padding: int, channels_last: bool, index: torch.Tensor, draws: augment.Draws):
    """The crops of the samples `index`, mirrored as drawn: (B, A, H, W)."""
    crops = augment.Crops(augment.padded_store(images, Form(padding, False, channels_last)), 2 * padding, channels_last)
    drawn = draws.of(index)
    return crops.take(crops.begin(index, drawn), drawn.flip)


def one_by_one(images: torch.Tensor, index: list[int], draws: augment.Draws, padding: int) -> np.ndarray:
    """Pad, crop and mirror each image in plain numpy: (B, A, H, W)."""
    out = []
    for i in index:
        padded = np.zeros((H + 2 * padding, W + 2 * padding, images.shape[-1]), np.uint8)
        padded[padding : padding + H, padding : padding + W] = images[i].numpy()
        y, x = int(draws.dy[i]), int(draws.dx[i])
        window = padded[y : y + H, x : x + W]
        if draws.flip is not None and draws.flip[i]:
            window = window[:, ::-1]
        out.append(window.transpose(2, 0, 1))
    return np.stack(out)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_equals_a_loop_over_its_images(channels, channels_last) -> None:
    images = images_of(channels=channels)
    draws = augment.draw(3, N, "crop_flip", 2 * P)
    index = [5, 0, 3, 3, 6]
    batch = cut(images, P, channels_last, torch.tensor(index), draws)
    assert batch.dtype == torch.uint8
    assert np.array_equal(batch.numpy(), one_by_one(images, index, draws, P))


@pytest.mark.parametrize("channels_last", [False, True])
def test_crops_are_cut_from_the_store_itself(channels_last) -> None:
    store = augment.padded_store(images_of(), Form(P, False, channels_last))
    crops, centre = augment.Crops(store, 2 * P, channels_last), augment.draw(3, N, "none", 2 * P)
    store.fill_(7)
    assert (crops.take(crops.begin(torch.arange(N), centre), None) == 7).all()


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("padding", [0, P])
def test_no_augmentation_is_the_image_itself(padding, channels_last) -> None:
    images = images_of()
    batch = cut(images, padding, channels_last, torch.arange(N), augment.draw(3, N, "none", 2 * padding))
    assert torch.equal(batch, images.permute(0, 3, 1, 2))


@pytest.mark.parametrize(("width", "channels"), [(8, 1), (6, 2), (5, 2), (5, 1)])  # 8, 4, 2 and 1 bytes at once
def test_images_of_any_size_are_mirrored(width, channels) -> None:
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (4, 1, width, channels), dtype=np.uint8))
    found = augment.mirror(images, torch.tensor([True, False, True, False]), 2)
    assert torch.equal(found[::2], images[::2].flip(2))
    assert torch.equal(found[1::2], images[1::2])


def test_corners_reach_both_ends_and_half_of_the_samples_are_mirrored() -> None:
    draws = augment.draw(0, 9000, "crop_flip", 8)
    for corner in (draws.dy, draws.dx):
        counts = np.bincount(corner.numpy())
        assert len(counts) == 9
        assert abs(counts - 1000).max() < 4 * np.sqrt(1000 * 8 / 9)
    assert abs(int(draws.flip.sum()) - 4500) < 4 * np.sqrt(9000 / 4)
    assert not torch.equal(draws.dy, draws.dx)


def test_the_seed_is_all_that_the_draws_depend_on() -> None:
    state = torch.get_rng_state()
    first = augment.draw(1, 50, "crop_flip", 8)
    torch.rand(3)
    again, other = augment.draw(1, 50, "crop_flip", 8), augment.draw(2, 50, "crop_flip", 4)
    torch.set_rng_state(state)
    assert torch.equal(first.dy, again.dy)
    assert torch.equal(first.dx, again.dx)
    assert torch.equal(first.flip, again.flip)
    assert not torch.equal(first.dy, other.dy)


@pytest.mark.parametrize("channels_last", [False, True])
def test_normalising_is_scale_and_shift_per_channel(channels_last) -> None:
    images = torch.tensor([[[[0, 255]], [[51, 102]]]], dtype=torch.uint8)
    scale, shift = (
        augment.per_channel(torch.tensor(values), channels_last, 2) for values in ([1 / 255, 2 / 255], [0.0, -1.0])
    )
    result = augment.normalise(images, scale, shift)
    assert result.dtype == torch.float32
    assert torch.allclose(result, torch.tensor([[[[0.0, 1.0]], [[-0.6, -0.2]]]]))
    assert result.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def test_an_unknown_augmentation_meets_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"unknown augmentation 'crop-flip'; did you mean 'crop_flip'\?"):
        augment.padding_of("crop-flip")
    with pytest.raises(ValueError, match=r"unknown augmentation"):
        augment.draw(0, 2, "cutout", 8)
    assert [augment.padding_of(name) for name in augment.available()] == [4, 4, 0]


def test_torchvision_crops_and_mirrors_alike(torchvision) -> None:
    images = images_of()
    draws = augment.draw(5, N, "crop_flip", 2 * P)
    index = torch.arange(N)
    ours = cut(images, P, False, index, draws)
    functional = torchvision.transforms.functional
    for i, image in enumerate(images.permute(0, 3, 1, 2)):
        theirs = functional.crop(functional.pad(image, [P]), int(draws.dy[i]), int(draws.dx[i]), H, W)
        assert torch.equal(ours[i], functional.hflip(theirs) if draws.flip[i] else theirs)

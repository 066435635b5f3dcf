import numpy as np
import pytest
import torch

from bench.data import augment

N, A, H, W, P = 7, 3, 5, 6, 2


def images_of(n: int = N, channels: int = A) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(1, 256, (n, H, W, channels), dtype=np.uint8))


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
    view = augment.windows(augment.padded_store(images, P, channels_last), 2 * P, channels_last)
    index = [5, 0, 3, 3, 6]
    batch = augment.crop(view, torch.tensor(index), draws, channels_last)
    batch = augment.mirror(batch, torch.tensor(index), draws)
    assert batch.dtype == torch.uint8
    assert np.array_equal(batch.numpy(), one_by_one(images, index, draws, P))


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_windows_are_a_view_of_the_store(channels_last) -> None:
    store = augment.padded_store(images_of(), P, channels_last)
    view = augment.windows(store, 2 * P, channels_last)
    assert view.data_ptr() == store.data_ptr()
    assert view.shape[:3] == (N, 2 * P + 1, 2 * P + 1)


@pytest.mark.parametrize("channels_last", [False, True])
def test_no_augmentation_is_the_image_itself(channels_last) -> None:
    images = images_of()
    view = augment.windows(augment.padded_store(images, P, channels_last), 2 * P, channels_last)
    index = torch.arange(N)
    draws = augment.draw(3, N, "none", 2 * P)
    batch = augment.mirror(augment.crop(view, index, draws, channels_last), index, draws)
    assert torch.equal(batch, images.permute(0, 3, 1, 2))


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


def test_normalising_is_scale_and_shift_per_channel() -> None:
    images = torch.tensor([[[[0, 255]], [[51, 102]]]], dtype=torch.uint8)
    scale = torch.tensor([1 / 255, 2 / 255])[:, None, None]
    shift = torch.tensor([0.0, -1.0])[:, None, None]
    result = augment.normalise(images, scale, shift)
    assert result.dtype == torch.float32
    assert torch.allclose(result, torch.tensor([[[[0.0, 1.0]], [[-0.6, -0.2]]]]))


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
    view = augment.windows(augment.padded_store(images, P, False), 2 * P, False)
    ours = augment.mirror(augment.crop(view, index, draws, False), index, draws)
    functional = torchvision.transforms.functional
    for i, image in enumerate(images.permute(0, 3, 1, 2)):
        theirs = functional.crop(functional.pad(image, [P]), int(draws.dy[i]), int(draws.dx[i]), H, W)
        assert torch.equal(ours[i], functional.hflip(theirs) if draws.flip[i] else theirs)

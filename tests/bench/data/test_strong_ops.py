"""Every operation at every magnitude against torchvision's functional, image by image."""

import importlib

import numpy as np
import pytest
import torch

from bench.data import image_ops, strong
from bench.data.image_ops import Recolour
from tests.bench.data.torchvision_ops import THEIRS, magnitudes, theirs


def images_of(channels: int, height: int, width: int) -> torch.Tensor:
    """Noise of all levels, a dull gradient, a flat image, and one with a single odd pixel."""
    rng = np.random.default_rng(height)
    images = rng.integers(0, 256, (4, channels, height, width), dtype=np.uint8)
    images[1] = 60 + images[1] // 5 + np.arange(width, dtype=np.uint8)
    images[2] = 77
    images[3] = 200
    images[3, :, 0, 1] = 3
    return torch.from_numpy(images)


def ours(images: torch.Tensor, changes: list[strong.Change]) -> torch.Tensor:
    matrix = image_ops.fixed(np.array([change.matrix for change in changes], dtype=np.float64))
    what = torch.tensor([int(change.recolour) for change in changes])
    amount = torch.tensor([change.amount for change in changes])
    return image_ops.recolour(image_ops.warp(images, matrix), what, amount)


def between_pixels(operation: str, magnitude: float, height: int, width: int) -> np.ndarray:
    """Where a result's pixel lies midway between two of the image, (H, W): the nearest is then a matter of rounding."""
    y, x = np.mgrid[:height, :width] + 0.5
    match operation:
        case "shear_x":
            x = x + magnitude * y
        case "shear_y":
            y = y + magnitude * x
        case "rotate":
            cosine, sine = np.cos(np.radians(magnitude)), np.sin(np.radians(magnitude))
            across, down = x - width / 2, y - height / 2
            x, y = cosine * across - sine * down + width / 2, sine * across + cosine * down + height / 2
    return (abs(x - np.rint(x)) < 1e-4) | (abs(y - np.rint(y)) < 1e-4)


@pytest.fixture
def functional(torchvision):
    return importlib.import_module("torchvision.transforms.v2.functional")


@pytest.mark.parametrize("bins", [10, 31])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 9, 13)], ids=str)
@pytest.mark.parametrize("operation", THEIRS)
def test_an_operation_is_torchvisions_at_every_magnitude(operation, shape, bins, torchvision, functional) -> None:
    images = images_of(*shape)
    _, height, width = shape
    compared = 0
    for bin, magnitude in enumerate(magnitudes(torchvision, operation, bins, height, width)):
        for sign in (1, -1) if operation in strong._SIGNED else (1,):
            change = strong.change(operation, bin, bins, sign, height, width)
            found = ours(images, [change] * len(images))
            expected = torch.stack([theirs(functional, image, operation, sign * magnitude) for image in images])
            assert found.dtype == torch.uint8
            settled = torch.from_numpy(~between_pixels(operation, sign * magnitude, height, width))
            apart = (found.int() - expected.int()).abs() * settled
            assert apart.max() <= (operation in ("brightness", "color", "contrast", "sharpness")), (bin, sign)
            compared += int(settled.sum())
    assert compared > 0.9 * height * width * bins


@pytest.mark.parametrize("name", strong.available())
def test_what_the_policies_move_lies_nowhere_between_two_pixels(name, torchvision) -> None:
    steps = {step for plan in strong.policy(name).plans for step in plan if step.operation in strong._MOVED}
    for step in steps:
        magnitude = magnitudes(torchvision, step.operation, strong.policy(name).bins, 32, 32)[step.bin]
        assert not any(between_pixels(step.operation, sign * magnitude, 32, 32).any() for sign in (1, -1))


def test_a_midway_pixel_is_one_of_its_two_neighbours() -> None:
    image = torch.arange(8, dtype=torch.uint8).view(1, 1, 1, 8)
    half = image_ops.fixed(np.array([[1, 0, 0.5, 0, 1, 0]]))
    assert image_ops.warp(image, half).flatten().tolist() == [1, 2, 3, 4, 5, 6, 7, 0]


def test_a_quarter_turn_goes_against_the_clock(torchvision) -> None:
    image = torch.tensor([[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]], dtype=torch.uint8)
    quarter = image_ops.fixed(np.array([[0.0, 1.0]]))
    assert image_ops.turn(image, quarter).tolist() == [[[[3, 6, 9], [2, 5, 8], [1, 4, 7]]]]
    assert torch.equal(image_ops.turn(image, quarter), torchvision.transforms.functional.rotate(image, 90))


def test_what_comes_from_outside_is_black_on_each_side() -> None:
    image = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8)
    moves = {(1, 0): [[0, 1], [0, 3]], (-1, 0): [[2, 0], [4, 0]], (0, 1): [[0, 0], [1, 2]], (0, -1): [[3, 4], [0, 0]]}
    for (right, down), expected in moves.items():
        matrix = image_ops.fixed(np.array([[1, 0, -right, 0, 1, -down]], dtype=np.float64))
        assert image_ops.warp(image, matrix)[0, 0].tolist() == expected


def test_brightness_contrast_and_colour_by_hand() -> None:
    image = torch.tensor([[[[200, 0]], [[100, 0]], [[0, 0]]]], dtype=torch.uint8)  # an orange and a black pixel
    grey = (2989 * 200 + 5870 * 100) // 10_000  # 118
    by_hand = {
        Recolour.BRIGHTNESS: [[[255, 0]], [[150, 0]], [[0, 0]]],
        Recolour.CONTRAST: [[[255, 0]], [[120, 0]], [[0, 0]]],  # mean grey 59: 1.5 * 200 - 29.5, 1.5 * 100 - 29.5
        Recolour.COLOR: [[[241, 0]], [[91, 0]], [[0, 0]]],  # 1.5 * 200 - 0.5 * 118, 1.5 * 100 - 0.5 * 118
    }
    assert grey == 118
    for what, expected in by_hand.items():
        assert image_ops.recolour(image, torch.tensor([int(what)]), torch.tensor([1.5]))[0].tolist() == expected


def test_colour_is_nothing_to_an_image_without_three_channels() -> None:
    for channels in (1, 2, 4):
        images = torch.randint(0, 256, (2, channels, 5, 5), dtype=torch.uint8, generator=torch.Generator())
        what = torch.full((2,), int(Recolour.COLOR))
        assert torch.equal(image_ops.recolour(images, what, torch.tensor([0.1, 1.9])), images)
        contrasted = image_ops.recolour(images, torch.full((2,), int(Recolour.CONTRAST)), torch.tensor([0.0, 1.0]))
        assert torch.equal(contrasted[1], images[1])
        mean = images[0].double().mean()
        assert (contrasted[0].double() - mean).abs().max() < 1


@pytest.mark.parametrize("side", [1, 2, 5, 6])
def test_a_square_is_cut_out_as_far_as_it_lies_inside(side) -> None:
    height, width = 7, 9
    centres = torch.cartesian_prod(torch.arange(height), torch.arange(width))
    images = torch.full((len(centres), 2, height, width), 9, dtype=torch.uint8)
    found = image_ops.cut_out(images, centres, side)
    for (y, x), image in zip(centres.tolist(), found.numpy(), strict=True):
        expected = np.full((2, height, width), 9, np.uint8)
        top, left = y - side // 2, x - side // 2
        expected[:, max(0, top) : top + side, max(0, left) : left + side] = 0
        assert np.array_equal(image, expected)
    assert int(images.min()) == 9

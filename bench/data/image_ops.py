"""Operations on whole batches of uint8 images, each sample with parameters of its own; nothing waits for the device.

B samples, A channels, H x W pixels. On one image each equals torchvision's functional of that name on uint8 tensors
(nearest pixel, black outside) to within one grey level. Positions and grey values are computed in whole numbers, and a
product and the sum it enters are separate kernels, never one fused step: every device gives the same bits.
"""

from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_BITS = 32  # of a fixed-point number after the point: far finer than any pixel, far from the end of int64


class Recolour(IntEnum):
    """What happens to the colours of a sample, and in brackets what its `amount` means."""

    NOTHING = 0
    BRIGHTNESS = 1  # (factor)
    CONTRAST = 2  # (factor: 0 is the mean grey everywhere)
    COLOR = 3  # (factor: 0 is grey)
    SHARPNESS = 4  # (factor: 0 is smoothed)
    POSTERIZE = 5  # (levels that become one: 2^(8 - bits kept))
    SOLARIZE = 6  # (the lowest level that is inverted; 0 inverts the image)
    AUTOCONTRAST = 7
    EQUALIZE = 8


def fixed(numbers: NDArray[np.float64]) -> Tensor:
    """Return numbers as int64 in fixed point, as `warp` takes them."""
    return torch.from_numpy(np.rint(numbers * 2.0**_BITS).astype(np.int64))


def warp(images: Tensor, matrix: Tensor) -> Tensor:
    """Move the pixels of (B, A, H, W) images by affine maps (B, 6), in fixed point; what comes from outside is black.

    With (a, b, c, d, e, f) the result at (x, y) is the pixel nearest to (ax + by + c, dx + ey + f) of the image; x goes
    right and y down from the image's centre.
    """
    height, width = images.shape[2:]
    # Twice the distance of a pixel from the centre is whole, be the side odd or even.
    x = 2 * torch.arange(width, device=images.device) - (width - 1)
    y = (2 * torch.arange(height, device=images.device) - (height - 1))[:, None]
    a, b, c, d, e, f = matrix[:, :, None, None].unbind(1)  # each (B, 1, 1)
    column = (a * x + (2 * c + (width << _BITS)) + b * y) >> (_BITS + 1)  # (B, H, W)
    row = (d * x + (2 * f + (height << _BITS)) + e * y) >> (_BITS + 1)
    outside = (column < 0) | (column >= width) | (row < 0) | (row >= height)
    place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    place = place.flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, place).view(images.shape).masked_fill(outside[:, None], 0)


def turn(images: Tensor, angle: Tensor) -> Tensor:
    """Turn (B, A, H, W) images counter-clockwise about their centre; `angle` (B, 2) holds cosine and sine, fixed."""
    cosine, sine = angle.unbind(1)
    nothing = torch.zeros_like(cosine)
    return warp(images, torch.stack([cosine, -sine, nothing, sine, cosine, nothing], 1))


def recolour(images: Tensor, what: Tensor, amount: Tensor) -> Tensor:
    """Change the colours of (B, A, H, W) images, each by its own `Recolour` (B,) int64 and amount (B,) float32.

    Images without three channels keep their colour, and contrast takes the mean of their pixels.
    """
    grey = _grey(images)
    grey_mean = grey.sum((1, 2, 3)).float() / grey[0].numel()
    tables = _tables(images, grey_mean, what, amount)
    recoloured = tables.gather(2, images.flatten(2).long()).view(images.shape)
    here = what[:, None, None, None]
    if images.shape[1] == 3:
        coloured = _blend(images, grey, amount[:, None, None, None])
        recoloured = torch.where(here == Recolour.COLOR, coloured, recoloured)
    return torch.where(here == Recolour.SHARPNESS, _sharpened(images, amount), recoloured)


def cut_out(images: Tensor, centre: Tensor, side: int) -> Tensor:
    """Blacken a square in (B, A, H, W) images: `side` pixels about row and column `centre` (B, 2), as far as inside."""
    height, width = images.shape[2:]
    start = (centre - side // 2)[:, :, None]  # (B, 2, 1)
    row = torch.arange(height, device=images.device) - start[:, 0]  # (B, H)
    column = torch.arange(width, device=images.device) - start[:, 1]
    cut = ((row >= 0) & (row < side))[:, :, None] & ((column >= 0) & (column < side))[:, None, :]
    return images.masked_fill(cut[:, None], 0)


def _grey(images: Tensor) -> Tensor:
    """Return brightness by ITU-R 601 as int32 (B, 1, H, W), rounded down; images without three channels as they are."""
    if images.shape[1] != 3:
        return images.int()
    red, green, blue = images.int().unbind(1)
    return torch.div(2989 * red + 5870 * green + 1140 * blue, 10_000, rounding_mode="floor")[:, None]


def _blend(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Return share * one + (1 - share) * other as uint8, cut to 0 .. 255 and rounded down."""
    return (one * share + other * (1 - share)).clamp_(0, 255).byte()


def _sharpened(images: Tensor, factor: Tensor) -> Tensor:
    """Blend the inner pixels with their smoothed neighbourhood: weights 1, the centre 5."""
    pixels = images.float()
    rows = pixels[..., :-2, :] + pixels[..., 1:-1, :] + pixels[..., 2:, :]
    inner = pixels[..., 1:-1, 1:-1]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * inner
    smooth = total.div_(13).round_()  # 13 is odd: no tie, so no device rounds differently
    sharp = images.clone()
    sharp[..., 1:-1, 1:-1] = (inner + (smooth - inner) * (1 - factor)[:, None, None, None]).clamp_(0, 255).byte()
    return sharp


def _tables(images: Tensor, grey_mean: Tensor, what: Tensor, amount: Tensor) -> Tensor:
    """Return what each of the 256 levels becomes, (B, A, 256) uint8, where a level's neighbours don't matter."""
    level = torch.arange(256, device=images.device, dtype=torch.float32)
    here, amount = what[:, None, None], amount[:, None, None]
    table = torch.where(here == Recolour.BRIGHTNESS, (level * amount).clamp_(0, 255), level)
    table = torch.where(here == Recolour.CONTRAST, _blend(level, grey_mean[:, None, None], amount), table)
    table = torch.where(here == Recolour.POSTERIZE, level - level.remainder(amount), table)
    table = torch.where((here == Recolour.SOLARIZE) & (level >= amount), 255 - level, table).byte()
    table = torch.where(here == Recolour.AUTOCONTRAST, _stretched(images, level), table)  # from here on each channel
    return torch.where(here == Recolour.EQUALIZE, _equalized(images), table)


def _stretched(images: Tensor, level: Tensor) -> Tensor:
    """Return tables that take the darkest level of a channel to 0 and its brightest to 255."""
    low, high = (limit.float()[..., None] for limit in images.flatten(2).aminmax(dim=2))
    flat = low == high
    step = ((high - low) * (1 / 255)).masked_fill(flat, 1)
    return ((level - low.masked_fill(flat, 0)) / step).clamp_(0, 255).byte()


def _equalized(images: Tensor) -> Tensor:
    """Return tables after which about equally many pixels of a channel have each level, as Pillow makes them."""
    pixels = images.flatten(2).long()
    count = pixels.new_zeros((*pixels.shape[:2], 256), dtype=torch.int32)
    count.scatter_add_(2, pixels, torch.ones_like(pixels, dtype=torch.int32))  # whole numbers: the order is no matter
    below = count.cumsum(2, dtype=torch.int32) - count  # pixels that are darker than the level
    brightest = pixels.amax(2, keepdim=True)
    step = torch.div(below.gather(2, brightest), 255, rounding_mode="floor")
    level = torch.arange(256, device=images.device)
    spread = torch.div(below + step // 2, step.clamp(min=1), rounding_mode="floor").clamp_(max=255)
    return torch.where(step == 0, level, spread).byte()

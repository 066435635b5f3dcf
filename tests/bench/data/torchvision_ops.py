"""What torchvision makes of one image: its operations by our names, and its tables of magnitudes."""

from types import ModuleType

import numpy as np
import torch

# The name of each operation in torchvision's tables.
THEIRS = {
    "identity": "Identity",
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "translate_x": "TranslateX",
    "translate_y": "TranslateY",
    "rotate": "Rotate",
    "brightness": "Brightness",
    "color": "Color",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "posterize": "Posterize",
    "solarize": "Solarize",
    "autocontrast": "AutoContrast",
    "equalize": "Equalize",
    "invert": "Invert",
}


def theirs(functional: ModuleType, image: torch.Tensor, operation: str, magnitude: float) -> torch.Tensor:
    slope, still = float(np.degrees(np.arctan(magnitude))), {"angle": 0.0, "translate": [0, 0], "scale": 1.0}
    match operation:
        case "identity":
            return image
        case "shear_x":
            return functional.affine(image, **still, shear=[slope, 0.0], center=[0, 0])
        case "shear_y":
            return functional.affine(image, **still, shear=[0.0, slope], center=[0, 0])
        case "translate_x":
            return functional.affine(image, **still | {"translate": [int(magnitude), 0]}, shear=[0.0, 0.0])
        case "translate_y":
            return functional.affine(image, **still | {"translate": [0, int(magnitude)]}, shear=[0.0, 0.0])
        case "rotate":
            return functional.rotate(image, magnitude)
        case "brightness" | "contrast" | "sharpness":
            return getattr(functional, f"adjust_{operation}")(image, 1 + magnitude)
        case "color":
            return functional.adjust_saturation(image, 1 + magnitude)
        case "posterize":
            return functional.posterize(image, int(magnitude))
        case "solarize":
            return functional.solarize(image, magnitude)
    return getattr(functional, operation)(image)


def magnitudes(torchvision: ModuleType, operation: str, bins: int, height: int, width: int) -> list[float]:
    space = torchvision.transforms.AutoAugment()._augmentation_space(bins, (height, width))
    values = space.get(THEIRS[operation], (torch.tensor(0.0), False))[0]
    return [float(value) for value in values] if values.ndim else [0.0] * bins

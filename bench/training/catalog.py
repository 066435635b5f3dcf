"""The networks by name, without importing torch."""

NETWORKS: dict[str, str] = {
    "cnn6": "six convolutions of 64 to 196 and at last 16 channels, no dropout (Co-teaching+, JoCoR); 8 x 8 or more",
    "cnn8": "six convolutions of 64 to 196 channels, hidden layer of 256 (APL, ANL on CIFAR-10); 8 x 8 or more",
    "cnn9": "nine convolutions of 128 to 512 channels, LeakyReLU, dropout (Han et al., 2018); 28 x 28 or more",
    "digits_cnn": "two convolutions of 16 and 32 channels and a hidden layer of 64, for 8 x 8 digits; 2 x 2 or more",
    "lenet_small": "two 5 x 5 convolutions, hidden layers of 120 and 84 (Co-teaching+ on CIFAR-10); 16 x 16 or more",
    "mlp": "one hidden layer of 256 (Co-teaching+, JoCoR on MNIST); any size",
    "preact_narrow": "pre-activation ResNet-32 of 32 to 128 channels (Joint Optimization, GJS); any size",
    "preact_resnet18": "pre-activation ResNet-18 as in DivideMix, ELR+, SOP and PES, 64 to 512 channels; any size",
    "resnet18": "ResNet-18 with the CIFAR stem (3 x 3, stride 1, no pooling), 64 to 512 channels; any size",
    "resnet18_valid": "resnet18 with an unpadded stem, 30 x 30 maps on CIFAR (T-Revision, VolMinNet); 3 x 3 or more",
    "resnet32": "ResNet-32 of 16 to 64 channels with parameter-free shortcuts (type A); any size",
    "resnet32_b": "resnet32 with shortcuts of 1 x 1 convolutions (type B); any size",
    "resnet34": "ResNet-34 with the CIFAR stem, 64 to 512 channels; any size",
    "resnet34_imagenet_stem": "ResNet-34 of torchvision, 7 x 7 stem and pooling, no ImageNet weights; 32 x 32 or more",
    "resnet34_valid": "resnet34 with an unpadded stem, 30 x 30 maps on CIFAR (T-Revision, VolMinNet); 3 x 3 or more",
    "resnet44": "ResNet-44 of 16 to 64 channels with parameter-free shortcuts (type A; ProSelfLC); any size",
    "resnet44_b": "resnet44 with shortcuts of 1 x 1 convolutions (type B); any size",
    "resnet50": "ResNet-50 of torchvision, 7 x 7 stem, no ImageNet weights; for photographs, 32 x 32 or more",
    "resnet50_cifar": "ResNet-50 with the CIFAR stem, bottlenecks of 256 to 2048 channels; any size",
    "resnet50_imagenet": "resnet50 from ImageNet weights (a file of 98 MB to fetch first), new head; 32 x 32 or more",
    "resnet50_valid": "resnet50_cifar with an unpadded stem, 30 x 30 maps on CIFAR (CDR); 3 x 3 or more",
    "shufflenetv2": "ShuffleNet V2 of width 1 with a 3 x 3 stem of stride 1 (ProSelfLC on CIFAR-100); any size",
}

# Millions of parameters, for the 32 x 32 images and 100 classes of CIFAR-100.
PARAMETERS: dict[str, float] = {
    "cnn6": 0.54,
    "cnn8": 1.66,
    "cnn9": 4.45,
    "digits_cnn": 0.54,
    "lenet_small": 0.07,
    "mlp": 0.81,
    "preact_narrow": 1.87,
    "shufflenetv2": 1.36,
    **dict.fromkeys(("resnet32", "resnet32_b"), 0.47),
    **dict.fromkeys(("resnet44", "resnet44_b"), 0.67),
    **dict.fromkeys(("preact_resnet18", "resnet18", "resnet18_valid"), 11.22),
    **dict.fromkeys(("resnet34", "resnet34_imagenet_stem", "resnet34_valid"), 21.34),
    **dict.fromkeys(("resnet50", "resnet50_cifar", "resnet50_imagenet", "resnet50_valid"), 23.71),
}

# Pixels. For photographs the total stride: with less, the last map would be mostly padding.
SMALLEST_SIDE: dict[str, int] = {
    **dict.fromkeys(NETWORKS, 1),
    **dict.fromkeys(("cnn6", "cnn8"), 8),
    "cnn9": 28,
    "digits_cnn": 2,
    "lenet_small": 16,
    **dict.fromkeys(("resnet18_valid", "resnet34_valid", "resnet50_valid"), 3),
    **dict.fromkeys(("resnet34_imagenet_stem", "resnet50", "resnet50_imagenet"), 32),
}


def available() -> tuple[str, ...]:
    """Return the names of the networks, sorted."""
    return tuple(sorted(NETWORKS))

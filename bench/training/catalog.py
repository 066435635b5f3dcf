"""The networks by name, without importing torch."""

NETWORKS: dict[str, str] = {
    "cnn9": "nine convolutions of 128 to 512 channels, LeakyReLU, dropout (Han et al., 2018); 28 x 28 or more",
    "digits_cnn": "two convolutions of 16 and 32 channels and a hidden layer of 64, for 8 x 8 digits; 2 x 2 or more",
    "resnet18": "ResNet-18 with the CIFAR stem (3 x 3, stride 1, no pooling), 64 to 512 channels; any size",
    "resnet32": "ResNet-32 of 16 to 64 channels with parameter-free shortcuts (type A); any size",
    "resnet50": "ResNet-50 of torchvision, 7 x 7 stem, no ImageNet weights; for photographs, 32 x 32 or more",
}

SMALLEST_SIDE: dict[str, int] = {"cnn9": 28, "digits_cnn": 2, "resnet18": 1, "resnet32": 1, "resnet50": 32}  # pixels


def available() -> tuple[str, ...]:
    """Return the names of the networks, sorted."""
    return tuple(sorted(NETWORKS))

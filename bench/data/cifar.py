"""CIFAR-10 and CIFAR-100 from the official Python files, read without running what a pickle asks for.

A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009, www.cs.toronto.edu/~kriz/cifar.html.
"""

import os
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.checksum import Checksum
from bench.data.datasets import Archive, Arrays, DatasetInfo, by_checksums, digest_of_checksums, in_memory
from noise.pickles import unpickle


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a CIFAR set lies under the data folder, and which key of a batch holds its labels."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    label_key: bytes
    class_names: tuple[str, ...]
    meta: str  # the file of class names
    names_key: bytes  # of its list
    checksums: Mapping[str, Checksum]  # of every file, the one of class names included

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


def read(layout: Layout, folder: Path) -> Arrays:
    """Read the set after checking every file; images become (N, 32, 32, 3)."""
    _check_class_names(layout, folder)
    # Hashing and copying let go of the interpreter lock, so threads halve the time on two cores.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        batches = list(pool.map(partial(_read_batch, layout, folder), layout.train + layout.test))
        num_train = len(layout.train)
        train_images = _stacked([rows for rows, _ in batches[:num_train]], pool)
        test_images = _stacked([rows for rows, _ in batches[num_train:]], pool)
    train_labels = np.concatenate([labels for _, labels in batches[:num_train]])
    test_labels = np.concatenate([labels for _, labels in batches[num_train:]])
    return Arrays(train_images, train_labels, test_images, test_labels)


def _check_class_names(layout: Layout, folder: Path) -> None:
    path = folder / layout.meta
    data = path.read_bytes()
    layout.checksums[layout.meta].check(data, path)
    content = unpickle(data)
    names = content.get(layout.names_key) if isinstance(content, dict) else None
    if not isinstance(names, list):
        raise ValueError(f"{path}: no class names under {layout.names_key.decode()!r}")
    if len(names) != layout.num_classes:
        raise ValueError(f"{path}: {layout.num_classes} class names are wanted, got {len(names)}")
    for label, (found, expected) in enumerate(zip(names, layout.class_names, strict=True)):
        if found != expected.encode():
            raise ValueError(f"{path}: class {label} is called {found!r}, expected {expected!r}")


def _read_batch(layout: Layout, folder: Path, file: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    path = folder / file
    data = path.read_bytes()
    layout.checksums[file].check(data, path)
    content = unpickle(data)  # of Python 2: as bytes, 30 MB strings need no decoding and encoding
    if not isinstance(content, dict) or b"data" not in content or layout.label_key not in content:
        raise ValueError(f"{path}: no CIFAR batch with 'data' and {layout.label_key.decode()!r}")
    rows, labels = np.asarray(content[b"data"]), np.asarray(content[layout.label_key])
    if rows.dtype != np.uint8 or rows.shape != (len(labels), 3072) or labels.dtype.kind != "i":
        raise ValueError(f"{path}: {rows.dtype} images {rows.shape} do not fit {labels.dtype} labels {labels.shape}")
    if not 0 <= labels.min() <= labels.max() < layout.num_classes:
        raise ValueError(f"{path}: a label lies outside 0 .. {layout.num_classes - 1}")
    return rows, labels.astype(np.int64)


def _stacked(parts: list[NDArray[np.uint8]], pool: Executor) -> NDArray[np.uint8]:
    """Return (N, 32, 32, 3) images from stored rows of 1,024 red values, then green, then blue."""
    images = np.empty((sum(map(len, parts)), 32, 32, 3), np.uint8)

    def place(part: int) -> None:
        start = sum(map(len, parts[:part]))
        for channel in range(3):
            plane = parts[part][:, 1024 * channel : 1024 * (channel + 1)]
            images[start : start + len(plane), ..., channel] = plane.reshape(-1, 32, 32)

    list(pool.map(place, range(len(parts))))
    return images


FINE_NAMES = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel "
    "can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur "
    "dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion "
    "lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree "
    "pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea "
    "seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank "
    "telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)
COARSE_NAMES = (
    "aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices "
    "household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes "
    "large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees "
    "vehicles_1 vehicles_2"
)

CIFAR10 = Layout(
    train=tuple(f"cifar-10-batches-py/data_batch_{number}" for number in range(1, 6)),
    test=("cifar-10-batches-py/test_batch",),
    label_key=b"labels",
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    meta="cifar-10-batches-py/batches.meta",
    names_key=b"label_names",
    checksums={
        "cifar-10-batches-py/data_batch_1": Checksum(
            "c99cafc152244af753f735de768cd75f",
            "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd",
        ),
        "cifar-10-batches-py/data_batch_2": Checksum(
            "d4bba439e000b95fd0a9bffe97cbabec",
            "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8",
        ),
        "cifar-10-batches-py/data_batch_3": Checksum(
            "54ebc095f3ab1f0389bbae665268c751",
            "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9",
        ),
        "cifar-10-batches-py/data_batch_4": Checksum(
            "634d18415352ddfa80567beed471001a",
            "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b",
        ),
        "cifar-10-batches-py/data_batch_5": Checksum(
            "482c414d41f54cd18b22e5b47cb7c3cb",
            "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154",
        ),
        "cifar-10-batches-py/test_batch": Checksum(
            "40351d587109b95175f43aff81a1287e",
            "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831",
        ),
        "cifar-10-batches-py/batches.meta": Checksum(
            "5ff9c542aee3614f3951f8cda6e48888",
            "f962466ef690d46b226450fb9aadc74ba4bc64a76aa526b5827fe4bc5c7125cb",
        ),
    },
)
CIFAR100 = Layout(
    train=("cifar-100-python/train",),
    test=("cifar-100-python/test",),
    label_key=b"fine_labels",
    class_names=tuple(FINE_NAMES.split()),
    meta="cifar-100-python/meta",
    names_key=b"fine_label_names",
    checksums={
        "cifar-100-python/train": Checksum(
            "16019d7e3df5f24257cddd939b257f8d",
            "735e79b04f092ca3d2e6d07f368c0a7d70d48c48d28865950cc24454cf45129b",
        ),
        "cifar-100-python/test": Checksum(
            "f0ef6b0ae62326f3e7ffdfab6717acfc",
            "4b67687d9933c4db8f0831104447f15b93774f4f464bd0516f0f0f2ac83b7864",
        ),
        "cifar-100-python/meta": Checksum(
            "7973b15100ade9c7d40fb424638fde48",
            "a5d4786345c961390f865e93b434dbd5c6904ce880667e0cb888c97d449f28b9",
        ),
    },
)

CIFAR100_COARSE = replace(
    CIFAR100,
    label_key=b"coarse_labels",
    class_names=tuple(COARSE_NAMES.split()),
    names_key=b"coarse_label_names",
)

CIFAR10_INFO = DatasetInfo(
    name="cifar10",
    num_classes=10,
    train_size=50000,
    test_size=10000,
    shape=(3, 32, 32),
    pixel_max=255,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2023, 0.1994, 0.2010),  # as most published code has it: the mean of per-image deviations
    class_names=CIFAR10.class_names,
    digest="f17077685ed5fbd489776fd3bb8a4c9123fb04c9f77b8e0939c2adc8ca97c9a6",
    augment="crop_flip",
    source="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    files=tuple(CIFAR10.checksums),
    asymmetric="cifar10",
)
_HUNDRED = DatasetInfo(
    name="cifar100",
    num_classes=100,
    train_size=50000,
    test_size=10000,
    shape=(3, 32, 32),
    pixel_max=255,
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    class_names=CIFAR100.class_names,
    digest=digest_of_checksums("cifar100", CIFAR100.checksums),
    augment="crop_flip",
    source="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    files=tuple(CIFAR100.checksums),
    asymmetric="superclass_next",
)
_TWENTY = replace(
    _HUNDRED,
    name="cifar100_coarse",
    num_classes=20,
    class_names=CIFAR100_COARSE.class_names,
    digest=digest_of_checksums("cifar100_coarse", CIFAR100.checksums),
    asymmetric=None,
)
_ARCHIVE100 = Archive("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", "CIFAR100", CIFAR100.checksums)
SOURCES = {
    "cifar100": by_checksums(_HUNDRED, partial(read, CIFAR100), _ARCHIVE100),
    "cifar100_coarse": by_checksums(_TWENTY, partial(read, CIFAR100_COARSE), _ARCHIVE100),
    "cifar10": in_memory(
        CIFAR10_INFO,
        partial(read, CIFAR10),
        Archive("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", "CIFAR10", CIFAR10.checksums),
    ),
}

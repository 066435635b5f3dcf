import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.data import cifar
from bench.data.checksum import Checksum
from noise import maps
from noise.pickles import unpickle

LAYOUTS = {"cifar10": cifar.CIFAR10, "cifar100": cifar.CIFAR100, "cifar100_coarse": cifar.CIFAR100_COARSE}


def test_each_set_reads_its_own_labels_and_classes() -> None:
    keys = {name: (layout.label_key, layout.names_key, layout.num_classes) for name, layout in LAYOUTS.items()}
    assert keys == {
        "cifar10": (b"labels", b"label_names", 10),
        "cifar100": (b"fine_labels", b"fine_label_names", 100),
        "cifar100_coarse": (b"coarse_labels", b"coarse_label_names", 20),
    }
    maps_of = {name: cifar.SOURCES[name].info(Path()).asymmetric for name in LAYOUTS}
    assert maps_of == {"cifar10": "cifar10", "cifar100": "superclass_next", "cifar100_coarse": None}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_rows_of_red_green_and_blue_become_images(tiny_cifar, layout) -> None:
    layout, folder = tiny_cifar(layout)
    arrays = cifar.read(layout, folder)
    rows = np.concatenate([_batch(folder / file)["data"] for file in layout.train])
    labels = [label for file in layout.train for label in _batch(folder / file)[layout.label_key.decode()]]
    assert arrays.train_labels.tolist() == labels
    assert arrays.train_images.shape == (len(rows), 32, 32, 3)
    for n, y, x, channel in [(0, 0, 0, 0), (1, 3, 5, 1), (len(rows) - 1, 31, 30, 2)]:
        assert arrays.train_images[n, y, x, channel] == rows[n, 1024 * channel + 32 * y + x]
    test = _batch(folder / layout.test[0])
    assert arrays.test_labels.tolist() == test[layout.label_key.decode()]
    assert np.array_equal(arrays.test_images.transpose(0, 3, 1, 2).reshape(-1, 3072), test["data"])


def _batch(path: Path) -> dict:
    return pickle.loads(path.read_bytes(), encoding="latin1")


def test_a_changed_or_truncated_file_is_named_with_both_digests(tiny_cifar) -> None:
    layout, folder = tiny_cifar()
    path = folder / layout.train[2]
    path.write_bytes(path.read_bytes()[:-1])
    expected = layout.checksums[layout.train[2]].sha256
    with pytest.raises(ValueError, match=rf"data_batch_3: sha256 is [0-9a-f]{{64}}, expected {expected}"):
        cifar.read(layout, folder)


def test_the_md5_is_checked_as_well(tiny_cifar) -> None:
    layout, folder = tiny_cifar()
    file = layout.test[0]
    wrong = {**layout.checksums, file: Checksum("0" * 32, layout.checksums[file].sha256)}
    with pytest.raises(ValueError, match=r"test_batch: md5 is [0-9a-f]{32}, expected 0{32}"):
        cifar.read(replace(layout, checksums=wrong), folder)


def test_the_file_of_class_names_is_checked_as_well(tiny_cifar) -> None:
    layout, folder = tiny_cifar()
    (folder / "cifar-10-batches-py/batches.meta").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"batches\.meta: sha256"):
        cifar.read(layout, folder)


def test_other_class_names_than_the_known_ones_are_refused(tiny_cifar, write_batch) -> None:
    layout, folder = tiny_cifar(cifar.CIFAR100)
    names = list(cifar.CIFAR100.class_names)
    names[26], names[27] = names[27], names[26]
    layout = write_batch(layout, folder, layout.meta, {"fine_label_names": names})
    with pytest.raises(ValueError, match=r"meta: class 26 is called b'crocodile', expected 'crab'$"):
        cifar.read(layout, folder)
    layout = write_batch(layout, folder, layout.meta, {"fine_label_names": names[:99]})
    with pytest.raises(ValueError, match=r"meta: 100 class names are wanted, got 99$"):
        cifar.read(layout, folder)
    layout = write_batch(layout, folder, layout.meta, {"label_names": names})
    with pytest.raises(ValueError, match=r"meta: no class names under 'fine_label_names'$"):
        cifar.read(layout, folder)


# As the authors' page lists them, www.cs.toronto.edu/~kriz/cifar.html.
SUPERCLASSES = """
aquatic_mammals: beaver dolphin otter seal whale
fish: aquarium_fish flatfish ray shark trout
flowers: orchid poppy rose sunflower tulip
food_containers: bottle bowl can cup plate
fruit_and_vegetables: apple mushroom orange pear sweet_pepper
household_electrical_devices: clock keyboard lamp telephone television
household_furniture: bed chair couch table wardrobe
insects: bee beetle butterfly caterpillar cockroach
large_carnivores: bear leopard lion tiger wolf
large_man-made_outdoor_things: bridge castle house road skyscraper
large_natural_outdoor_scenes: cloud forest mountain plain sea
large_omnivores_and_herbivores: camel cattle chimpanzee elephant kangaroo
medium_mammals: fox porcupine possum raccoon skunk
non-insect_invertebrates: crab lobster snail spider worm
people: baby boy girl man woman
reptiles: crocodile dinosaur lizard snake turtle
small_mammals: hamster mouse rabbit shrew squirrel
trees: maple_tree oak_tree palm_tree pine_tree willow_tree
vehicles_1: bicycle bus motorcycle pickup_truck train
vehicles_2: lawn_mower rocket streetcar tank tractor
"""


def test_names_of_fine_and_coarse_classes_fit_the_superclasses_that_noise_uses() -> None:
    named = dict(line.split(": ") for line in SUPERCLASSES.strip().splitlines())
    assert tuple(named) == cifar.CIFAR100_COARSE.class_names
    fine = cifar.CIFAR100.class_names
    assert list(fine) == sorted(fine)
    assert [[fine[label] for label in members] for members in maps.SUPERCLASSES] == [
        members.split() for members in named.values()
    ]


def test_the_archives_and_batches_are_torchvisions(torchvision) -> None:
    for name, layout in LAYOUTS.items():
        archive = cifar.SOURCES[name].archive
        theirs = getattr(torchvision.datasets, archive.torchvision_class)
        assert (archive.filename, archive.md5) == (theirs.filename, theirs.tgz_md5)
        assert archive.members is layout.checksums
        files = [*theirs.train_list, *theirs.test_list, (theirs.meta["filename"], theirs.meta["md5"])]
        expected = {f"{theirs.base_folder}/{file}": md5 for file, md5 in files}
        assert {file: checksum.md5 for file, checksum in layout.checksums.items()} == expected


def test_torchvision_reads_the_same_hundred_classes(tiny_cifar, torchvision, monkeypatch) -> None:
    layout, folder = tiny_cifar(cifar.CIFAR100)
    theirs = torchvision.datasets.CIFAR100
    monkeypatch.setattr(theirs, "_check_integrity", lambda self: True)
    monkeypatch.setattr(theirs, "meta", {**theirs.meta, "md5": layout.checksums[layout.meta].md5})
    arrays = cifar.read(layout, folder)
    train, test = theirs(folder, train=True), theirs(folder, train=False)
    assert np.array_equal(train.data, arrays.train_images)
    assert np.array_equal(test.data, arrays.test_images)
    assert (train.targets, test.targets) == (arrays.train_labels.tolist(), arrays.test_labels.tolist())
    assert tuple(train.classes) == cifar.CIFAR100.class_names


class _Command:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class _Expression(_Command):
    def __reduce__(self):
        return eval, (f"__import__('os').system({self.command!r})",)


@pytest.mark.parametrize("evil", [_Command, _Expression])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_runs_a_command_is_refused_and_nothing_runs(tmp_path: Path, evil, protocol) -> None:
    canary = tmp_path / "canary"
    data = pickle.dumps({"data": evil(f"touch {canary}")}, protocol=protocol)
    with pytest.raises(ValueError, match=r"pickle asks for \w+\.(system|eval), which no file of arrays needs"):
        unpickle(data)
    assert not canary.exists()
    pickle.loads(data)
    assert canary.exists()  # the input was dangerous indeed


def test_a_neighbour_of_an_allowed_function_is_refused() -> None:
    data = b"cnumpy.core.multiarray\nfromfile\n(S'/etc/passwd'\ntR."
    with pytest.raises(ValueError, match=r"numpy\.core\.multiarray\.fromfile"):
        unpickle(data)


def test_arrays_pickled_by_old_and_new_numpy_are_read() -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    new = pickle.dumps(array, protocol=2)
    old = new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != new
    for data in (old, new):
        assert np.array_equal(unpickle(data), array)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": np.zeros((4, 3071), np.uint8)}, "do not fit"),
        ({"data": np.zeros((4, 3072), np.int16)}, "do not fit"),
        ({"labels": [0, 1, 2]}, "do not fit"),
        ({"labels": [0, 1, 2, 0.5]}, "do not fit"),
        ({"labels": [0, 1, 2, 10]}, r"outside 0 \.\. 9"),
        ({"labels": [0, 1, 2, -1]}, r"outside 0 \.\. 9"),
    ],
)
def test_a_batch_of_another_form_is_refused(tiny_cifar, write_batch, change, message) -> None:
    layout, folder = tiny_cifar()
    batch = {"data": np.zeros((4, 3072), np.uint8), "labels": [0, 1, 2, 3]} | change
    layout = write_batch(layout, folder, layout.train[0], batch)
    with pytest.raises(ValueError, match=rf"data_batch_1: .*{message}"):
        cifar.read(layout, folder)


def test_a_batch_without_labels_is_refused(tiny_cifar, write_batch) -> None:
    layout, folder = tiny_cifar()
    layout = write_batch(layout, folder, layout.train[0], {"data": np.zeros((4, 3072), np.uint8)})
    with pytest.raises(ValueError, match="no CIFAR batch with 'data' and 'labels'"):
        cifar.read(layout, folder)


@pytest.mark.data
@pytest.mark.skipif(not os.environ.get("LNBENCH_DATA"), reason="LNBENCH_DATA is not set")
def test_torchvision_reads_the_same_arrays(torchvision) -> None:
    folder = Path(os.environ["LNBENCH_DATA"])
    if not (folder / cifar.CIFAR10.test[0]).is_file():
        pytest.skip("no CIFAR-10 in LNBENCH_DATA")
    arrays = cifar.read(cifar.CIFAR10, folder)
    theirs = torchvision.datasets.CIFAR10(folder, train=True)
    assert np.array_equal(theirs.data, arrays.train_images)
    assert theirs.targets == arrays.train_labels.tolist()
    assert tuple(theirs.classes) == cifar.CIFAR10_INFO.class_names

"""Labels that must never change: those of published code, and our own."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

import noise
from noise import NoiseSpec, corrupt
from tests.noise.world import TOY100, Way

GOLDEN = json.loads((Path(__file__).parent / "golden_noise.json").read_text())
LABELS = {
    name: entry
    for name, entry in GOLDEN["labels"].items()
    if entry["family"] in noise.available() and entry["dialect"] in noise.describe(entry["family"])["dialects"]
}


def spec_and_seed(entry):
    parameters = dict(entry["parameters"])
    rate, seed = parameters.pop("rate"), parameters.pop("seed")
    return NoiseSpec(entry["family"], rate, entry["dialect"], map=parameters.pop("map", None), options=parameters), seed


def assert_golden(entry, labels, images):
    spec, seed = spec_and_seed(entry)
    made = corrupt(labels, images, entry["num_classes"], spec, seed)
    assert made.given[:20].tolist() == entry["first20"]
    assert made.wrong.sum() == entry["wrong"]
    assert hashlib.sha256(made.given.astype("<i8").tobytes()).hexdigest() == entry["sha256"]


def test_the_toy_data_are_those_of_the_golden_file(toy10, toy10_rows):
    assert hashlib.sha256(toy10.astype("<i8").tobytes()).hexdigest() == GOLDEN["label_sources"]["toy10"]["sha256"]
    rows = hashlib.sha256(toy10_rows.tobytes()).hexdigest()
    assert rows == GOLDEN["image_sources"]["toy10_rows"]["sha256_float32"]


@pytest.mark.parametrize("name", [name for name, entry in LABELS.items() if entry["label_source"] == "toy10"])
def test_a_dialect_repeats_published_code_bit_for_bit(name, toy10, toy10_rows):
    assert_golden(LABELS[name], toy10, toy10_rows)


@pytest.mark.data
@pytest.mark.parametrize("name", [name for name, entry in LABELS.items() if entry["label_source"] == "cifar10_train"])
def test_a_dialect_repeats_published_labels_of_cifar10(name):
    folder = os.environ.get("LNBENCH_DATA")
    if not folder:
        pytest.skip("LNBENCH_DATA names no folder with CIFAR-10")
    if not (Path(folder) / "cifar-10-batches-py").is_dir():
        pytest.skip(f"no cifar-10-batches-py in LNBENCH_DATA={folder}")
    from bench.data import datasets

    assert_golden(LABELS[name], datasets.load("cifar10", Path(folder)).train_labels, None)


# (spec, seed) -> noise_id and first 20 labels on toy10, whatever the machine and the version of numpy.
PINNED = {
    ("symmetric:0.2", 0): ("n522d650e12dd04aa", "30741862993019187293"),
    ("symmetric:0.2", 1): ("n08fc4d339ca3e49f", "30741852563074585296"),
    ("symmetric:0.2", 2): ("n9b81ad89227e9df4", "30541752263070285586"),
    ("symmetric:0.5:flips=iid", 0): ("nc34d88d90b63243f", "26791262293019987293"),
    ("symmetric:0.5:flips=iid", 1): ("n4c0c7020f4418335", "20045165523274585206"),
    ("symmetric:0.5:flips=iid", 2): ("n3272bad78ea56375", "76547772263770285586"),
    ("pairflip:0.45", 0): ("n544461ea2af4e257", "31841953063184195297"),
    ("pairflip:0.45", 1): ("n6a7158cef6df9b11", "41752852074085286306"),
    ("pairflip:0.45", 2): ("n153b2c2cc7a78198", "41751952063185295297"),
    ("pairflip:0.45:flips=iid", 0): ("n0dbae7aed317a98c", "31842953073184195297"),
    ("pairflip:0.45:flips=iid", 1): ("n7ac128199dfb483f", "41752852074085286306"),
    ("pairflip:0.45:flips=iid", 2): ("n82e5f6d060e64b3b", "41752952063185295297"),
    ("instance:0.4", 0): ("n378fa60b29c549cd", "30741825967674182546"),
    ("instance:0.4", 1): ("n6ac7902199aeef62", "40844637954274155067"),
    ("instance:0.4", 2): ("n3e3831e379afa185", "39751952983074185296"),
    ("instance:0.4:flips=iid", 0): ("n62b716647a4ffac1", "30741855967674182546"),
    ("instance:0.4:flips=iid", 1): ("n101456c2907b7734", "30844637954274155067"),
    ("instance:0.4:flips=iid", 2): ("n0b909879a2fccdab", "39751952983075185296"),
    ("symmetric:0.5:dialect=inclusive", 0): ("nd184d6bec1d343d4", "26791262293019987293"),
    ("symmetric:0.5:dialect=inclusive", 1): ("ndc7facb2cdd98b51", "20045165523274585206"),
    ("symmetric:0.5:dialect=inclusive", 2): ("neb20c6aca3958075", "76547772263770285586"),
    ("symmetric:0.5:flips=total", 1): ("n08d640172e1336e4", "20045165523274525206"),
    ("symmetric:0.5:flips=total", 2): ("n40af868f66545433", "76547772263770285586"),
    ("asymmetric:0.4:map=cifar10", 0): ("n55e6017f3bf50188", "30771850963077185096"),
    ("asymmetric:0.4:map=cifar10", 1): ("n2f30afcdb69d0042", "50771830163074183216"),
    ("asymmetric:0.4:map=cifar10", 2): ("nfd399761e77f06b9", "50771830963074185296"),
    ("asymmetric:0.4:map=flip2", 0): ("ne83509511aed2805", "87741052663799179236"),
    ("asymmetric:0.4:map=flip2", 1): ("n0307f6c211b8f9cf", "40746859793044115698"),
    ("asymmetric:0.4:map=flip2", 2): ("n2545b760a62083f5", "30751950926574185326"),
    ("tridiagonal:0.4:flips=iid", 0): ("ncb99ea1051acff21", "20741852054975185396"),
    ("tridiagonal:0.4:flips=iid", 1): ("nf57d19b04d130e7b", "20731952873165185306"),
    ("tridiagonal:0.4:flips=iid", 2): ("n4eedc5002cd4c577", "31751862064065185297"),
}
PINNED_MAPS = {  # of 4,000 labels of 100 classes, rate .4, seed 0
    "superclass_next": "nead766e1c9d9c576",
    "superclass_swap2": "nca42c44bbcb0ca8a",
    "block5_swap2": "nc95695068d96825b",
    "superclass_uniform": "n9e4fc76daee5060d",
}


@pytest.mark.parametrize(("text", "seed"), PINNED)
def test_native_labels_are_pinned(text, seed, toy10, toy10_rows):
    made = corrupt(toy10, toy10_rows, 10, NoiseSpec.parse(text), seed)
    name, first = PINNED[text, seed]
    assert "".join(map(str, made.given[:20])) == first
    assert made.noise_id == name


@pytest.mark.parametrize("name", PINNED_MAPS)
def test_native_labels_of_a_hundred_classes_are_pinned(name):
    made = corrupt(TOY100, None, 100, NoiseSpec("asymmetric", 0.4, map=name), 0)
    assert made.noise_id == PINNED_MAPS[name]


def test_every_golden_entry_is_a_dialect_of_ours():
    assert set(LABELS) == set(GOLDEN["labels"])


@pytest.mark.parametrize(("way", "name"), [("transition", "ncda925d718536f83"), ("pmd", "n67f656a2c87f3d9e")])
def test_native_labels_of_matrices_and_scores_are_pinned(way, name):
    assert Way(way, "native").make(0.0, 0).noise_id == name


def test_native_symmetric_noise_follows_its_definition_step_by_step(toy10):
    digest = hashlib.sha256(toy10.astype("<i8").tobytes()).hexdigest()
    text = '["noise",3,"symmetric",null,{},"' + digest + '"]'
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    rng = np.random.Generator(np.random.PCG64(key))
    u, v = rng.random(2000), rng.random(2000)
    expected = toy10.copy()
    for c in range(10):
        members = sorted((u[i], i) for i in np.flatnonzero(toy10 == c))[: int(0.35 * 200 + 0.5)]
        others = [t for t in range(10) if t != c]
        for _, i in members:
            expected[i] = others[int(v[i] * 9)]
    assert (corrupt(toy10, None, 10, NoiseSpec("symmetric", 0.35), 3).given == expected).all()


def test_the_id_names_labels_and_foreign_images():
    given = np.array([0, 1, 2])
    plain = "n" + hashlib.sha256(given.astype("<i8").tobytes()).hexdigest()[:16]
    assert noise.noise_id(given) == noise.noise_id(given.astype(np.uint8)) == plain
    nobody, third = np.zeros(3, bool), np.array([False, False, True])
    source = np.array([-1, -1, 7])
    assert noise.noise_id(given, nobody, np.full(3, -1)) == plain
    data = given.astype("<i8").tobytes() + bytes([0, 0, 1]) + source.astype("<i8").tobytes()
    assert noise.noise_id(given, third, source) == "n" + hashlib.sha256(data).hexdigest()[:16]
    with pytest.raises(ValueError, match="foreign samples need source_index"):
        noise.noise_id(given, third)

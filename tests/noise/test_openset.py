"""Open-set noise: foreign images and wrong labels are counted apart, and published draws are repeated."""

import itertools
import os
import random
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chisquare

import noise
from noise import NoiseSpec, corrupt

TOY = (np.arange(2000) * 7 + 3) % 10
PAIRS = {9: 1, 2: 0, 3: 5, 5: 3, 4: 7}  # the transition of EvidentialMix and DivideMix; other classes keep theirs


def drawn(text, labels=TOY, num_classes=10, seed=5, size=3000):
    return corrupt(labels, None, num_classes, NoiseSpec.parse(text), seed, attached={"source_size": np.array(size)})


def check_marks(made, size):
    """What must hold of every draw that takes images from a source."""
    source = made.source_index
    assert (source[~made.is_ood] == -1).all()
    assert ((source[made.is_ood] >= 0) & (source[made.is_ood] < size)).all()
    assert np.array_equal(made.given[made.is_ood], made.clean[made.is_ood])  # labels are kept
    assert not (made.wrong & made.is_ood).any()


# --- native ---


@pytest.mark.parametrize("flips", ["exact", "total", "iid"])
@pytest.mark.parametrize(("rate", "share"), [(0.3, 1.0), (0.3, 0.0), (0.4, 0.5), (0.9, 0.75)])
def test_native_shares_are_met_over_all_samples(flips, rate, share):
    made = drawn(f"openset:{rate}:open={share}:flips={flips}")
    check_marks(made, 3000)
    assert made.expected == pytest.approx(rate * (1 - share))
    for found, wanted in ((made.is_ood, rate * share), (made.wrong, rate * (1 - share))):
        if flips == "iid":
            assert abs(found.mean() - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / 2000) + 1e-12
        else:
            assert found.sum() == round(2000 * wanted)
        if flips == "exact":
            assert np.bincount(TOY[found], minlength=10).tolist() == [round(200 * wanted)] * 10


def test_native_counts_are_rounded_per_class():
    labels = np.repeat([0, 1, 2], [10, 33, 7])
    made = drawn("openset:0.5:open=0.3", labels, 4)
    assert np.bincount(labels[made.is_ood], minlength=4).tolist() == [2, 5, 1, 0]  # floor(.15 n + 1/2)
    assert np.bincount(labels[made.wrong], minlength=4).tolist() == [4, 12, 2, 0]  # floor(.35 n + 1/2)


def test_native_targets_are_the_other_classes_all_alike():
    labels = np.arange(20_000) % 10
    made = drawn("openset:0.6:open=0.25", labels)
    moved = (made.given - labels)[made.wrong] % 10
    assert chisquare(np.bincount(moved, minlength=10)[1:]).pvalue > 1e-4
    assert (moved != 0).all()


@pytest.mark.parametrize("flips", ["exact", "total", "iid"])
@pytest.mark.parametrize("closed", ["symmetric", "cifar10"])
def test_native_never_changes_the_label_of_a_foreign_image(flips, closed):
    labels = np.array([3, 3] + [0] * 98)  # of the two cats one is wrong, even where both are foreign
    for seed in range(20):
        made = drawn(f"openset:0.9:open=0.5:closed={closed}:flips={flips}", labels, seed=seed)
        check_marks(made, 3000)
        assert made.wrong.sum() + made.is_ood.sum() <= 100


def test_native_closed_noise_may_follow_the_map_of_cifar10():
    made = drawn("openset:0.4:open=0.5:closed=cifar10")
    assert {(int(y), int(g)) for y, g in zip(TOY[made.wrong], made.given[made.wrong], strict=True)} == set(
        PAIRS.items()
    )
    assert made.wrong.sum() == 5 * 40  # 40 of the 200 in each of five classes
    assert made.expected == pytest.approx(0.1)
    assert made.is_ood.sum() == 400


def test_native_never_uses_an_image_twice_while_there_are_enough():
    made = drawn("openset:0.5", size=1000)
    assert len(np.unique(made.source_index[made.is_ood])) == 1000
    scarce = drawn("openset:0.5", size=300)
    uses = np.bincount(scarce.source_index[scarce.is_ood], minlength=300)
    assert (uses.min(), uses.max()) == (3, 4)  # of 1000 foreign images
    check_marks(scarce, 300)


@pytest.mark.parametrize("flips", ["exact", "total", "iid"])
@pytest.mark.parametrize("rest", ["", ":open=0.4", ":open=0.4:closed=cifar10"])
def test_native_foreign_images_and_wrong_labels_of_a_lower_rate_are_part_of_those_of_a_higher_one(flips, rest):
    rates = (0.1, 0.17, 0.5, 0.93)
    all_made = [drawn(f"openset:{rate}{rest}:flips={flips}", size=400) for rate in rates]
    for low, high in itertools.pairwise(all_made):
        assert (low.is_ood <= high.is_ood).all()
        assert (low.wrong <= high.wrong).all()
        assert (low.given[low.wrong] == high.given[low.wrong]).all()
        assert (low.source_index[low.is_ood] == high.source_index[low.is_ood]).all()
        assert high.is_ood.sum() > low.is_ood.sum()


def test_native_replaces_the_same_images_whatever_the_source():
    one, other = (drawn(f"openset:0.3:source={name}", size=size) for name, size in (("cifar100", 3000), ("svhn", 9000)))
    assert np.array_equal(one.is_ood, other.is_ood)
    assert one.noise_id != other.noise_id


PINNED = [
    ("openset:0.3", 0, "n7ed4ba474776fe15"),
    ("openset:0.3:open=0.5", 1, "n09abf09b63f1e7f6"),
    ("openset:0.3:open=0.5:flips=iid", 2, "n62e1af361651ab3a"),
]


def test_native_labels_are_pinned():
    found = {text: drawn(text, seed=seed).noise_id for text, seed, _ in PINNED}
    assert found == {text: noise_id for text, _, noise_id in PINNED}


# --- EvidentialMix ---


def evidentialmix(labels, rate, share, size, seed, closed, num_classes):
    """Its loop, written anew: shuffle the samples, shuffle the source, then go through the samples in order."""
    state = random.Random(seed)
    samples = list(range(len(labels)))
    state.shuffle(samples)
    total = int(rate * len(labels))
    foreign = int(share * total)
    images = list(range(size))
    state.shuffle(images)
    pairs = dict(zip(samples[:foreign], images[:foreign], strict=True))
    redrawn = set(samples[foreign:total])
    given = []
    for i, label in enumerate(labels):
        if i in redrawn and closed == "symmetric":
            given.append(state.randint(0, num_classes - 1))
        elif i in redrawn:
            given.append(PAIRS.get(int(label), int(label)))
        else:
            given.append(int(label))
    return given, pairs


@pytest.mark.parametrize("closed", ["symmetric", "cifar10"])
@pytest.mark.parametrize(("rate", "share"), [(0.3, 0.0), (0.3, 0.25), (0.6, 0.5), (0.29, 1.0)])
def test_evidentialmix_repeats_its_loop(closed, rate, share):
    made = drawn(f"openset:{rate}:dialect=evidentialmix:open={share}:closed={closed}", seed=123)
    given, pairs = evidentialmix(TOY, rate, share, 3000, 123, closed, 10)
    assert made.given.tolist() == given
    assert {int(i): int(made.source_index[i]) for i in np.flatnonzero(made.is_ood)} == pairs
    check_marks(made, 3000)
    total = int(rate * 2000)
    mistaken = 0.9 if closed == "symmetric" else 0.5
    assert made.expected == pytest.approx((total - int(share * total)) / 2000 * mistaken)


# Of the authors' file noise/0.30_0.50_cifar100.json: pairs of open_noise, and what closed noise made of the first 120
# and the last 50 samples of CIFAR-10.
PUBLISHED_PAIRS = {38712: 10247, 34233: 12324, 25555: 9742, 46929: 39382, 30485: 41852, 36771: 19468, 7845: 33927}
PUBLISHED_LABELS = {5: 9, 51: 3, 56: 1, 62: 3, 83: 3, 88: 8, 96: 3, 98: 2, 102: 2, 106: 6, 111: 0, 114: 0, 49963: 3}


def test_evidentialmix_repeats_the_published_file_whatever_the_true_labels():
    labels = np.full(50_000, 7)
    made = drawn("openset:0.3:dialect=evidentialmix:open=0.5", labels, seed=123, size=50_000)
    assert made.is_ood.sum() == 7500
    for sample, image in PUBLISHED_PAIRS.items():
        assert made.source_index[sample] == image
    for sample, label in PUBLISHED_LABELS.items():
        assert made.given[sample] == label


@pytest.mark.data
def test_evidentialmix_repeats_the_published_labels_of_cifar10():
    folder = os.environ.get("LNBENCH_DATA")
    if not folder:
        pytest.skip("LNBENCH_DATA names no folder with CIFAR-10")
    if not (Path(folder) / "cifar-10-batches-py").is_dir():
        pytest.skip(f"no cifar-10-batches-py in LNBENCH_DATA={folder}")
    from bench.data import datasets

    labels = datasets.load("cifar10", Path(folder)).train_labels
    made = drawn("openset:0.3:dialect=evidentialmix:open=0.5", labels, seed=123, size=50_000)
    text = "6994192783477299932643662635400913403733522711122093792212431132114978596731903135437747842380163121"
    assert "".join(map(str, made.given[:100])) == text
    assert "".join(map(str, made.given[-39:])) == "763576882392143817354334872514206026911"


# --- Jo-SRC ---


def jo_src(labels, rate, unknown, num_classes, seed, closed):
    """Its matrix entry by entry, and one multinomial draw per sample."""
    known = int(num_classes * (1 - unknown))
    matrix = np.zeros((num_classes, num_classes))
    for i in range(num_classes):
        for j in range(known):
            if i >= known:
                matrix[i, j] = 1.0 / known
            elif i == j:
                matrix[i, j] = 1.0 - rate
            elif closed == "symmetric":
                matrix[i, j] = rate / (known - 1)
            elif j == (i + 1) % known:
                matrix[i, j] = rate
    state = np.random.RandomState(seed)
    return [int(np.where(state.multinomial(1, matrix[label], 1)[0] == 1)[0][0]) for label in labels], known


@pytest.mark.parametrize("closed", ["symmetric", "pairflip"])
@pytest.mark.parametrize(("unknown", "known"), [(0.2, 8), (0.5, 5), (0.75, 2)])
def test_jo_src_repeats_its_loop(closed, unknown, known):
    made = drawn(f"openset:0.4:dialect=jo_src:unknown={unknown}:closed={closed}", seed=0)
    given, number = jo_src(TOY, 0.4, unknown, 10, 0, closed)
    assert number == known
    assert made.given.tolist() == given
    assert made.given.max() == known - 1
    assert made.known_classes == known
    assert np.array_equal(made.is_ood, known <= TOY)
    assert (made.source_index == -1).all()
    assert made.expected == pytest.approx(0.4 * known / 10)
    assert noise.card(made)["known_classes"] == known
    assert noise.card(made)["foreign"] == 200 * (10 - known)


def test_jo_src_leaves_80_classes_of_cifar100():
    made = drawn("openset:0.5:dialect=jo_src", np.arange(1000) % 100, 100)
    assert (made.known_classes, made.is_ood.sum()) == (80, 200)


# --- DSOS ---


def dsos(labels, outside, inside, size, seed, num_classes):
    """Its loop, one number at a time."""
    state = np.random.RandomState(seed)
    foreign = [i for i in range(len(labels)) if state.random_sample() < outside]
    images = state.permutation(np.arange(size))[: len(foreign)]
    others = [i for i in range(len(labels)) if i not in set(foreign)]
    redrawn = {i for i in others if state.random_sample() < inside / (1 - outside)}
    given = [int(state.random_sample() * num_classes) if i in redrawn else int(y) for i, y in enumerate(labels)]
    return given, dict(zip(foreign, images.tolist(), strict=True))


@pytest.mark.parametrize(("outside", "inside"), [(0.2, 0.2), (0.4, 0.2), (0.3, 0.0)])
def test_dsos_repeats_its_loop(outside, inside):
    total = outside + inside
    made = drawn(f"openset:{total!r}:dialect=dsos:open={outside / total!r}", seed=2718)
    given, pairs = dsos(TOY, outside, inside, 3000, 2718, 10)
    assert made.given.tolist() == given
    assert {int(i): int(made.source_index[i]) for i in np.flatnonzero(made.is_ood)} == pairs
    check_marks(made, 3000)
    assert made.expected == pytest.approx(inside * 0.9)
    card = noise.card(made)
    assert (card["z"] is None) == (inside < 1e-9)
    assert card["z"] is None or abs(card["z"]) < 4


# --- all of them ---

DIALECTS = ["native", "evidentialmix", "jo_src", "dsos"]


@pytest.mark.parametrize(("dialect", "seed"), [("evidentialmix", 123), ("jo_src", 0), ("dsos", 2718)])
def test_the_card_names_the_seed_of_the_published_labels(dialect, seed):
    assert noise.card(drawn(f"openset:0.3:dialect={dialect}"))["notes"] == [
        f"the released labels are drawn from seed {seed}"
    ]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_two_seeds_make_two_label_sets_and_no_global_generator_is_touched(dialect):
    python, legacy = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    ids = {drawn(f"openset:0.3:dialect={dialect}", seed=seed).noise_id for seed in range(3)}
    again = {drawn(f"openset:0.3:dialect={dialect}", seed=seed).noise_id for seed in range(3)}
    assert len(ids) == 3
    assert ids == again
    assert random.getstate() == python
    assert np.array_equal(np.random.get_state()[1], legacy)  # noqa: NPY002


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rate_zero_changes_nothing(dialect):
    made = drawn(f"openset:0:dialect={dialect}")
    assert np.array_equal(made.given, TOY)
    assert (made.is_ood, made.known_classes, made.expected) == (None, None, 0)


@pytest.mark.parametrize("dialect", ["native", "evidentialmix", "dsos"])
def test_the_smallest_cases_stay_in_range(dialect):
    for labels in ([0], [1], [0, 1], [1] * 7):
        made = drawn(f"openset:0.99:dialect={dialect}:open=0.5", np.array(labels), 3, seed=1, size=9)
        check_marks(made, 9)
        assert set(made.given) <= {0, 1, 2}


@pytest.mark.parametrize("dialect", ["evidentialmix", "dsos"])
def test_a_source_with_too_few_images_is_refused(dialect):
    with pytest.raises(ValueError, match=r"\d+ foreign images are asked for, the source has 10$"):
        drawn(f"openset:0.5:dialect={dialect}", size=10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("openset:0.2:open=1.5", "noise option 'open' must be in [0, 1], got 1.5"),
        ("openset:0.2:open=-0.1", "noise option 'open' must be in [0, 1], got -0.1"),
        ("openset:0.2:dialect=jo_src:unknown=1", "noise option 'unknown' must be in (0, 1), got 1"),
        ("openset:0.2:unknown=0.5", "noise option 'unknown' is for dialect 'jo_src' only, got dialect 'native'"),
        ("openset:0.2:dialect=jo_src:open=0.5", "dialect 'jo_src' has no options 'open' and 'source'"),
        ("openset:0.2:dialect=jo_src:source=svhn", "dialect 'jo_src' has no options 'open' and 'source'"),
        ("openset:0.2:closed=symetric", "dialect 'native' has no closed=symetric; did you mean 'symmetric'?"),
        ("openset:0.2:dialect=dsos:closed=cifar10", "dialect 'dsos' has no closed=cifar10; available: symmetric"),
        ("openset:0.2:dialect=dsos:flips=iid", "flips='iid' is for our own dialects only"),
        ("openset:0.2:dialect=odnl", "noise family 'openset' has no dialect 'odnl'"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        NoiseSpec.parse(text)


@pytest.mark.parametrize(
    ("text", "num_classes", "message"),
    [
        ("openset:0.2:open=0.5:closed=cifar10", 11, "map 'cifar10' is for 10 classes, got 11"),
        ("openset:0.2:dialect=evidentialmix:open=0.5:closed=cifar10", 11, "map 'cifar10' is for 10 classes, got 11"),
        ("openset:0.2:dialect=jo_src:unknown=0.85", 10, "option unknown=0.85 leaves 1 of 10 classes; 2 to 9 can stay"),
        ("openset:0.2:dialect=jo_src:unknown=1e-17", 10, "option unknown=1e-17 leaves 10 of 10 classes; 2 to 9 can"),
    ],
)
def test_noise_that_does_not_fit_the_classes_is_refused(text, num_classes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        drawn(text, num_classes=num_classes)


def test_the_size_of_the_source_must_be_known_and_positive():
    with pytest.raises(ValueError, match="noise family 'openset' needs source_size, got none"):
        corrupt(TOY, None, 10, NoiseSpec("openset", 0.2), 0)
    with pytest.raises(ValueError, match="source_size must be at least 1, got 0"):
        drawn("openset:0.2", size=0)

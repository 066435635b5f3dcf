"""The contract of every registered family and dialect."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

import noise
from noise import NoiseSpec, corrupt

ROOT = Path(__file__).parents[2]
DIALECTS = [(family, dialect) for family in noise.available() for dialect in noise.describe(family)["dialects"]]
WAYS = [(family, dialect, "exact") for family, dialect in DIALECTS]
WAYS += [(family, "native", "iid") for family in noise.available()]
IID = [way for way in WAYS if way[2] == "iid" or noise.describe(way[0])["dialects"][way[1]]["flips"] == "iid"]
every_way = pytest.mark.parametrize(("family", "dialect", "flips"), WAYS)
every_family = pytest.mark.parametrize("family", noise.available())


def pixels(count, width=12, seed=3):
    return np.random.RandomState(seed).randint(0, 256, (count, width)).astype(np.uint8)


@every_way
@pytest.mark.parametrize("rate", [0.1, 0.45, 0.8])
def test_expected_share_of_wrong_labels_is_met(family, dialect, flips, rate, toy10, toy10_rows):
    made = corrupt(toy10, toy10_rows, 10, NoiseSpec(family, rate, dialect, flips), 11)
    sd = np.sqrt(made.expected * (1 - made.expected) / 2000)
    assert abs(made.wrong.mean() - made.expected) < 4 * sd


@pytest.mark.parametrize(("family", "dialect", "flips"), IID)
def test_wrong_labels_drawn_one_by_one_pass_a_binomial_test(family, dialect, flips, toy10, toy10_rows):
    made = corrupt(toy10, toy10_rows, 10, NoiseSpec(family, 0.3, dialect, flips), 5)
    assert binomtest(int(made.wrong.sum()), 2000, made.expected).pvalue > 1e-4


@every_way
def test_the_transition_matrix_belongs_to_the_expected_share(family, dialect, flips, toy10, toy10_rows):
    made = corrupt(toy10, toy10_rows, 10, NoiseSpec(family, 0.3, dialect, flips), 5)
    if made.transition is None:
        assert made.flip_rate.shape == (2000,)
        assert ((made.flip_rate >= 0) & (made.flip_rate <= 1)).all()
    else:
        assert np.allclose(made.transition.sum(axis=1), 1, rtol=0, atol=1e-12)
        assert (made.transition >= 0).all()
        assert np.isclose(1 - np.diag(made.transition).mean(), made.expected, rtol=0, atol=1e-12)


@every_way
def test_noise_is_a_pure_function(family, dialect, flips, toy10, toy10_rows):
    labels, images = toy10.copy(), toy10_rows.copy()
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    spec = NoiseSpec(family, 0.3, dialect, flips)
    first, again = corrupt(labels, images, 10, spec, 5), corrupt(labels, images, 10, spec, 5)
    assert (labels == toy10).all()
    assert (images == toy10_rows).all()
    assert random.getstate() == python
    after = np.random.get_state()  # noqa: NPY002
    assert (after[1] == legacy[1]).all()
    assert after[2:] == legacy[2:]
    assert (first.given == again.given).all()
    assert not np.shares_memory(first.clean, labels)
    for array in (first.given, first.clean):
        assert array.dtype == np.int64
        assert not array.flags.writeable


@every_way
def test_two_seeds_make_two_label_sets(family, dialect, flips, toy10, toy10_rows):
    spec = NoiseSpec(family, 0.3, dialect, flips)
    ids = {corrupt(toy10, toy10_rows, 10, spec, seed).noise_id for seed in range(4)}
    assert len(ids) == 4


@every_way
def test_rate_zero_changes_nothing(family, dialect, flips, toy10, toy10_rows):
    made = corrupt(toy10, toy10_rows, 10, NoiseSpec(family, 0, dialect, flips), 5)
    assert (made.given == toy10).all()
    assert made.expected == 0
    assert (made.transition == np.eye(10)).all()


@every_way
def test_close_rates_never_share_labels(family, dialect, flips, toy10, toy10_rows):
    rates = (0.28, 0.29, 0.57, 0.575, 0.58)
    made = [corrupt(toy10, toy10_rows, 10, NoiseSpec(family, rate, dialect, flips), 2).noise_id for rate in rates]
    assert len(set(made)) == 5


@every_way
def test_smallest_cases_stay_in_range(family, dialect, flips):
    spec = NoiseSpec(family, 0.4, dialect, flips)
    two = corrupt([0, 1] * 100, pixels(200), 2, spec, 1)
    assert (two.given[two.wrong] == 1 - two.clean[two.wrong]).all()
    assert 0 < two.wrong.sum() < 200
    for label in (0, 2):
        one = corrupt([label], pixels(1), 3, spec, 1)
        assert 0 <= one.given[0] < 3
    gap = corrupt([0, 0, 3, 3] * 25, pixels(100), 4, spec, 1)  # no sample of class 1 or 2
    assert set(gap.given) <= {0, 1, 2, 3}
    assert gap.wrong.any()


@every_way
def test_a_high_rate_leaves_no_label_out_of_range(family, dialect, flips, toy10, toy10_rows):
    made = corrupt(toy10, toy10_rows, 10, NoiseSpec(family, 0.999, dialect, flips), 1)
    assert made.given.min() >= 0
    assert made.given.max() < 10


@every_family
@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    rates=st.tuples(st.floats(0, 0.98), st.floats(0, 0.98)),
    flips=st.sampled_from(["exact", "iid"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_native_noise_of_a_lower_rate_is_part_of_that_of_a_higher_one(family, labels, rates, flips, seed):
    images = pixels(len(labels))
    low, high = (corrupt(labels, images, 5, NoiseSpec(family, rate, flips=flips), seed) for rate in sorted(rates))
    assert (low.wrong <= high.wrong).all()
    assert (low.given[low.wrong] == high.given[low.wrong]).all()


@every_family
def test_native_exact_flips_the_same_rounded_number_in_every_class(family):
    labels = np.repeat([0, 1, 2, 3], [10, 33, 50, 7])
    made = corrupt(labels, pixels(100), 5, NoiseSpec(family, 0.3), 4)
    share = made.expected  # floor(share * size + 1/2): for .3 that is 3, 10, 15, 2
    assert np.bincount(labels, made.wrong, minlength=5).tolist() == [
        np.floor(share * size + 0.5) for size in (10, 33, 50, 7, 0)
    ]


@every_family
def test_native_exact_and_iid_agree_on_who_comes_first(family, toy10, toy10_rows):
    exact, iid = (corrupt(toy10, toy10_rows, 10, NoiseSpec(family, 0.5, flips=f), 6) for f in ("exact", "iid"))
    both = exact.wrong & iid.wrong
    assert (exact.given[both] == iid.given[both]).all()
    for c in range(10):  # the smaller of the two sets lies in the larger one: one order, cut at two places
        a, b = exact.wrong[toy10 == c], iid.wrong[toy10 == c]
        assert (a & b).sum() == min(a.sum(), b.sum())


def test_native_noise_depends_on_the_data_through_their_labels(toy10):
    spec = NoiseSpec("symmetric", 0.5)
    other = toy10.copy()
    other[-1] = (other[-1] + 1) % 10
    assert (corrupt(toy10, None, 10, spec, 0).given[:50] != corrupt(other, None, 10, spec, 0).given[:50]).any()
    assert (corrupt(toy10.astype(np.uint8), None, 10, spec, 0).given == corrupt(toy10, None, 10, spec, 0).given).all()


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", ">i8", "uint64"])
def test_the_type_of_the_labels_does_not_matter(kind, toy10):
    made = corrupt(toy10.astype(kind), None, 10, NoiseSpec("pairflip", 0.3), 0)
    assert made.noise_id == corrupt(toy10.tolist(), None, 10, NoiseSpec("pairflip", 0.3), 0).noise_id


@pytest.mark.parametrize(("dialect", "flips"), [("native", "exact"), ("native", "iid"), ("co_teaching", "exact")])
def test_pairflip_only_moves_to_the_next_class(dialect, flips, toy10):
    made = corrupt(toy10, None, 10, NoiseSpec("pairflip", 0.45, dialect, flips), 3)
    assert (made.given[made.wrong] == (made.clean[made.wrong] + 1) % 10).all()
    assert made.transition[9, 0] == 0.45


@pytest.mark.parametrize(
    ("dialect", "flips"),
    [("native", "exact"), ("native", "iid"), *((d, "exact") for d in ("co_teaching", "dividemix", "badlabels", "elr"))],
)
def test_symmetric_spreads_its_flips_evenly_over_the_other_classes(dialect, flips):
    labels = np.arange(12000) % 6
    made = corrupt(labels, None, 6, NoiseSpec("symmetric", 0.6, dialect, flips), 9)
    counts = np.bincount(made.clean * 6 + made.given, minlength=36).reshape(6, 6)
    for c in range(6):
        assert chisquare(np.delete(counts[c], c)).pvalue > 1e-4


@pytest.mark.parametrize(("rate", "count"), [(0.29, 28), (0.5, 50), (0.555, 55)])
def test_badlabels_truncates_its_count(rate, count):
    labels = np.arange(100) % 10  # .29 * 100 is 28.999999999999996
    made = corrupt(labels, None, 10, NoiseSpec("symmetric", rate, "badlabels"), 1)
    assert made.wrong.sum() == count
    assert made.expected == count / 100


@pytest.mark.parametrize(("rate", "total"), [(0.55, 50000), (0.2, 1001), (0.5, 7)])
def test_elr_draws_what_the_loop_of_its_authors_draws(rate, total):
    labels = np.arange(total) % 7
    state, expected = np.random.RandomState(4), labels.copy()
    for k, i in enumerate(state.permutation(total)):
        if k < rate * total:  # .55 * 50000 is 27500.000000000004: one more than 27500
            expected[i] = state.randint(7)
    assert (corrupt(labels, None, 7, NoiseSpec("symmetric", rate, "elr"), 4).given == expected).all()


def test_inclusive_dialects_expect_fewer_wrong_labels_than_asked(toy10):
    for dialect in ("dividemix", "elr"):
        assert corrupt(toy10, None, 10, NoiseSpec("symmetric", 0.5, dialect), 1).expected == 0.45


@pytest.mark.parametrize(
    ("labels", "images", "num_classes", "seed", "message"),
    [
        ([0, 1, 10], None, 10, 0, "labels must lie in 0..9, got 10 at index 2"),
        ([0, -1], None, 10, 0, "labels must lie in 0..9, got -1 at index 1"),
        ([0.0, 1.0], None, 10, 0, "labels must be integers, got dtype float64"),
        ([True, False], None, 10, 0, "labels must be integers, got dtype bool"),
        ([[0], [1]], None, 10, 0, "labels must be one label per sample, shape (N,), got shape (2, 1)"),
        ([], None, 10, 0, "labels must be one label per sample, shape (N,), got shape (0,)"),
        ([0, 1], np.zeros((3, 4)), 10, 0, "images must be one row per label, shape (2, ...), got shape (3, 4)"),
        ([0, 1], np.zeros((2, 4), bool), 10, 0, "images must be integers or floats, got dtype bool"),
        ([0, 0], None, 1, 0, "noise needs at least 2 classes, got 1"),
        ([0, 1], None, 2, -1, "noise seed must be an integer in [0, 2**32), got -1"),
        ([0, 1], None, 2, 2**32, "noise seed must be an integer in [0, 2**32), got 4294967296"),
        ([0, 1], None, 2, 0.5, "noise seed must be an integer in [0, 2**32), got 0.5"),
    ],
)
def test_wrong_input_is_refused_in_one_line(labels, images, num_classes, seed, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        corrupt(labels, images, num_classes, NoiseSpec("symmetric", 0.2), seed)
    assert str(error.value) == message


def test_importing_noise_leaves_heavy_packages_out():
    code = "import noise, sys; print([m for m in ('scipy', 'torch', 'bench', 'methods') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_everything_named_for_use_is_there():
    assert sorted(noise.__all__) == noise.__all__
    assert all(hasattr(noise, name) for name in noise.__all__)

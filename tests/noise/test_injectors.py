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
from tests.noise.world import DRAWN, FIXED, RATED, ROWS, TOY10, WAYS, ids

ROOT = Path(__file__).parents[2]
OURS = [way for way in RATED if way.about["generator"] == "PCG64"]
every_way = pytest.mark.parametrize("way", WAYS, ids=ids)
every_rated = pytest.mark.parametrize("way", RATED, ids=ids)


def pixels(count, width=12, seed=3):
    return np.random.RandomState(seed).randint(0, 256, (count, width)).astype(np.uint8)


@every_rated
@pytest.mark.parametrize("rate", [0.1, 0.45, 0.8])
def test_expected_share_of_wrong_labels_is_met(way, rate):
    made = way.make(rate, 11)
    sd = np.sqrt(made.expected * (1 - made.expected) / len(made.given))
    assert abs(made.wrong.mean() - made.expected) <= 4 * sd


@pytest.mark.parametrize("way", [way for way in WAYS if way.iid], ids=ids)
def test_wrong_labels_drawn_one_by_one_pass_a_binomial_test(way):
    made = way.make(0.3, 5)
    if made.transition is None or made.is_ood is not None:
        assert binomtest(int(made.wrong.sum()), len(made.given), made.expected).pvalue > 1e-4
        return
    for label in range(way.classes):  # each class by its own share, all classes at once
        share, members = 1 - made.transition[label, label], made.clean == label
        if 0 < share < 1:
            assert binomtest(int(made.wrong[members].sum()), int(members.sum()), share).pvalue > 1e-6
        else:
            assert made.wrong[members].all() == bool(round(share))


@every_way
def test_the_transition_matrix_belongs_to_the_expected_share(way):
    made = way.make(0.3, 5)
    if made.flip_rate is not None:
        assert made.flip_rate.shape == made.given.shape
        assert ((made.flip_rate >= 0) & (made.flip_rate <= 1)).all()
    if made.transition is not None:
        assert np.allclose(made.transition.sum(axis=1), 1, rtol=0, atol=1e-12)
        assert (made.transition >= 0).all()
        share = (1 - np.diag(made.transition))[made.clean].mean()
        truncated = "exact per cell" in way.about["flips"] or "int(" in way.about["effective"]
        assert np.isclose(share, made.expected, rtol=0, atol=0.05 if truncated else 1e-12)


@pytest.mark.parametrize("way", [way for way in DRAWN if way.family != "openset"], ids=ids)
def test_flips_land_where_the_transition_matrix_allows(way):
    made = way.make(0.6, 3)
    if made.transition is None:
        pytest.skip("the noise does not depend on the class alone")
    counts = np.bincount(made.clean * way.classes + made.given, minlength=way.classes**2).reshape(way.classes, -1)
    assert not counts[made.transition == 0].any()
    if way.classes == 10 and way.about["convention"] != "inclusive":
        for label, row in enumerate(made.transition):
            off = [c for c in range(10) if c != label and row[c] > 0]
            if len(off) > 1 and counts[label, off].sum():
                shares = row[off] / row[off].sum()
                assert chisquare(counts[label, off], counts[label, off].sum() * shares).pvalue > 1e-4


@every_way
def test_noise_is_a_pure_function(way):
    labels, images = way.labels.copy(), ROWS.copy()
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    first, again = way.make(labels=labels), way.make(labels=labels)
    assert (labels == way.labels).all()
    assert (images == ROWS).all()
    assert random.getstate() == python
    after = np.random.get_state()  # noqa: NPY002
    assert (after[1] == legacy[1]).all()
    assert after[2:] == legacy[2:]
    assert first.noise_id == again.noise_id
    assert not np.shares_memory(first.clean, labels)
    for array in (first.given, first.clean):
        assert array.dtype == np.int64
        assert not array.flags.writeable


@pytest.mark.parametrize("way", DRAWN, ids=ids)
def test_two_seeds_make_two_label_sets_unless_released_code_knows_one(way):
    made = {way.make(0.3, seed).noise_id for seed in range(4)}
    fixed = (way.family, way.dialect, way.map) in FIXED
    assert len(made) == (1 if fixed else 4)
    assert fixed == any("whatever seed is asked for" in note and "clean" not in note for note in way.make().notes) or (
        way.dialect == "mwnet"
    )


@every_rated
def test_rate_zero_changes_nothing(way):
    made = way.make(0.0)
    assert (made.given == way.labels).all()
    assert made.expected == 0
    assert (made.transition == np.eye(way.classes)).all()


SAME = ("symmetric-inclusive-exact",)  # .575 and .58 flip 103.5 and 104.4 of 200: as many


@pytest.mark.parametrize(
    "way", [way for way in RATED if str(way) not in SAME and way.dialect != "anl" and way.classes == 10], ids=ids
)
def test_close_rates_never_share_labels(way):
    rates = (0.28, 0.29, 0.57, 0.575, 0.58)  # anl truncates in cells of twelve, where close rates are the same labels
    made = [way.make(rate, 2).noise_id for rate in rates]
    assert len(set(made)) == 5


SMALL = [way for way in WAYS if not way.map and way.dialect not in ("mwnet", "cores", "jo_src")]


@pytest.mark.parametrize("way", SMALL, ids=ids)
def test_smallest_cases_stay_in_range(way):
    two = way.make(0.4, 1, [0, 1] * 100, 2)
    assert (two.given[two.wrong] == 1 - two.clean[two.wrong]).all()
    assert two.wrong.sum() < 200
    for label in (0, 2):
        one = way.make(0.4, 1, [label], 3)
        assert 0 <= one.given[0] < 3
    sizes = [0, 0, 3, 3] * 25  # no sample of class 1 or 2
    if way.dialect in ("sce", "apl"):
        with pytest.raises(ValueError, match="flips 10 of each class; class 1 has 0"):
            way.make(0.4, 1, sizes, 4)
        return
    gap = way.make(0.4, 1, sizes, 4)
    assert set(gap.given) <= {0, 1, 2, 3}


@every_rated
def test_a_high_rate_leaves_no_label_out_of_range(way):
    made = way.make(0.999, 1)
    assert made.given.min() >= 0
    assert made.given.max() < way.classes


@pytest.mark.parametrize("way", [way for way in OURS if not way.map and way.family != "openset"], ids=ids)
@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    rates=st.tuples(st.floats(0, 0.98), st.floats(0, 0.98)),
    seed=st.integers(0, 2**32 - 1),
)
def test_native_noise_of_a_lower_rate_is_part_of_that_of_a_higher_one(way, labels, rates, seed):
    low, high = (way.make(rate, seed, labels, 5) for rate in sorted(rates))
    assert (low.wrong <= high.wrong).all()
    assert (low.given[low.wrong] == high.given[low.wrong]).all()


@pytest.mark.parametrize("way", [way for way in OURS if way.map], ids=ids)
def test_native_noise_of_maps_is_nested_too(way):
    low, high = way.make(0.2, 4), way.make(0.45, 4)
    assert (low.wrong <= high.wrong).all()
    assert (low.given[low.wrong] == high.given[low.wrong]).all()


@pytest.mark.parametrize("way", [way for way in OURS if way.flips == "exact" and not way.map], ids=ids)
def test_native_exact_flips_the_same_rounded_number_in_every_class(way):
    labels = np.repeat([0, 1, 2, 3], [10, 33, 50, 7])
    made = way.make(0.3, 4, labels, 5)
    wrong, share = made.wrong, made.expected  # floor(share * size + 1/2): for .3 that is 3, 10, 15, 2
    if way.family == "openset":
        wrong, share = made.is_ood, 0.3
    assert np.bincount(labels, wrong, minlength=5).tolist() == [
        np.floor(share * size + 0.5) for size in (10, 33, 50, 7, 0)
    ]


@pytest.mark.parametrize("way", [way for way in OURS if way.flips == "total"], ids=ids)
def test_native_total_flips_the_rounded_sum_of_all_shares(way):
    made = way.make(0.37, 4)
    assert int(made.wrong.sum()) + int(0 if made.is_ood is None else made.is_ood.sum()) == np.floor(
        (0.37 if way.family == "openset" else made.expected) * len(made.given) + 0.5
    )


@pytest.mark.parametrize("way", [w for w in OURS if w.flips == "exact" and w.family != "openset"], ids=ids)
def test_native_exact_and_iid_agree_on_who_comes_first(way):
    from dataclasses import replace

    exact, iid = way.make(0.4, 6), replace(way, flips="iid").make(0.4, 6)
    both = exact.wrong & iid.wrong
    assert (exact.given[both] == iid.given[both]).all()
    for c in range(10):  # the smaller of the two sets lies in the larger one: one order, cut at two places
        a, b = exact.wrong[exact.clean == c], iid.wrong[exact.clean == c]
        assert (a & b).sum() == min(a.sum(), b.sum())


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.9])
def test_inclusive_noise_is_native_noise_of_what_is_left_of_the_rate(rate):
    inclusive = corrupt(TOY10, None, 10, NoiseSpec("symmetric", rate, "inclusive"), 3)
    native = corrupt(TOY10, None, 10, NoiseSpec("symmetric", rate * 0.9), 3)
    assert inclusive.noise_id == native.noise_id
    assert inclusive.expected == pytest.approx(rate * 0.9)


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

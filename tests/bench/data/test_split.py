import numpy as np
import pytest

from bench.data.split import Split, split

DIGEST = "ab" * 32


def labels_of(counts: list[int], seed: int = 0) -> np.ndarray:
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(seed).permutation(labels)


def cut(labels, *, num_classes=10, val=0.1, limit=None, digest=DIGEST, noise_seed=0) -> Split:
    return split(labels, num_classes, val=val, limit=limit, digest=digest, noise_seed=noise_seed)


def test_every_position_is_in_exactly_one_part_and_sorted() -> None:
    parts = cut(labels_of([30] * 10), val=0.25)
    assert sorted([*parts.train_index, *parts.val_index]) == list(range(300))
    assert parts.train_index.tolist() == sorted(parts.train_index)
    assert parts.val_index.tolist() == sorted(parts.val_index)
    assert parts.train_index.dtype == parts.val_index.dtype == np.int64


def test_each_given_class_loses_its_share_and_the_sum_is_the_rounded_share_of_all() -> None:
    counts = [10, 15, 20, 33, 2]  # a fifth: 2, 3, 4, 6.6, 0.4, together 16
    labels = labels_of(counts)
    parts = cut(labels, num_classes=5, val=0.2)
    assert np.bincount(labels[parts.val_index], minlength=5).tolist() == [2, 3, 4, 7, 0]


def test_a_tenth_of_1437_samples_is_144() -> None:
    parts = cut(labels_of([143, 144, 144, 143, 144, 144, 144, 144, 143, 144]))
    assert (len(parts.train_index), len(parts.val_index)) == (1293, 144)


def test_a_tenth_of_thirty_is_three_in_every_class() -> None:
    labels = labels_of([30] * 10)
    assert np.bincount(labels[cut(labels, val=0.1).val_index]).tolist() == [3] * 10
    assert np.bincount(labels[cut(labels, val=0.7).val_index]).tolist() == [21] * 10


def test_equal_remainders_go_to_the_class_that_comes_first() -> None:
    labels = labels_of([45, 5])  # 31.5 and 3.5, where 0.7 * 45 in floating point is a little less
    assert np.bincount(labels[cut(labels, val=0.7).val_index]).tolist() == [32, 3]


def test_no_validation_means_all_is_trained_on() -> None:
    parts = cut(labels_of([5, 5]), val=0.0)
    assert len(parts.train_index) == 10
    assert len(parts.val_index) == 0


@pytest.mark.parametrize("val", [0.5, 0.9, 0.99, 0.9999999999])
@pytest.mark.parametrize("counts", [[1, 1], [2], [3, 1, 0], [1] * 10])
def test_something_is_always_left_to_train_on(counts, val) -> None:
    parts = cut(labels_of(counts), val=val)
    assert len(parts.train_index) >= 1
    assert len(parts.train_index) + len(parts.val_index) == sum(counts)


def test_the_limit_keeps_a_random_part_of_which_a_part_is_held_out() -> None:
    parts = cut(labels_of([1000] * 10), limit=5000)
    kept = np.concatenate([parts.train_index, parts.val_index])
    assert (len(parts.train_index), len(parts.val_index)) == (4500, 500)
    assert len(np.unique(kept)) == 5000
    assert 4500 < kept.mean() < 5500  # from everywhere, not the first 5,000
    assert len(cut(labels_of([3, 3]), limit=2, val=0).train_index) == 2
    assert len(cut(labels_of([3, 3]), limit=6, val=0).train_index) == 6


def test_a_smaller_limit_or_share_takes_a_part_of_the_larger_one() -> None:
    labels = labels_of([100] * 10)
    small, large = cut(labels, limit=200, val=0), cut(labels, limit=400, val=0)
    assert set(small.train_index) < set(large.train_index)
    few, many = cut(labels, val=0.1), cut(labels, val=0.2)
    assert set(few.val_index) < set(many.val_index)


def test_the_limit_leaves_the_ranking_for_validation_as_it_is() -> None:
    labels = labels_of([1000])
    small, large = cut(labels, limit=300), cut(labels, limit=600)
    both = set(large.val_index) & {*small.train_index, *small.val_index}
    assert both <= set(small.val_index) or both >= set(small.val_index)


def test_data_and_noise_seed_choose_the_split_and_labels_only_the_classes() -> None:
    labels = labels_of([50] * 4)
    same = cut(labels).val_index
    assert cut(labels).val_index.tolist() == same.tolist()
    assert cut(labels, noise_seed=1).val_index.tolist() != same.tolist()
    assert cut(labels, digest="cd" * 32).val_index.tolist() != same.tolist()
    renamed = (labels + 1) % 4  # the same classes under other names lose the same samples
    assert cut(renamed).val_index.tolist() == same.tolist()


def test_the_given_labels_and_numpys_global_generator_are_left_alone() -> None:
    labels = labels_of([50] * 4)
    before, state = labels.copy(), np.random.get_state()[1].copy()  # noqa: NPY002  the global generator is the point
    parts = cut(labels, limit=100)
    assert np.array_equal(labels, before)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    with pytest.raises(ValueError, match="read-only"):
        parts.train_index[0] = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"val": 1.0}, r"val must be in \[0, 1\), got 1.0; for 10 % write 0.1"),
        ({"val": 10}, r"val must be in \[0, 1\), got 10"),
        ({"val": -0.1}, r"val must be in \[0, 1\), got -0.1"),
        ({"val": float("nan")}, r"val must be in \[0, 1\), got nan"),
        ({"limit": 1}, "train_limit must be between 2 and 20, got 1"),
        ({"limit": 21}, "train_limit must be between 2 and 20, got 21"),
        ({"num_classes": 1}, r"given labels must lie in 0 \.\. 0, got 0 \.\. 1"),
        ({"labels": np.array([0.0, 1.0])}, "given labels must be a row of at least 2 integers"),
        ({"labels": np.array([0])}, "given labels must be a row of at least 2 integers"),
        ({"labels": np.array([0, -1])}, r"given labels must lie in 0 \.\. 9, got -1 \.\. 0"),
    ],
)
def test_what_is_impossible_is_refused_with_what_is_allowed(change, message) -> None:
    labels = change.pop("labels", labels_of([10, 10]))
    with pytest.raises(ValueError, match=message):
        cut(labels, **change)


def test_trusted_samples_are_equal_per_true_class_and_leave_training() -> None:
    clean = labels_of([40, 60, 30])
    given = (clean + (np.arange(130) % 4 == 0)) % 3
    settings = {"val": 0.1, "limit": None, "digest": DIGEST, "noise_seed": 0}
    parts = split(given, 3, **settings, trusted=30, clean=clean)
    without = split(given, 3, **settings)
    assert np.bincount(clean[parts.trusted_index]).tolist() == [10, 10, 10]
    assert parts.val_index.tolist() == without.val_index.tolist()
    assert sorted([*parts.train_index, *parts.trusted_index]) == without.train_index.tolist()
    assert len(without.trusted_index) == 0


def test_trusted_samples_are_nested_and_follow_the_noise_seed() -> None:
    clean = labels_of([50, 50])

    def trusted(count: int, seed: int = 0) -> set[int]:
        parts = split(clean, 2, val=0.2, limit=None, digest=DIGEST, noise_seed=seed, trusted=count, clean=clean)
        return set(parts.trusted_index.tolist())

    assert trusted(10) < trusted(20)
    assert trusted(10) != trusted(10, seed=1)
    more_held_out = split(clean, 2, val=0.5, limit=None, digest=DIGEST, noise_seed=0, trusted=10, clean=clean)
    assert set(more_held_out.trusted_index.tolist()) == trusted(10)


@pytest.mark.parametrize(
    ("trusted", "clean", "text"),
    [
        (5, [0, 1] * 10, "trusted must be a multiple of the 2 classes, got 5"),
        (20, [0, 1] * 10, "trusted 20 takes all 10 training samples of class 0"),
        (2, None, "trusted samples need true labels, and nobody knows those of these data"),
    ],
)
def test_trusted_samples_that_cannot_be_had_are_refused(trusted, clean, text) -> None:
    with pytest.raises(ValueError, match=text):
        split([0, 1] * 10, 2, val=0, limit=None, digest=DIGEST, noise_seed=0, trusted=trusted, clean=clean)

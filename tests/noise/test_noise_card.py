import json

import numpy as np
import pytest

import noise
from noise import NoiseSpec, card, card_line, card_text, corrupt

WAYS = [(family, dialect) for family in noise.available() for dialect in noise.describe(family)["dialects"]]


@pytest.mark.parametrize(("family", "dialect"), WAYS)
def test_a_card_equals_a_recount(family, dialect, toy10, toy10_rows):
    made = corrupt(toy10, toy10_rows, 10, NoiseSpec(family, 0.4, dialect), 3)
    trained = np.arange(0, 2000, 3)
    data = card(made, dataset="toy10", digest="abc", train_index=trained)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    counts = [[0] * 10 for _ in range(10)]
    for y, g in zip(toy10.tolist(), made.given.tolist(), strict=True):
        counts[y][g] += 1
    wrong = 2000 - sum(counts[c][c] for c in range(10))
    assert data["counts"] == counts
    assert data["wrong"] == wrong
    assert data["actual"] == wrong / 2000
    assert data["rate_by_class"] == pytest.approx([1 - counts[c][c] / sum(counts[c]) for c in range(10)])
    assert data["wrong_share_by_given"] == pytest.approx(
        [1 - counts[c][c] / sum(row[c] for row in counts) for c in range(10)]
    )
    trained_wrong = sum(made.given[i] != toy10[i] for i in trained)
    assert (data["trained"], data["trained_wrong"]) == (667, trained_wrong)
    assert data["effective"] == trained_wrong / 667
    assert data["effective"] != data["actual"]
    assert data["covers"] == "train and validation"
    assert data["noise_id"] == made.noise_id
    assert (data["asked"], data["expected"]) == (0.4, made.expected)
    assert NoiseSpec.parse(data["spec"]) == made.spec


def test_without_a_split_all_samples_are_trained_on(toy10):
    data = card(corrupt(toy10, None, 10, NoiseSpec("symmetric", 0.4), 3))
    assert (data["trained"], data["effective"], data["covers"]) == (2000, data["actual"], "train")


def test_z_is_there_where_chance_decides_and_only_there(toy10, toy10_rows):
    iid = card(corrupt(toy10, None, 10, NoiseSpec("symmetric", 0.2, "co_teaching"), 1))
    assert iid["flips"] == "iid"
    assert iid["z"] == pytest.approx((409 - 400) / np.sqrt(2000 * 0.2 * 0.8))  # 409 is the count of the authors' code
    assert card(corrupt(toy10, None, 10, NoiseSpec("symmetric", 0.2, flips="iid"), 1))["z"] is not None
    assert abs(card(corrupt(toy10, toy10_rows, 10, NoiseSpec("instance", 0.2, "ptd"), 1))["z"]) < 4
    for dialect in ("native", "dividemix", "badlabels", "elr"):
        assert card(corrupt(toy10, None, 10, NoiseSpec("symmetric", 0.2, dialect), 1))["z"] is None
    assert card(corrupt(toy10, None, 10, NoiseSpec("symmetric", 0, flips="iid"), 1))["z"] is None


@pytest.mark.parametrize(
    ("text", "num_classes", "dominant"),
    [
        ("pairflip:0.49", 10, True),
        ("pairflip:0.5", 10, False),
        ("symmetric:0.89", 10, True),
        ("symmetric:0.9", 10, False),
        ("symmetric:0.6666666666666666", 3, False),
        ("symmetric:0.5", 2, False),
        ("symmetric:0.95:dialect=dividemix", 10, True),
        ("symmetric:0", 10, True),
    ],
)
def test_a_card_says_when_the_true_label_is_not_the_most_frequent(text, num_classes, dominant):
    made = corrupt(np.arange(600) % num_classes, None, num_classes, NoiseSpec.parse(text), 0)
    data = card(made)
    assert data["diagonally_dominant"] is dominant
    assert ("WARNING" not in card_text(data)) is dominant
    assert ("NOT diagonally dominant" not in card_line(data)) is dominant


def test_classes_without_samples_have_no_rate():
    made = corrupt([0, 0, 0, 0, 2, 2, 2, 2], np.arange(32).reshape(8, 4), 3, NoiseSpec("instance", 0.4), 0)
    data = card(made)
    assert data["rate_by_class"][0] is not None
    assert data["rate_by_class"][1] is None
    assert data["smallest_diagonal"] == 0.5  # floor(.4 * 4 + 1/2) = 2 of 4
    assert card_text(data)


def test_the_line_of_a_column_reads_aloud(toy10):
    made = corrupt(toy10[:1000], None, 10, NoiseSpec("symmetric", 0.5), 0)
    train = np.flatnonzero(made.wrong)[:450].tolist() + np.flatnonzero(~made.wrong)[:450].tolist()
    assert card_line(card(made, train_index=train)) == (
        "symmetric 50%: asked .500, expected .500, actual .500 over 1,000, effective .500 on the 900 trained on; "
        f"id {made.noise_id}; native, exclusive, exact per class"
    )


@pytest.mark.parametrize(("family", "dialect"), WAYS)
def test_the_text_fits_a_terminal(family, dialect, toy10, toy10_rows):
    made = corrupt(toy10, toy10_rows, 10, NoiseSpec(family, 0.5, dialect), 1)
    text = card_text(card(made, dataset="toy10", digest="ab" * 32, train_index=np.arange(1800)))
    lines = text.splitlines()
    assert 10 <= len(lines) <= 14
    assert max(map(len, lines)) <= 110
    assert made.noise_id in lines[0]
    for part in ("asked .500", "toy10", dialect, "of the 1,800 trained on", "seed 1"):
        assert part in text


def test_an_inclusive_card_says_what_to_ask_for(toy10):
    text = card_text(card(corrupt(toy10, None, 10, NoiseSpec("symmetric", 0.45, "elr"), 1)))
    assert "to make .450 wrong ask 0.5" in text
    assert "ask" not in card_text(card(corrupt(toy10, None, 10, NoiseSpec("symmetric", 0.45), 1))).replace("asked", "")


@pytest.mark.parametrize("index", [[0, 0], [2000], [-1], [], [0.5], [[0]]])
def test_a_train_index_names_samples_once(index, toy10):
    made = corrupt(toy10, None, 10, NoiseSpec("symmetric", 0.5), 1)
    with pytest.raises(ValueError, match=r"^train_index must"):
        card(made, train_index=index)

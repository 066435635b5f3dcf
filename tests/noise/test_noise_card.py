import json

import numpy as np
import pytest

import noise
from noise import NoiseSpec, card, card_line, card_text, corrupt, from_bytes, matrix_text, to_bytes
from tests.noise.world import ROWS, WAYS, ids


@pytest.mark.parametrize("way", WAYS, ids=ids)
def test_a_card_equals_a_recount(way):
    made, classes = way.make(0.4, 3), way.classes
    total = len(made.given)
    trained = np.arange(0, total, 3)
    data = card(made, dataset="toy10", digest="abc", train_index=trained)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    own = [i for i in range(total) if made.is_ood is None or not made.is_ood[i]]
    counts = [[0] * classes for _ in range(classes)]
    for i in own:
        counts[made.clean[i]][made.given[i]] += 1
    wrong = len(own) - sum(counts[c][c] for c in range(classes))
    assert data["counts"] == counts
    assert data["wrong"] == wrong
    assert data["foreign"] == total - len(own)
    assert data["actual"] == wrong / total
    rows, columns = [sum(row) for row in counts], [sum(row[c] for row in counts) for c in range(classes)]
    by_class = [1 - counts[c][c] / rows[c] if rows[c] else None for c in range(classes)]
    by_given = [1 - counts[c][c] / columns[c] if columns[c] else None for c in range(classes)]
    for told, expected in ((data["rate_by_class"], by_class), (data["wrong_share_by_given"], by_given)):
        assert [value is None for value in told] == [value is None for value in expected]
        assert [v for v in told if v is not None] == pytest.approx([v for v in expected if v is not None])
    trained_wrong = sum(made.given[i] != made.clean[i] for i in set(trained.tolist()) & set(own))
    assert (data["trained"], data["trained_wrong"]) == (len(trained), trained_wrong)
    assert data["effective"] == trained_wrong / len(trained)
    assert data["covers"] == "train and validation"
    assert data["noise_id"] == made.noise_id
    assert (data["asked"], data["expected"]) == (0.4 if way.rated else None, made.expected)
    assert NoiseSpec.from_dict(data["table"]) == made.spec


def test_where_the_truth_is_unknown_the_card_says_so_and_counts_nothing(toy10):
    made = corrupt(toy10, None, 10, NoiseSpec("none"), 0, labels_are_true=False)
    data = card(made)
    for name in ("actual", "effective", "wrong", "counts", "rate_by_class", "smallest_diagonal", "z", "clean_sha256"):
        assert data[name] is None
    assert data["given_counts"] == [200] * 10
    assert "unknown: nobody knows the true labels" in card_text(data)
    assert "actual unknown" in card_line(data)
    assert matrix_text(data) == "no matrix: the true labels are unknown"
    with pytest.raises(ValueError, match="the true labels of these samples are unknown"):
        made.wrong  # noqa: B018 - that it cannot be asked for is the claim
    after, again = from_bytes(to_bytes(made, data), expect_id=made.noise_id)
    assert after.clean is None
    assert again == data


@pytest.mark.parametrize("family", [name for name in noise.available() if not noise.family_of(name).keeps_labels])
def test_noise_is_not_made_of_labels_that_nobody_vouches_for(family):
    way = next(way for way in WAYS if way.family == family)
    with pytest.raises(
        ValueError, match=f"^noise family '{family}' starts from true labels, and these data have none$"
    ):
        corrupt(
            way.labels, ROWS[: len(way.labels)], way.classes, way.spec(), 0,
            attached=way.attached(way.labels, way.classes), labels_are_true=False,
        )  # fmt: skip


def test_z_of_chances_known_sample_by_sample_uses_each_of_them():
    made = next(way for way in WAYS if way.family == "pmd").make(None, 3)
    q = made.flip_rate
    by_hand = (made.wrong.sum() - q.sum()) / np.sqrt((q * (1 - q)).sum())
    assert card(made)["z"] == pytest.approx(by_hand)


def test_the_matrix_is_printed_in_percent():
    made = corrupt(np.array([0] * 4 + [1] * 4), None, 2, NoiseSpec("pairflip", 0.25), 0)
    assert matrix_text(card(made)).splitlines() == [
        "true\\given      0      1",
        "         0  75.00  25.00",
        "         1  25.00  75.00",
    ]
    made = corrupt(np.arange(2100) % 21, None, 21, NoiseSpec("pairflip", 0.25), 0)
    assert matrix_text(card(made)).startswith(
        "most frequent confusions (true -> given: samples)\n  0 -> 1: 25, 1 -> 2: 25"
    )


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


@pytest.mark.parametrize("way", WAYS, ids=ids)
def test_the_text_fits_a_terminal(way):
    made = way.make(0.5, 1)
    text = card_text(card(made, dataset="toy10", digest="ab" * 32, train_index=np.arange(1800)))
    lines = text.splitlines()
    assert 12 <= len(lines) <= 24
    assert max(map(len, lines)) <= 110
    assert made.noise_id in lines[0]
    drawn = "nothing was drawn" if made.generator == "none" else "seed 1"
    asked = "asked .500" if way.rated else "no rate asked"
    for part in (asked, "toy10", way.dialect, "of the 1,800 trained on", drawn, way.about["source"][:20]):
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

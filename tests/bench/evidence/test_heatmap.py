"""The matrix of a noise card as a picture: its pixels come from the counts."""

import io

import numpy as np
import pytest
from PIL import Image

import noise
from bench.evidence import heatmap

LABELS = np.arange(2000) % 10


def card_of(text: str, labels: np.ndarray = LABELS, classes: int = 10) -> dict:
    return noise.card(noise.corrupt(labels, None, classes, noise.NoiseSpec.parse(text), 0))


def test_the_cells_hold_the_counted_shares():
    (axes, bar) = heatmap.figure(card_of("pairflip:0.45")).axes
    drawn = axes.images[0].get_array()
    assert drawn.shape == (10, 10)
    assert drawn[3, 4] == pytest.approx(45.0)
    assert np.ma.is_masked(drawn[3, 3]) or np.isnan(drawn[3, 3])
    texts = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in axes.texts}
    assert texts[3, 3] == "55.0"
    assert texts[9, 0] == "45.0"
    assert len(texts) == 20
    assert (axes.get_xlabel(), axes.get_ylabel(), bar.get_ylabel()) == (
        "given class",
        "true class",
        "share of the true class, %",
    )
    assert "900 of 2,000 labels wrong (45.00 %)" in axes.get_title()


def test_a_hundred_classes_are_drawn_without_numbers():
    axes = heatmap.figure(card_of("symmetric:0.4", np.arange(5000) % 100, 100)).axes[0]
    assert not axes.texts
    assert axes.images[0].get_array().shape == (100, 100)


def test_clean_labels_and_empty_classes_draw_too():
    labels = np.array([0, 0, 2, 2])
    assert Image.open(io.BytesIO(heatmap.png(card_of("symmetric:0", labels, 4)))).size[0] > 200


def test_equal_cards_give_equal_bytes():
    assert heatmap.png(card_of("symmetric:0.5")) == heatmap.png(card_of("symmetric:0.5"))


def test_unknown_true_labels_have_no_matrix():
    card = {**card_of("symmetric:0.5"), "counts": None}
    with pytest.raises(ValueError, match="no matrix to draw, the true labels are unknown"):
        heatmap.figure(card)

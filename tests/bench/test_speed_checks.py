"""Right before fast: the benchmark times nothing that does not do what the peer does."""

import pytest
import torch

from bench.data import augment
from bench.speed import checks, ours, sweep
from bench.speed.options import CheckFailed
from methods import co_teaching
from methods.base import Method
from methods.selection import smallest

NETWORK = "lenet_small"


@pytest.mark.parametrize("spec", ours.TITLES)
def test_our_loop_follows_the_peer_with_its_order_and_crops(spec):
    checks.follows_the_peer(spec, NETWORK, "cpu")


@pytest.mark.parametrize("layout", [True, False])
def test_it_does_so_in_both_layouts(layout, monkeypatch):
    monkeypatch.setattr(ours.TrainConfig, "channels_last", layout)
    checks.follows_the_peer(ours.CO_TEACHING, "digits_cnn", "cpu")


def largest_first(losses, keep):
    return smallest(-losses, keep)


def test_a_method_that_selects_the_wrong_samples_is_not_timed(monkeypatch):
    monkeypatch.setattr(co_teaching, "smallest", largest_first)
    with pytest.raises(
        CheckFailed, match=r"^Co-teaching, lenet_small, sgd: step 1 has loss [\d.]+, the peer's [\d.]+$"
    ):
        checks.follows_the_peer(ours.CO_TEACHING, NETWORK, "cpu")


def test_a_method_whose_networks_keep_their_own_choice_is_not_timed(monkeypatch):
    monkeypatch.setattr(co_teaching, "smallest", lambda losses, keep: smallest(losses, keep).flip(0))
    with pytest.raises(CheckFailed, match="has loss"):
        checks.follows_the_peer(ours.CO_TEACHING, NETWORK, "cpu")


def test_a_step_that_learns_too_much_is_not_timed(monkeypatch):
    honest = Method.learn
    monkeypatch.setattr(Method, "learn", lambda self, loss: honest(self, 1.1 * loss))
    with pytest.raises(CheckFailed, match=r"sgd: after step 1 a weight is \S+ off, 1e-06 of \S+ is allowed"):
        checks.follows_the_peer(ours.CROSS_ENTROPY, NETWORK, "cpu")


def test_a_loss_that_is_no_number_is_not_timed(monkeypatch):
    monkeypatch.setattr(co_teaching, "masked_mean", lambda loss, kept: loss.sum(-1) * float("nan"))
    with pytest.raises(CheckFailed, match="has loss nan"):
        checks.follows_the_peer(ours.CO_TEACHING, NETWORK, "cpu")


def test_our_batches_hold_the_peers_pixels():
    checks.same_pixels("cpu")


def test_pixels_that_are_a_little_off_are_not_timed(monkeypatch):
    honest = augment.normalise
    monkeypatch.setattr(augment, "normalise", lambda *words: honest(*words) + 1e-4)
    with pytest.raises(CheckFailed, match=r"^input: augmented pixels differ from the peer's by up to 0.0001$"):
        checks.same_pixels("cpu")


def test_given_crops_cover_all_windows():
    crops = checks.given_crops(2000)
    assert {(y, x) for y, x in zip(crops.dy.tolist(), crops.dx.tolist(), strict=True)} == {
        (y, x) for y in range(9) for x in range(9)
    }
    assert 0.4 < crops.flip.mean() < 0.6


def test_runs_that_packing_changes_are_not_timed():
    alone = {"r1": b"1", "r2": b"2"}
    sweep._check_equal(alone, {2: dict(alone), 4: dict(alone)})
    for packed in ({"r1": b"1", "r2": b"3"}, {"r1": b"1"}, {**alone, "r3": b"3"}):
        with pytest.raises(CheckFailed, match="with 2 runs a device 1 runs found something else than alone"):
            sweep._check_equal(alone, {2: packed})


def test_the_peer_and_ours_begin_with_the_same_weights_labels_and_forget_rate():
    data = ours.images_for(NETWORK, 50, 10)
    run = ours.config(ours.CO_TEACHING, NETWORK, data, batch=10)
    own = ours.trainer(ours.CO_TEACHING, run, ours.prepared(run, data, "cpu"), "cpu")
    theirs = ours.peer(ours.CO_TEACHING, run, data, "cpu", ours.Recipe(10, 0))
    for mine, other in zip(own.method.nets, theirs.networks, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), other.parameters(), strict=True))
    given = own.data.splits["train"].given
    assert given.tolist() == theirs.train.labels.tolist()
    assert theirs.recipe.forget_rate == pytest.approx(own.method.rate())
    assert theirs.recipe.forget_rate == pytest.approx((given.numpy() != data.train_labels).mean())

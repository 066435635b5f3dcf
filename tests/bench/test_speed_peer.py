"""The peer that the benchmark compares with: it does what published code does, on the images that it is given."""

import ast
import math

import numpy as np
import pytest
import torch

from bench.fingerprint import ROOT
from bench.speed.images import dataset
from bench.speed.peer import Crops, Items, Peer, Recipe, accuracy, selected_losses, vision

LOG2 = math.log(2)


class Table(torch.nn.Module):
    """Logits (n, 2) that stand for a network: sample i of a batch, whose first pixel is i, gets row i."""

    def __init__(self, rows):
        super().__init__()
        self.rows = torch.nn.Parameter(torch.tensor(rows))

    def forward(self, images):
        return self.rows[images[:, 0, 0, 0].round().long()]


# of label 0; network 1 finds samples 0 and 1 easy, network 2 samples 2 and 3
FIRST = [[9.0, 0.0], [8.0, 0.0], [0.0, 0.0], [0.0, 3.0]]
SECOND = [[0.0, 3.0], [0.0, 0.0], [8.0, 0.0], [9.0, 0.0]]


def loss_of(margin):
    """Of a sample whose own logit is above the other by `margin`."""
    return math.log1p(math.exp(-margin))


def test_each_network_learns_from_the_samples_that_the_other_finds_easiest():
    y = torch.zeros(4, dtype=torch.int64)
    losses = selected_losses([torch.tensor(FIRST), torch.tensor(SECOND)], y, keep=2)
    # the first learns from 2 and 3, where it has log 2 and log(1 + e^3); the second from 0 and 1
    assert losses[0].item() == pytest.approx((LOG2 + loss_of(-3)) / 2, rel=1e-6)
    assert losses[1].item() == pytest.approx((loss_of(-3) + LOG2) / 2, rel=1e-6)
    alone = selected_losses([torch.tensor(FIRST), torch.tensor(SECOND)], y, keep=1)
    assert alone[0].item() == pytest.approx(loss_of(-3), rel=1e-6)  # sample 3 is the second's easiest
    assert alone[1].item() == pytest.approx(loss_of(-3), rel=1e-6)  # sample 0 is the first's


def tables(forget_rate=0.5, ramp_epochs=1, **recipe):
    """A peer of two tables on four samples of label 0, whose first pixel after preparing is their number."""
    images = np.zeros((4, 2, 2, 3), dtype=np.uint8)
    images[:, 0, 0] = np.arange(4)[:, None]
    items = Items(images, np.zeros(4, dtype=np.int64), (0.0,) * 3, (1 / 255,) * 3, augment=False)
    how = Recipe(4, 0, lr=0.1, optimizer="sgd", forget_rate=forget_rate, ramp_epochs=ramp_epochs, **recipe)
    return Peer(items, items, [Table(FIRST), Table(SECOND)], how)


def test_a_step_moves_only_the_rows_that_were_chosen_for_a_network():
    peer = tables()
    ((images, labels, _),) = peer.batches([0, 1, 2, 3])
    losses = peer.learn(images, labels)
    assert losses == pytest.approx([(LOG2 + loss_of(-3)) / 2] * 2, rel=1e-6)
    moved = [
        (net.rows.detach() != torch.tensor(rows)).any(1).tolist()
        for net, rows in zip(peer.networks, (FIRST, SECOND), strict=True)
    ]
    assert moved == [[False, False, True, True], [True, True, False, False]]
    # d loss / d logit 0 of sample 2 is (1/2 - 1) / 2, the rate 0.1
    assert peer.networks[0].rows[2, 0].item() == pytest.approx(0.025, rel=1e-5)


def test_the_dropped_share_grows_epoch_by_epoch_as_in_the_paper():
    peer = tables(forget_rate=0.4, ramp_epochs=10)
    kept = []
    for epoch in range(12):
        peer.epochs = epoch
        kept.append(peer.kept(100))
    assert kept == [96, 92, 88, 84, 80, 76, 72, 68, 64, 60, 60, 60]
    assert tables(forget_rate=0.9, ramp_epochs=0).kept(4) == 1


def test_an_epoch_trains_once_and_scores_every_network_on_every_test_sample():
    peer = tables(forget_rate=0.0)
    assert peer.evaluate() == [0.75, 0.75]  # argmax takes class 0 for a tie; sample 3, or 0, is wrong
    assert len(peer.epoch([3, 2, 1, 0])) == 2
    assert peer.epochs == 1
    assert all(network.training is False for network in peer.networks)


def test_a_given_order_is_kept_and_without_one_the_samples_are_shuffled():
    peer = tables()
    ((_, _, index),) = peer.batches([2, 0, 3, 1])
    assert index.tolist() == [2, 0, 3, 1]
    torch.manual_seed(0)
    orders = {tuple(index.tolist()) for _ in range(20) for _, _, index in peer.batches()}
    assert len(orders) > 5
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)


def test_top_1_and_top_k_accuracy_are_shares_of_the_batch():
    logits = torch.tensor([[5.0, 4, 3, 2, 1, 0, -1], [5.0, 4, 3, 2, 1, 0, -1], [5.0, 4, 3, 2, 1, 0, -1]])
    assert accuracy(logits, torch.tensor([0, 4, 6])) == pytest.approx((1 / 3, 2 / 3))


CROPS = Crops(np.array([0, 8, 4, 3]), np.array([8, 0, 4, 5]), np.array([False, True, True, False]))


@pytest.mark.parametrize("use_vision", [True, False])
def test_given_crops_are_cut_from_the_padded_image(use_vision):
    if use_vision and vision() is None:
        pytest.skip("torchvision is not installed")
    data = dataset(4, 1)
    mean, std = data.info.mean, data.info.std
    items = Items(np.asarray(data.train_images), data.train_labels, mean, std, True, CROPS, use_vision)
    for n, (dy, dx, flip) in enumerate(zip(*CROPS, strict=True)):
        padded = np.zeros((40, 40, 3))
        padded[4:36, 4:36] = data.train_images[n]
        window = padded[dy : dy + 32, dx : dx + 32]
        window = window[:, ::-1] if flip else window
        wanted = ((window / 255 - mean) / std).transpose(2, 0, 1)
        image, label, index = items[n]
        assert (label, index) == (data.train_labels[n], n)
        assert np.allclose(image.numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("use_vision", [True, False])
def test_random_crops_are_windows_of_the_image_and_differ_from_time_to_time(use_vision):
    if use_vision and vision() is None:
        pytest.skip("torchvision is not installed")
    torch.manual_seed(0)
    data = dataset(1, 1)
    items = Items(np.asarray(data.train_images), data.train_labels, (0.0,) * 3, (1.0,) * 3, True, None, use_vision)
    padded = np.zeros((40, 40, 3), dtype=np.uint8)
    padded[4:36, 4:36] = data.train_images[0]
    windows = {
        padded[y : y + 32, x : x + 32][:, ::step].tobytes() for y in range(9) for x in range(9) for step in (1, -1)
    }
    seen = {(items[0][0].numpy().transpose(1, 2, 0) * 255).round().astype(np.uint8).tobytes() for _ in range(30)}
    assert seen <= windows
    assert len(seen) > 15


def test_nothing_outside_the_benchmark_imports_the_peer():
    for path in [*(ROOT / "bench").rglob("*.py"), *(ROOT / "methods").rglob("*.py"), ROOT / "run_bench.py"]:
        if path.parent != ROOT / "bench" / "speed":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [node.module] if isinstance(node, ast.ImportFrom) else []
                names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                assert not any((name or "").startswith("bench.speed") for name in names), path

"""The best weights so far: networks of known accuracy are scored in turn, and what is kept is compared."""

import pytest
import torch
from torch import Tensor, nn

from methods.base import Batch, Clock, Needs, Pass
from methods.validated import Best

Y = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])  # labels of the validation split
CLOCK = Clock(0, 1, 0, 1, 1.0, "train", 0, 1)


class Fixed(nn.Module):
    """Predicts `classes` (8,), one for each sample; an image is its own position."""

    def __init__(self, classes: list[int]) -> None:
        super().__init__()
        self.table = nn.Parameter(4 * nn.functional.one_hot(torch.tensor(classes), 3).float())
        self.seen = nn.Buffer(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.table[x.flatten().long()]


class Held:
    """A task that holds eight validation samples, in batches of 3, 3 and 2."""

    num_classes, num_train, device = 3, 8, torch.device("cpu")
    needs = Needs(noisy_val=True)

    def make_network(self, k: int) -> nn.Module:
        return Fixed([0] * 8)

    def labels(self, split: str) -> Tensor:
        return {"val": Y}[split]

    def loader(self, views: tuple[str, ...], split: str = "train", shuffle: bool = True) -> list[Batch]:
        assert (views, shuffle) == (("plain",), False)  # of both splits
        parts = torch.arange(8).split(3)
        return [Batch(part, (part[:, None].float(),), Y[part]) for part in parts]


@pytest.fixture
def best() -> Best:
    return Best(Held())


def score(best: Best, network: nn.Module, transition: Tensor | None = None) -> list[Pass]:
    """Run the passes as a trainer would, and give them back."""
    passes = []
    for part in best.passes(Held(), network, transition):
        passes.append(part)
        with torch.no_grad():
            for batch in part.batches:
                part.step(batch, CLOCK)
    return passes


def right(num: int) -> Fixed:
    """A network that predicts the first `num` labels, and the next class for the others."""
    return Fixed([int(y) if i < num else (int(y) + 1) % 3 for i, y in enumerate(Y)])


def test_the_score_is_the_share_of_given_labels_predicted_in_one_evaluation_pass(best):
    (part,) = score(best, right(5))
    assert (part.train, part.name) == (False, "validate")
    assert float(best.score) == 5 / 8


def test_what_is_better_is_kept_and_what_is_worse_or_equal_is_not(best):
    kept = []
    for network, mark in zip([right(3), right(6), right(6), right(2), right(7), right(5)], range(6), strict=True):
        network.seen.fill_(mark)
        score(best, network)
        kept.append(int(best.network.seen))
    assert kept == [0, 1, 1, 1, 4, 4]
    assert torch.equal(best.network.table, right(7).table)


def test_a_copy_is_kept_which_later_training_does_not_move(best):
    network = right(4)
    score(best, network)
    with torch.no_grad():
        network.table.zero_()
    assert torch.equal(best.network.table, right(4).table)
    assert not any(p.requires_grad for p in best.network.parameters())


def test_recalling_gives_back_weights_and_buffers_and_compares_anew(best):
    good, worse = right(6), right(1)
    good.seen.fill_(3)
    score(best, good)
    best.recall(worse)
    assert torch.equal(worse.table, good.table)
    assert int(worse.seen) == 3
    score(best, right(1))
    assert torch.equal(best.network.table, right(1).table)  # poorer than the first phase's best, and yet the best now


def test_with_a_matrix_what_counts_is_the_prediction_of_the_given_label(best):
    shifted = Fixed([(int(y) + 2) % 3 for y in Y])  # class c is seen as c + 1
    score(best, shifted)
    assert float(best.score) == 0
    score(best, shifted, torch.eye(3).roll(1, dims=1))
    assert float(best.score) == 1


def test_a_network_that_predicts_no_label_is_still_better_than_none(best):
    score(best, right(0))
    assert torch.equal(best.network.table, right(0).table)


def test_the_best_so_far_survives_an_interruption(best):
    score(best, right(6))
    resumed = Best(Held())
    resumed.load_state_dict(best.state_dict())
    score(resumed, right(5))
    assert torch.equal(resumed.network.table, right(6).table)


def test_the_best_network_predicts_the_whole_training_split(best):
    good, bad = right(6), right(1)
    score(best, good)
    score(best, bad)
    for part in best.predictions(Held(), bad):
        assert not part.train
        with torch.no_grad():
            for batch in part.batches:
                part.step(batch, CLOCK)
    torch.testing.assert_close(best.predicted, good.table.detach().softmax(-1))
    assert float(best.score) == -1.0  # what comes after is compared anew

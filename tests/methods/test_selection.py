import math

import torch

from methods.losses import entropy
from methods.selection import confident, masked_mean, smallest


def test_the_smallest_losses_of_each_row_are_kept():
    losses = torch.tensor([[0.3, 0.1, 0.2, 0.9], [5.0, 4.0, 3.0, 2.0]])
    assert smallest(losses, 2).tolist() == [[False, True, True, False], [False, False, True, True]]


def test_ties_go_to_the_sample_that_comes_first():
    assert smallest(torch.tensor([1.0, 0.0, 1.0, 1.0]), 2).tolist() == [True, True, False, False]
    assert smallest(torch.zeros(200), 3).tolist() == [True] * 3 + [False] * 197


def test_none_and_all_can_be_kept():
    losses = torch.randn(2, 5)
    assert not smallest(losses, 0).any()
    assert not smallest(losses, -1).any()
    assert smallest(losses, 5).all()
    assert smallest(losses, 99).all()


def test_a_sample_without_a_finite_loss_is_kept_last():
    losses = torch.tensor([math.nan, math.inf, 2.0, 1.0])
    assert smallest(losses, 2).tolist() == [False, False, True, True]
    assert smallest(losses, 3).tolist() == [False, True, True, True]


def test_a_masked_mean_divides_by_the_number_selected():
    values = torch.tensor([[1.0, 2.0, 6.0], [1.0, 2.0, 6.0]])
    mask = torch.tensor([[True, False, True], [False, True, False]])
    assert masked_mean(values, mask).tolist() == [3.5, 2.0]


def test_an_unselected_infinite_value_changes_neither_the_mean_nor_its_gradient():
    values = torch.tensor([1.0, math.inf, 3.0, math.nan], requires_grad=True)
    mean = masked_mean(values, torch.tensor([True, False, True, False]))
    mean.backward()
    assert mean.item() == 2.0
    assert values.grad.tolist() == [0.5, 0.0, 0.5, 0.0]


def test_an_empty_selection_gives_zero_with_a_gradient_of_zero():
    values = torch.tensor([[1.0, 2.0]], requires_grad=True)
    mean = masked_mean(values, torch.zeros(1, 2, dtype=torch.bool))
    assert mean.tolist() == [0.0]
    mean.sum().backward()
    assert values.grad.tolist() == [[0.0, 0.0]]


def test_a_prediction_is_confident_if_its_share_of_the_greatest_entropy_is_at_most_the_threshold():
    logp = torch.tensor([[0.7, 0.2, 0.1], [0.9, 0.05, 0.05]], dtype=torch.float64).log()
    share = entropy(logp) / math.log(3)  # .7298, .3590
    assert confident(logp, 0.72).tolist() == [False, True]
    assert confident(logp, 0.73).tolist() == [True, True]
    assert confident(logp, 0.35).tolist() == [False, False]
    assert abs(float(share[0]) - 0.729847) < 1e-6


def test_by_the_greatest_probability_the_bar_goes_from_uniform_at_one_to_certain_at_zero():
    logp = torch.tensor([[0.7, 0.2, 0.1], [0.4, 0.3, 0.3]], dtype=torch.float64).log()
    # 1 - 2/3 * .45 = .7 is met, and 1 - 2/3 * .44 = .70667 is not
    assert confident(logp, 0.4501, "max_prob").tolist() == [True, False]
    assert confident(logp, 0.44, "max_prob").tolist() == [False, False]
    assert confident(logp, 0.9001, "max_prob").tolist() == [True, True]
    sure = torch.tensor([[1e4, 0.0, 0.0]]).log_softmax(-1)
    for criterion in ("entropy", "max_prob"):
        assert confident(sure, 0.0, criterion).all()
        assert not confident(logp, 0.0, criterion).any()
        assert confident(logp, 1.0, criterion).all()

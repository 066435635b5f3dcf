"""Counts and curves of a record, each by hand."""

import math

import pytest
import torch

from bench.training import metrics
from methods.base import Batch, Step


def batches(*sizes):
    start = 0
    for size in sizes:
        index = torch.arange(start, start + size)
        yield Batch(index, (index[:, None].float(),), torch.zeros(size, dtype=torch.int64))
        start += size


def bools(*values):
    return torch.tensor(values, dtype=torch.bool)


def test_auc_is_the_share_of_ordered_pairs():
    # right: .9 .4, wrong: .5 .1; pairs .9>.5, .9>.1, .4<.5, .4>.1
    assert metrics.auc(torch.tensor([0.9, 0.5, 0.4, 0.1]), bools(1, 0, 1, 0)) == 0.75
    assert metrics.auc(torch.tensor([1.0, 2.0]), bools(1, 0)) == 0.0
    assert metrics.auc(torch.tensor([2.0, 1.0]), bools(1, 0)) == 1.0


def test_a_tie_is_half_a_pair():
    # right: 1 2, wrong: 1 0; pairs 1=1, 1>0, 2>1, 2>0: 3.5 of 4
    assert metrics.auc(torch.tensor([1.0, 1.0, 2.0, 0.0]), bools(1, 0, 1, 0)) == 0.875
    assert metrics.auc(torch.zeros(7), bools(1, 0, 1, 0, 0, 0, 1)) == 0.5
    assert metrics.auc(torch.tensor([-math.inf, -math.inf]), bools(1, 0)) == 0.5


def test_auc_agrees_with_counting_pairs():
    generator = torch.Generator().manual_seed(3)
    score = torch.randint(6, (60,), generator=generator).float()
    right = torch.rand(60, generator=generator) < 0.6
    pairs = score[right][:, None] - score[~right][None]
    wanted = float(((pairs > 0).double() + 0.5 * (pairs == 0)).mean())
    assert metrics.auc(score, right) == pytest.approx(wanted, abs=1e-12)


def test_auc_of_one_kind_alone_or_of_a_dead_score_is_unknown():
    assert metrics.auc(torch.tensor([1.0, 2.0]), bools(1, 1)) is None
    assert metrics.auc(torch.tensor([1.0, 2.0]), bools(0, 0)) is None
    assert metrics.auc(torch.tensor([1.0, math.nan]), bools(1, 0)) is None


def test_memorisation_counts_right_labels_fitted_wrong_labels_fitted_and_classes_recovered():
    clean = torch.tensor([0, 0, 1, 1, 2, 2, 2])
    given = torch.tensor([0, 0, 0, 0, 2, 1, 1])  # wrong at 2, 3, 5, 6
    predicted = torch.tensor([0, 1, 0, 1, 2, 1, 0])
    assert metrics.memorisation(predicted, given, clean) == {"right_fit": 2, "wrong_fit": 2, "wrong_recovered": 1}


def test_a_dead_prediction_fits_nothing():
    clean, given = torch.tensor([0, 1]), torch.tensor([0, 0])
    assert set(metrics.memorisation(torch.tensor([-1, -1]), given, clean).values()) == {0}


def test_knowledge_is_the_accuracy_against_the_true_class_behind_an_open_and_a_shut_gate():
    predicted = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    clean = torch.tensor([0, 1, 0, 0, 0, 2, 0])
    gate = bools(1, 1, 1, 0, 0, 1, 0)
    seen = bools(1, 1, 1, 1, 1, 0, 0)  # the last two samples came in no batch
    counts = metrics.knowledge(predicted, clean, gate, seen)
    assert counts == {"open": 3, "open_right": 2, "shut": 2, "shut_right": 1}


def test_predictions_are_in_order_of_the_samples_for_every_head():
    def predict(x):
        return {"a": torch.stack([-x[:, 0], x[:, 0] - 2.5], -1), "b": torch.stack([x[:, 0], -x[:, 0] - 1], -1)}

    found = metrics.predictions(predict, batches(3, 1, 2), num_classes=2)
    assert found["a"].tolist() == [0, 0, 1, 1, 1, 1]  # -i against i - 2.5
    assert found["b"].tolist() == [0] * 6


def test_logits_that_are_not_numbers_never_predict_a_class():
    def predict(x):
        logits = torch.zeros(len(x), 3)
        logits[0] = math.nan
        logits[1, 2] = math.nan
        return {"a": logits}

    found = metrics.predictions(predict, batches(4), num_classes=3)["a"]
    assert found.tolist() == [-1, -1, 0, 0]
    assert metrics.correct(found, torch.zeros(4, dtype=torch.int64)) == 2


def test_logits_of_another_shape_are_refused_with_the_shape_that_is_due():
    with pytest.raises(ValueError, match=r"predict gave \(3, 2\) for head 'a', not \(3, 5\)"):
        metrics.predictions(lambda x: {"a": torch.zeros(len(x), 2)}, batches(3), num_classes=5)


def traces(*steps):
    collected = metrics.Traces(2, 6, torch.device("cpu"))
    for step, index in steps:
        collected.add(step, torch.tensor(index))
    return collected


GIVEN, CLEAN = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([0, 1, 2, 1, 2, 2])  # wrong at 3 and 4


def test_loss_and_scalars_are_means_over_the_steps():
    first = Step(torch.tensor([1.0, 2.0]), scalars={"threshold": 0.5, "a": torch.tensor(1.0)})
    second = Step(torch.tensor([3.0, 5.0]), scalars={"threshold": 0.7, "a": torch.tensor(4.0)})
    summary = traces((first, [0, 1]), (second, [2, 3])).summary(GIVEN, CLEAN)
    assert summary["loss"] == [2.0, 3.5]
    assert summary["scalars"] == {"a": 2.5, "threshold": pytest.approx(0.6)}
    assert (summary["selection"], summary["score_auc"], summary["correction"]) == ([], [], None)


def test_selection_counts_what_each_network_chose_and_how_much_of_it_is_labelled_right():
    first = Step(torch.zeros(2), selected=torch.tensor([[True, True], [False, True]]))
    second = Step(torch.zeros(2), selected=torch.tensor([[True, False, False], [True, True, True]]))
    # samples 3, 0 and then 4, 2, 1; sample 5 comes in no batch
    summary = traces((first, [3, 0]), (second, [4, 2, 1])).summary(GIVEN, CLEAN)
    assert summary["selection"] == [
        {"seen": 5, "selected": 3, "selected_right": 1},
        {"seen": 5, "selected": 4, "selected_right": 3},
    ]


def test_the_last_choice_of_an_epoch_counts():
    first = Step(torch.zeros(2), selected=torch.ones(2, 1, dtype=torch.bool))
    last = Step(torch.zeros(2), selected=torch.zeros(2, 1, dtype=torch.bool))
    assert traces((first, [0]), (last, [0])).summary(GIVEN, CLEAN)["selection"][0]["selected"] == 0


def test_scores_and_corrections_are_held_against_the_labels_by_index():
    score = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0]])
    label = torch.tensor([[0.1, 0.1, 0.8], [0.8, 0.1, 0.1], [0.2, 0.5, 0.3]])
    summary = traces((Step(torch.zeros(2), clean_score=score, relabelled=label), [0, 4, 3])).summary(GIVEN, CLEAN)
    # right: sample 0; wrong: 4 and 3.  Corrected to 2, 0, 1 where 0, 2, 1 are true
    assert summary["score_auc"] == [1.0, 0.0]
    assert summary["correction"] == {"seen": 3, "right": 1}


def test_a_loss_that_is_no_number_is_null_in_the_record_and_noticed():
    bad = traces((Step(torch.tensor([math.nan, 1.0]), scalars={"a": math.inf}), [0]))
    assert not bool(bad.finite)
    assert bad.summary(GIVEN, CLEAN)["loss"] == [None, 1.0]
    assert bad.summary(GIVEN, CLEAN)["scalars"] == {"a": None}
    assert bool(traces((Step(torch.ones(2)), [0])).finite)
    healed = traces((Step(torch.tensor([math.inf, 1.0])), [0]), (Step(torch.ones(2)), [1]))
    assert not bool(healed.finite)

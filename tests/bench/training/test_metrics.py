"""Counts and curves of a record, each by hand."""

import math

import pytest
import torch

from bench.training import metrics
from methods.base import Batch, Judgement, Step


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


def test_what_steps_say_is_gathered_in_tensors_that_stay_where_they_are():
    said = {
        "selected": torch.ones(2, 2, dtype=torch.bool),
        "clean_score": torch.ones(2, 2),
        "relabelled": torch.eye(2),
        "scalars": {"number": 0.5, "tensor": torch.tensor(1.0)},
    }
    collected = traces((Step(torch.ones(2), **said), [0, 1]))
    held = [value for part in (vars(collected), collected.seen, collected.scalars) for value in part.values()]
    tensors = [value for value in held if isinstance(value, torch.Tensor)]
    places = [tensor.data_ptr() for tensor in tensors]
    collected.add(Step(torch.ones(2), **said), torch.tensor([4, 5]))
    held = [value for part in (vars(collected), collected.seen, collected.scalars) for value in part.values()]
    assert len(tensors) == 10
    assert all(now is then for now, then in zip([v for v in held if isinstance(v, torch.Tensor)], tensors, strict=True))
    assert [tensor.data_ptr() for tensor in tensors] == places
    assert collected.seen["relabelled"].tolist() == [True, True, False, False, True, True]
    assert collected.counts == {0: 2, 1: 2, "number": 2, "tensor": 2}


def test_numbers_are_summed_in_double_precision_and_tensors_as_they_are():
    collected = traces(*((Step(torch.zeros(2), scalars={"a": 0.1, "b": torch.tensor(0.1)}), [0]) for _ in range(3)))
    total = 0.0
    for _ in range(3):
        total += 0.1
    assert float(collected.scalars["a"]) == total
    assert torch.equal(collected.scalars["b"], 0.0 + torch.tensor(0.1) + torch.tensor(0.1) + torch.tensor(0.1))
    whole = traces((Step(torch.zeros(2), scalars={"n": torch.tensor(3)}), [0]))
    assert (whole.scalars["n"].dtype, float(whole.scalars["n"])) == (torch.float32, 3.0)


def test_selection_counts_what_each_network_chose_and_how_much_of_it_is_labelled_right():
    first = Step(torch.zeros(2), selected=torch.tensor([[True, True], [False, True]]))
    second = Step(torch.zeros(2), selected=torch.tensor([[True, False, False], [True, True, True]]))
    # samples 3, 0 and then 4, 2, 1; sample 5 comes in no batch
    summary = traces((first, [3, 0]), (second, [4, 2, 1])).summary(GIVEN, CLEAN)
    assert summary["selection"] == [
        {"seen": 5, "selected": 3, "right_seen": 3, "selected_right": 1},  # right: 0, 1 and 2
        {"seen": 5, "selected": 4, "right_seen": 3, "selected_right": 3},
    ]
    unknown = traces((first, [3, 0])).summary(GIVEN, None)["selection"]
    assert unknown[0] == {"seen": 2, "selected": 2, "right_seen": None, "selected_right": None}


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
    parts = {"wrong_seen": 2, "wrong_corrected": 1, "right_seen": 1, "right_broken": 1}
    assert summary["correction"] == {"seen": 3, "right": 1, **parts}


def test_a_loss_that_is_no_number_is_null_in_the_record_and_noticed():
    bad = traces((Step(torch.tensor([math.nan, 1.0]), scalars={"a": math.inf}), [0]))
    assert not bool(bad.finite)
    assert bad.summary(GIVEN, CLEAN)["loss"] == [None, 1.0]
    assert bad.summary(GIVEN, CLEAN)["scalars"] == {"a": None}
    assert bool(traces((Step(torch.ones(2)), [0])).finite)
    healed = traces((Step(torch.tensor([math.inf, 1.0])), [0]), (Step(torch.ones(2)), [1]))
    assert not bool(healed.finite)


# labels given as new


def sure_of(*labels):
    return torch.nn.functional.one_hot(torch.tensor(labels), 3).float()


def test_a_label_is_mended_only_by_the_true_class_and_broken_by_any_other():
    # right: 0 1 2 5, wrong: 3 (0, is 1) and 4 (1, is 2)
    correction = traces((Step(torch.zeros(2), relabelled=sure_of(0, 2, 2, 1, 0)), [0, 1, 2, 3, 4]))
    assert correction.summary(GIVEN, CLEAN)["correction"] == {
        "seen": 5,
        "right": 3,
        "wrong_seen": 2,
        "wrong_corrected": 1,
        "right_seen": 3,
        "right_broken": 1,
    }


def test_foreign_images_are_neither_mended_nor_broken():
    clean = torch.tensor([0, -1, 2, 1, -1, 2])
    found = traces((Step(torch.zeros(2), relabelled=sure_of(1, 1, 0, 1)), [0, 1, 4, 3])).summary(GIVEN, clean)
    assert found["correction"] == {
        "seen": 4,
        "right": 1,
        "wrong_seen": 1,
        "wrong_corrected": 1,
        "right_seen": 1,
        "right_broken": 1,
    }


def test_a_new_label_that_is_no_number_is_no_class_not_even_of_a_foreign_image():
    clean = torch.tensor([0, -1, 2, 1, -1, 2])
    dead = torch.full((2, 3), math.nan)
    found = traces((Step(torch.zeros(2), relabelled=dead), [0, 1])).summary(GIVEN, clean)["correction"]
    assert (found["right"], found["right_broken"], found["wrong_seen"]) == (0, 1, 0)


def test_without_true_labels_a_correction_counts_what_was_seen_alone():
    found = traces((Step(torch.zeros(2), relabelled=sure_of(0, 1)), [0, 1])).summary(GIVEN, None)["correction"]
    assert found.pop("seen") == 2
    assert found == dict.fromkeys(("right", "wrong_seen", "wrong_corrected", "right_seen", "right_broken"))


# steps that train one network


def test_a_network_has_the_mean_loss_of_the_steps_that_trained_it():
    steps = [Step(torch.tensor([1.0, 9.0]), network=0), Step(torch.tensor([3.0, 9.0]), network=0)]
    steps.append(Step(torch.tensor([8.0, 5.0]), network=1))
    both = Step(torch.tensor([2.0, 7.0]))
    assert traces(*((step, [0]) for step in steps)).summary(GIVEN, CLEAN)["loss"] == [2.0, 5.0]
    assert traces(*((step, [0]) for step in [*steps, both])).summary(GIVEN, CLEAN)["loss"] == [2.0, 6.0]


def test_a_network_that_no_step_trained_has_no_loss():
    assert traces((Step(torch.tensor([1.0, 9.0]), network=0), [0])).summary(GIVEN, CLEAN)["loss"] == [1.0, None]
    assert traces().summary(GIVEN, CLEAN)["loss"] == [None, None]


def test_what_a_step_leaves_in_the_row_of_another_network_means_nothing():
    odd = Step(
        torch.tensor([1.0, math.nan]),
        selected=torch.tensor([[True, False], [True, True]]),
        clean_score=torch.tensor([[2.0, 1.0], [math.nan, math.nan]]),
        network=0,
    )
    other = Step(
        torch.zeros(2), selected=torch.tensor([[False], [True]]), clean_score=torch.tensor([[7.0], [3.0]]), network=1
    )
    collected = traces((odd, [0, 3]), (other, [0]))
    summary = collected.summary(GIVEN, CLEAN)
    assert bool(collected.finite)
    assert summary["selection"] == [
        {"seen": 2, "selected": 1, "right_seen": 1, "selected_right": 1},
        {"seen": 1, "selected": 1, "right_seen": 1, "selected_right": 1},
    ]
    assert summary["score_auc"] == [1.0, None]  # net2 saw a right label alone
    assert collected.seen["selected"].tolist() == [[True, False, False, True, False, False], [True] + [False] * 5]


def test_a_dead_loss_of_the_network_that_a_step_trains_is_noticed():
    assert not bool(traces((Step(torch.tensor([1.0, math.nan]), network=1), [0])).finite)


def test_a_scalar_is_the_mean_over_the_steps_that_gave_it():
    first = Step(torch.zeros(2), scalars={"threshold_1": 0.2}, network=0)
    second = Step(torch.zeros(2), scalars={"threshold_2": 0.6, "both": 1.0}, network=1)
    third = Step(torch.zeros(2), scalars={"threshold_2": 0.8, "both": 2.0}, network=1)
    summary = traces((first, [0]), (second, [0]), (third, [1])).summary(GIVEN, CLEAN)
    assert summary["scalars"] == pytest.approx({"threshold_1": 0.2, "threshold_2": 0.7, "both": 1.5})


@pytest.mark.parametrize("network", [2, -1])
def test_a_network_that_is_not_there_is_refused(network):
    with pytest.raises(ValueError, match=rf"Step\.network must be in \[0, 1\], got {network}"):
        traces((Step(torch.zeros(2), network=network), [0]))


# what a method holds of all samples


def test_a_judgement_takes_the_place_of_what_the_steps_said():
    step = Step(torch.zeros(2), selected=torch.tensor([[True], [True]]), relabelled=sure_of(2))
    collected = traces((step, [5]))
    collected.judge(Judgement(selected=torch.tensor([[True, False, False, True, False, False], [True] * 6])))
    summary = collected.summary(GIVEN, CLEAN)
    assert summary["selection"] == [
        {"seen": 6, "selected": 2, "right_seen": 4, "selected_right": 1},
        {"seen": 6, "selected": 6, "right_seen": 4, "selected_right": 4},
    ]
    assert summary["correction"]["seen"] == 1  # of which the judgement says nothing
    assert summary["score_auc"] == []


def test_scores_and_labels_of_a_judgement_are_held_against_all_samples():
    collected = traces()
    score = torch.tensor([[5.0, 5, 5, 0, 0, 5], [0, 0, 0, 1, 1, 0]], requires_grad=True)
    collected.judge(Judgement(clean_score=score, relabelled=sure_of(0, 1, 2, 1, 2, 0)))
    summary = collected.summary(GIVEN, CLEAN)
    assert summary["score_auc"] == [1.0, 0.0]
    parts = {"wrong_seen": 2, "wrong_corrected": 2, "right_seen": 4, "right_broken": 1}
    assert summary["correction"] == {"seen": 6, "right": 5, **parts}


def test_a_judgement_is_copied():
    chosen = torch.zeros(2, 6, dtype=torch.bool)
    collected = traces()
    collected.judge(Judgement(selected=chosen))
    chosen.fill_(True)
    assert collected.summary(GIVEN, CLEAN)["selection"][0]["selected"] == 0


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("selected", torch.ones(6, dtype=torch.bool), r"selected must have the shape \(2, 6\), got \(6,\)"),
        ("selected", torch.ones(1, 6, dtype=torch.bool), r"selected must have the shape \(2, 6\), got \(1, 6\)"),
        ("clean_score", torch.ones(2, 5), r"clean_score must have the shape \(2, 6\), got \(2, 5\)"),
        ("relabelled", torch.ones(5, 3), r"relabelled must have the shape \(6, C\), got \(5, 3\)"),
        ("relabelled", torch.ones(6), r"relabelled must have the shape \(6, C\), got \(6,\)"),
    ],
)
def test_a_judgement_of_another_shape_is_refused_with_its_field(field, value, message):
    with pytest.raises(ValueError, match=rf"Judgement\.{message}"):
        traces().judge(Judgement(**{field: value}))


def test_an_estimated_matrix_is_told_by_diagonal_condition_and_distance_from_the_noises_own():
    found = torch.tensor([[0.8, 0.2], [0.4, 0.6]])
    told = metrics.transition(found, torch.tensor([[0.9, 0.1], [0.1, 0.9]]))
    assert told["diagonal"] == pytest.approx(0.7)
    assert told["error"] == pytest.approx(0.5 * (0.2 + 0.6))
    assert told["condition"] == pytest.approx(2.618034, rel=1e-5)  # singular values: squares sum to 1.2, product .4
    assert metrics.transition(found, None)["error"] is None

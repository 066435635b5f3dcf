"""Selection rules by hand, and which runs may be averaged."""

import random
from collections import Counter

import pandas as pd
import pytest

from bench.evidence import recount
from bench.evidence.grouping import group
from bench.evidence.records import NETWORKS, RULES, accuracy, frame, noise_text, summary


def test_each_rule_picks_its_own_epoch(make):
    run = make(test=(10, 80, 60, 70), val_noisy=[1, 5, 9, 9], val_clean=[9, 9, 1, 1])
    assert accuracy(run, "last") == 0.70
    assert accuracy(run, "noisy_val") == 0.60  # the first of two maxima
    assert accuracy(run, "clean_val") == 0.10
    assert accuracy(run, "oracle") == 0.80
    assert accuracy(run, "last10") == pytest.approx(0.55)  # all four: fewer than ten


def test_last10_is_the_mean_of_the_last_ten_epochs(make):
    assert accuracy(make(test=[100, 100, *range(1, 11)]), "last10") == pytest.approx(0.055)


def test_rules_are_applied_per_head_and_then_averaged(make):
    run = make(heads={"net1": [90, 50], "net2": [40, 60], "ensemble": [95, 97]}, headline=["net1", "net2"], networks=2)
    assert accuracy(run, "last") == 0.55
    assert accuracy(run, "oracle") == 0.75  # (90 + 60) / 2: one epoch for both would give 65
    assert accuracy(run, "last", "ensemble") == 0.97
    assert accuracy(run, "last", "net2") == 0.60


def test_the_ensemble_of_one_network_is_that_network_and_other_heads_are_missing(make):
    assert accuracy(make(test=(30, 40)), "last", "ensemble") == 0.40
    assert accuracy(make(test=(30, 40)), "last", "net2") is None


def test_a_rule_without_its_validation_samples_has_no_number(make):
    assert accuracy(make(val_total=0), "noisy_val") is None
    assert accuracy(make(val_clean=[None, None, None]), "clean_val") is None
    assert [accuracy(make(test=()), rule) for rule in RULES] == [None] * 5  # nor is there one before the first epoch


def test_every_rule_of_every_head_gives_the_number_of_the_second_road_and_so_does_a_summary(make):
    """Counts of few sizes, so that epochs tie; some are unknown, and some splits are empty."""
    draw, known = random.Random(0), Counter()
    for _ in range(150):
        networks, epochs = draw.randint(1, 3), draw.randint(1, 13)
        names = [f"net{number + 1}" for number in range(networks)] + ["ensemble"]
        heads = draw.sample(names, draw.randint(1, len(names)))
        run = make(
            heads={head: draw.choices(range(4), k=epochs) for head in heads},
            headline=draw.sample(heads, draw.randint(1, len(heads))),
            networks=networks,
            val_total=draw.choice([0, 50, 50]),
            train={"epochs": epochs},
        )
        for epoch in run["history"]:
            for counts in epoch["heads"].values():
                counts |= {"val_noisy": draw.randrange(4), "val_clean": draw.choice([*range(4)] * 20 + [None])}
        run["totals"] |= draw.choice([{}, {"val_clean": 0}, {"val_clean": 40}])
        counted = recount.brief(recount.Record(run, {}, "")).scores
        for rule in RULES:
            for head in ("headline", "ensemble", NETWORKS, *heads):
                value = counted[rule, head]
                expected = None if value is None else pytest.approx(float(value))
                assert accuracy(run, rule, head) == accuracy(summary(run), rule, head) == expected
                known[rule, value is None] += 1
    assert min(known.values()) > 20


def test_an_unknown_rule_names_the_rules(make):
    with pytest.raises(ValueError, match=r"unknown selection rule 'best'; allowed: last, last10, noisy_val"):
        accuracy(make(), "best")


def test_rates_are_exact_in_column_labels_and_unusual_choices_are_shown():
    assert noise_text({"family": "symmetric", "rate": 0.57, "dialect": "native", "flips": "exact"}) == "symmetric 57%"
    assert noise_text({"family": "symmetric", "rate": 0.575}) == "symmetric 57.5%"
    assert noise_text({"family": "pairflip", "rate": 0.0}) == "pairflip 0%"
    odd = {"family": "instance", "rate": 0.2, "flips": "iid", "options": {"std": 0.2}, "seed": 3}
    assert noise_text(odd) == "instance 20% (iid, std=0.2)"


def test_the_frame_has_a_row_per_run_rule_and_head(make):
    table = frame([make(seed=0), make(seed=1, networks=2)])
    assert len(table) == 5 * 2 + 5 * 3
    last = table[(table["rule"] == "last") & (table["head"] == "headline")]
    assert last["accuracy"].tolist() == [0.70, 0.70]
    assert table["run_id"].nunique() == 2
    assert frame([]).empty


def test_f82_a_run_given_twice_is_refused(make):
    with pytest.raises(ValueError, match="is given twice"):
        frame([make(), make()])


def test_f83_ids_survive_csv(make, tmp_path):
    run = make()
    run["run_id"], run["noise_id"] = "r00123e5", "NA"
    frame([run]).to_csv(tmp_path / "t.csv", index=False)
    back = pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)
    assert set(back["run_id"]) == {"r00123e5"}
    assert set(back["noise_id"]) == {"NA"}


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({"protocol": 2}, "protocol=2"),
        ({"code": "e" * 16}, "code=eeeeeeee"),
        ({"dataset": {"digest": "f" * 64}}, "digest=ffffffff"),
        ({"dataset": {"val": 0.2}}, "val=0.2"),
        ({"train": {"epochs": 3, "schedule": {"name": "cosine", "warmup": 2}}}, "schedule.warmup=2"),
        ({"train": {"epochs": 3, "network": "large"}}, "network=large"),
        ({"params": {"beta": 0.5}}, "beta=0.5"),
    ],
)
def test_f88_runs_that_differ_are_split_and_the_key_is_named(make, change, label):
    grouped = group([make(seed=0), make(seed=1, **change)])
    assert len(grouped.groups) == 2
    assert f"ce [{label}]" in [row.label for row in grouped.groups]
    assert any("which are not averaged" in note and label.split("=")[0] in note for note in grouped.notes)


def test_keys_that_differ_stand_in_the_order_of_their_names(make):
    runs = [make(seed=0), make(seed=1, train={"network": "large", "epochs": 3}, dataset={"val": 0.2})]
    runs += [make(seed=0, train={"epochs": 3, "batch_size": 8}, noise={"rate": 0.2}), make(seed=1, noise={"rate": 0.2})]
    labels = [row.label for row in group(runs).groups]
    keys = [[part.partition("=")[0] for part in label[len("ce [") : -1].split(", ")] for label in labels]
    assert keys == [["val", "batch_size", "network"]] * 3  # dataset.val, train.batch_size, train.network


def test_rows_of_equal_settings_and_labels_have_no_notes(make):
    runs = [make(m, s, noise={"rate": rate}) for m in ("ce", "dml") for s in range(2) for rate in (0.2, 0.5)]
    assert group(runs).notes == []
    more = [make("gce", 0, (1, 2, 3, 4), noise={"rate": rate}) for rate in (0.2, 0.5)]
    assert group(runs + more).notes == ["rows differ in epochs: 3 (ce, dml); 4 (gce)"]  # once for both columns


def test_f88_unequal_labels_in_one_row_are_refused(make):
    config = make.config(seed=0, noise={"seed": 5}, train={"epochs": 3})
    one, two = make(seed=0, noise={"seed": 5}), make(seed=1, noise={"seed": 5}, noise_id="nother")
    assert one["config"] == config
    with pytest.raises(ValueError, match=r"ce, symmetric 50%, noise seed 5: runs differ in noise_id"):
        group([one, two])


def test_f88_rows_with_other_labels_are_named_and_not_paired(make):
    grouped = group([make("ce"), make("dml", noise_id="nother")])
    assert any("differ in noise_id and are not paired" in note and "nother (dml)" in note for note in grouped.notes)


def test_a_number_and_a_word_are_two_settings(make):
    assert len(group([make(seed=0, params={"beta": 1}), make(seed=1, params={"beta": "1"})]).groups) == 2


def test_schema_differences_split(make):
    other = make(seed=1)
    other["schema"] = 2
    assert [row.label for row in group([make(seed=0), other]).groups] == ["ce [schema=1]", "ce [schema=2]"]


def test_planned_runs_join_the_row_they_belong_to(make):
    planned = make.config(seed=2, train={"epochs": 3})
    grouped = group([make(seed=0), make(seed=1, code="e" * 16)], expected={make.run_id(planned): planned})
    assert [row.planned(grouped.columns[0]) for row in grouped.groups] == [2, 1]


def test_settings_tuned_per_column_stay_one_row_and_are_named(make):
    runs = [make(params={"beta": 1}), make(params={"beta": 2}, noise={"rate": 0.2})]
    grouped = group(runs)
    assert [row.label for row in grouped.groups] == ["ce"]
    assert any("beta is set per column: " in note for note in grouped.notes)


def test_parameters_that_are_not_the_defaults_are_in_the_label(make):
    grouped = group([make(params={"beta": 2, "gamma": 1.0})], defaults={"ce": {"beta": 1, "gamma": 1}})
    assert grouped.groups[0].label == "ce [beta=2]"


def test_order_is_the_callers_and_then_the_plans(make):
    runs = [make("b", noise={"rate": 0.2}), make("a"), make("c")]
    grouped = group(runs, methods=["c"], columns=["symmetric 50%"])
    assert [row.label for row in grouped.groups] == ["c", "a", "b"]
    assert grouped.columns == [("digits", "symmetric 50%"), ("digits", "symmetric 20%")]


def test_rows_of_one_table_that_differ_in_training_say_so(make):
    grouped = group([make("ce"), make("dml", test=(1, 2, 3, 4))])
    assert "rows differ in epochs: 3 (ce); 4 (dml)" in grouped.notes

"""What records tell beside accuracy, each share by hand; older records tell less and break nothing."""

import copy

import pandas as pd
import pytest

from bench.evidence import diagnostics, plots
from bench.evidence.records import accuracy
from bench.evidence.tables import accuracy_table

MENDED = {"seen": 90, "right": 55, "wrong_seen": 40, "wrong_corrected": 10, "right_seen": 50, "right_broken": 5}


def diagnosed(run):
    """A run of two networks and an ensemble whose epochs hold everything; counts differ by network and epoch."""
    for e, epoch in enumerate(run["history"]):
        epoch["calibration"] = {
            head: {"ece": 0.1 * (e + 1) + 0.02 * h, "nll": 1.0 + h} for h, head in enumerate(run["heads"])
        }
        epoch["selection"] = [
            {"seen": 100, "selected": 50, "right_seen": 40, "selected_right": 30},
            {"seen": 100, "selected": 30, "right_seen": 40, "selected_right": 18},
        ]
        epoch["score_auc"] = [0.75, 0.85]
        epoch["correction"] = dict(MENDED)
    return run


@pytest.fixture
def run(make):
    heads = {"ensemble": [50, 60], "net1": [50, 60], "net2": [50, 60]}
    return diagnosed(make("both", heads=heads, headline=["net1", "net2"], networks=2))


def older(run):
    """The same run as it was recorded before the later diagnostics."""
    old = copy.deepcopy(run)
    for epoch in old["history"]:
        del epoch["calibration"]
        epoch["correction"] = {"seen": 90, "right": 55}
        for counts in epoch["selection"]:
            del counts["right_seen"]
    return old


def test_each_number_is_a_share_of_its_own_whole(run):
    found = diagnostics.of_head(run, run["history"][1], "net1")
    assert found == {
        "test": 0.60,
        "right_fit": 0.8,  # 40 of 100 - 50
        "wrong_fit": 0.22,  # 11 of 50
        "wrong_recovered": 0.38,
        "ece": pytest.approx(0.22),
        "nll": 2.0,
        "selected": 0.5,
        "precision": 0.6,
        "recall": 0.75,
        "auc": 0.75,
        "corrected": 0.25,
        "broken": 0.1,
    }
    second = diagnostics.of_head(run, run["history"][1], "net2")
    assert (second["selected"], second["precision"], second["recall"], second["auc"]) == (0.3, 0.6, 0.45, 0.85)


def test_a_head_that_is_no_network_has_selected_nothing(run):
    found = diagnostics.of_head(run, run["history"][0], "ensemble")
    assert [found[name] for name in ("selected", "precision", "recall", "auc")] == [None] * 4
    assert found["ece"] == pytest.approx(0.1)


def test_foreign_images_are_no_right_labels(run):
    run["totals"]["trace_foreign"] = 10
    assert diagnostics.of_head(run, run["history"][0], "net1")["right_fit"] == 1.0  # 40 of 100 - 50 - 10


def test_what_an_older_record_lacks_is_unknown(run):
    found = diagnostics.of_head(older(run), older(run)["history"][1], "net1")
    unknown = {name for name, value in found.items() if value is None}
    assert unknown == {"ece", "nll", "recall", "corrected", "broken"}
    assert found["precision"] == 0.6


def test_without_true_labels_nothing_that_needs_them_is_told(run):
    run["totals"]["trace_wrong"] = None
    for epoch in run["history"]:
        for counts in epoch["heads"].values():
            counts.update(right_fit=None, wrong_fit=None, wrong_recovered=None)
        for counts in epoch["selection"]:
            counts.update(right_seen=None, selected_right=None)
        epoch.update(score_auc=[], correction={**dict.fromkeys(MENDED), "seen": 90})
    found = diagnostics.of_head(run, run["history"][0], "net1")
    assert {name for name, value in found.items() if value is not None} == {"test", "ece", "nll", "selected"}
    assert [panel.get_ylabel() for panel in plots.diagnostics([run]).axes] == ["calibration error\non test, %"]


def test_there_is_a_row_for_every_epoch_and_head(run, make):
    table = pd.DataFrame(diagnostics.rows([run, make(seed=1, test=(10, 20, 30))]))
    assert len(table) == 2 * 3 + 3
    last = table[(table["method"] == "both") & (table["epoch"] == 2) & (table["head"] == "net2")]
    assert last["recall"].tolist() == [0.45]
    assert table["run_id"].nunique() == 2
    with pytest.raises(ValueError, match="is given twice"):
        list(diagnostics.rows([run, run]))


def curves(figure):
    return {panel.get_ylabel().replace("\n", " "): panel.lines[0].get_ydata().tolist() for panel in figure.axes}


def test_the_figure_has_a_row_for_each_of_the_five(run):
    assert curves(plots.diagnostics([run])) == {
        "calibration error on test, %": pytest.approx([13, 23]),  # the mean of net1 and net2, not of the ensemble
        "precision: selected with a correct label, %": pytest.approx([60, 60]),  # 48 of 80 over both networks
        "recall: correct labels that are selected, %": pytest.approx([60, 60]),  # 48 of 80
        "area under ROC curve of the clean score": pytest.approx([0.8, 0.8]),
        "wrong labels replaced by the true class, %": pytest.approx([25, 25]),
    }


def test_rows_without_data_and_methods_without_any_are_left_out(run, make):
    plain = make("plain", test=(10, 20))
    for e, epoch in enumerate(plain["history"]):
        epoch["calibration"] = {"net1": {"ece": 0.3 if e else None, "nll": None}}
    figure = plots.diagnostics([plain])
    assert list(curves(figure)) == ["calibration error on test, %"]
    assert figure.axes[0].lines[0].get_ydata()[1] == pytest.approx(30)
    both = plots.diagnostics([plain, run])
    assert [len(panel.lines) for panel in both.axes] == [2, 1, 1, 1, 1]


def test_a_share_of_too_few_samples_is_not_drawn(run):
    for epoch in run["history"]:
        epoch["correction"] = {**MENDED, "wrong_seen": 9, "wrong_corrected": 3}
    assert "wrong labels replaced by the true class, %" not in curves(plots.diagnostics([run]))


def test_older_records_stay_readable_in_tables_and_plots(run, make):
    old = older(run)
    assert accuracy(old) == 0.60
    assert accuracy_table([old, diagnosed(make("both", seed=1, networks=2, test=(40, 50)))]).rows
    assert len(plots.selection([old]).axes) == 2
    shown = curves(plots.diagnostics([old]))
    assert list(shown) == ["precision: selected with a correct label, %", "area under ROC curve of the clean score"]
    with pytest.raises(plots.Nothing, match="no run recorded calibration, selection or correction"):
        plots.diagnostics([make(test=(10, 20))])


def test_the_figure_repeats_byte_for_byte(run):
    one, other = plots.save(plots.diagnostics([run])), plots.save(plots.diagnostics([copy.deepcopy(run)]))
    assert one == other
    assert one[".png"].startswith(b"\x89PNG")

"""Figures show what the records say, and repeat byte for byte."""

import hashlib
import json
import subprocess
import sys

import pytest

from bench.evidence import plots


@pytest.fixture
def runs(make):
    return [make(m, s, (10 + s, 20, x + s)) for m, x in (("a", 30), ("b", 60)) for s in range(3)]


def line(figure, panel=0, number=0):
    return [round(float(y), 6) for y in figure.axes[panel].lines[number].get_ydata()]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_line_is_the_mean_over_seeds_in_percent(runs):
    figure = plots.accuracy_over_epochs(runs)
    assert line(figure) == [11, 20, 31]
    assert figure.axes[0].get_ylabel() == "accuracy on test, %"
    assert figure.axes[0].get_xlabel() == "epoch"


def test_the_band_is_one_sample_sd(runs):
    band = plots.accuracy_over_epochs(runs).axes[0].collections[0].get_paths()[0].vertices
    first = band[band[:, 0] == 1][:, 1]
    assert (first.min(), first.max()) == (pytest.approx(10), pytest.approx(12))  # the sd of 10 11 12 is 1


def test_the_legend_lists_the_highest_final_value_first(runs):
    assert legend(plots.accuracy_over_epochs(runs)) == ["b", "a"]


def test_runs_that_cannot_be_averaged_are_two_lines(make):
    figure = plots.accuracy_over_epochs([make(seed=0), make(seed=1, protocol=2)])
    assert sorted(legend(figure)) == ["ce [protocol=1]", "ce [protocol=2]"]


def test_a_diverged_run_ends_with_a_cross_and_leaves_the_others_going(make):
    runs = [make(seed=0, test=(10, 20, 30)), make(seed=1, test=(30, 10), train={"epochs": 3}, diverged=True)]
    figure = plots.accuracy_over_epochs(runs)
    assert line(figure) == [20, 15, 30]
    cross = figure.axes[0].lines[1]
    assert (cross.get_marker(), list(cross.get_xdata()), list(cross.get_ydata())) == ("x", [2], [10])


def test_memorised_and_recovered_are_shares_of_the_wrong_labels(make):
    figure = plots.memorisation([make()])
    assert line(figure, 0) == [20, 22, 24]  # 10, 11, 12 of 50
    assert line(figure, 1) == [40, 38, 36]


def test_columns_without_wrong_labels_are_left_out(make):
    clean = make(noise={"rate": 0.0})
    clean["totals"] = clean["totals"] | {"trace_wrong": 0}
    assert [axes.get_title() for axes in plots.memorisation([clean, make()]).axes] == ["symmetric 50%", ""]
    with pytest.raises(plots.Nothing, match="no run has training labels that are known to be wrong"):
        plots.memorisation([clean])


def with_selection(run):
    for e, epoch in enumerate(run["history"]):
        epoch["selection"] = [{"seen": 100, "selected": 50 + e, "selected_right": 25}] * 2
        epoch["knowledge"] = [{"open": 10 * e, "open_right": 8 * e, "shut": 20, "shut_right": 5}] * 2
        epoch["scalars"] = {"threshold": 0.9 - e / 10}
    return run


def test_selection_shows_share_threshold_and_knowledge(make):
    figure = plots.selection([with_selection(make("picky")), make("plain")])
    assert legend(figure) == ["picky"]
    share, precision, threshold, taken, refused = figure.axes
    assert list(share.lines[0].get_ydata()) == pytest.approx([50, 51, 52])
    assert precision.lines[0].get_ydata()[0] == pytest.approx(50)
    assert list(threshold.lines[0].get_ydata()) == pytest.approx([0.9, 0.8, 0.7])
    assert list(taken.lines[0].get_ydata())[1:] == pytest.approx([80, 80])  # nothing was taken in epoch 1: a gap
    assert list(refused.lines[0].get_ydata()) == pytest.approx([25, 25, 25])


def test_where_the_true_labels_are_unknown_the_share_selected_is_still_shown(make):
    run = with_selection(make())
    for epoch in run["history"]:
        for network in epoch["selection"]:
            network["selected_right"] = None
        for network in epoch["knowledge"]:
            network["open_right"] = network["shut_right"] = None
    labels = [axes.get_ylabel() for axes in plots.selection([run]).axes]
    assert labels == ["samples selected, %", "threshold"]


def test_without_anything_to_show_there_is_no_figure_but_a_reason(make):
    with pytest.raises(plots.Nothing, match="no method here selects samples or knowledge"):
        plots.selection([make()])
    with pytest.raises(plots.Nothing, match="no finished run has an accuracy on test"):
        plots.accuracy_over_epochs([])


def test_twelve_rows_have_twelve_looks():
    assert len({plots.style_of(i) for i in range(12)}) == 12


def test_f84_names_are_escaped_in_svg(make):
    svg = plots.save(plots.accuracy_over_epochs([make("<script>$x$</script>")]))[".svg"].decode()
    assert "<script" not in svg
    assert ">&lt;script&gt;$x$&lt;/script&gt;</text>" in svg  # dollars are no formula


def test_two_processes_write_the_same_bytes(runs, tmp_path):
    (tmp_path / "runs.json").write_text(json.dumps(runs))
    code = (
        "import hashlib, json, sys; from bench.evidence import plots; runs = json.load(open(sys.argv[1]));"
        "files = plots.save(plots.accuracy_over_epochs(runs));"
        "print([hashlib.sha256(files[s]).hexdigest() for s in ('.png', '.svg')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "runs.json"], capture_output=True, text=True, check=True
    )
    figure = plots.accuracy_over_epochs(runs)
    for files in (plots.save(figure), plots.save(figure)):
        assert done.stdout.strip() == str([hashlib.sha256(files[s]).hexdigest() for s in (".png", ".svg")])
    assert b"<text" in files[".svg"]
    assert b"<dc:date>" not in files[".svg"]


def test_matplotlibs_settings_are_left_alone(runs):
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots.save(plots.accuracy_over_epochs(runs))
    assert dict(matplotlib.rcParams) == before


def test_a_band_stays_within_what_a_share_can_be(make):
    runs = [make(seed=0, test=(0,)), make(seed=1, test=(100,))]
    band = plots.accuracy_over_epochs(runs).axes[0].collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (0, 100)


def test_a_share_of_too_few_samples_is_not_drawn(make):
    run = with_selection(make())
    for epoch in run["history"]:
        for network in epoch["knowledge"]:
            network.update(shut=4, shut_right=0)  # 8 over both networks
    labels = [axes.get_ylabel() for axes in plots.selection([run]).axes]
    assert "predictions right\namong the selected, %" in labels
    assert "predictions right\namong the others, %" not in labels

"""Matrices and histograms from counts, and what holds for the files of every figure."""

import copy
import io
import re
import time
import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from bench.evidence import heatmap, plots
from bench.evidence.curves import traced
from bench.evidence.grouping import group
from bench.evidence.plots import canvas
from bench.evidence.plots.confidence import BINS, added, confidence, counted
from bench.evidence.plots.looks import RC
from bench.evidence.plots.matrices import Matrix, confusion, transition

SPECIAL = r"<b>&amp; $x_1$ 100% #1 {a} \foo~^"


def said(figure):
    return " ".join(figure.get_supxlabel().split())


def test_a_matrix_holds_shares_of_the_true_class(make):
    counts = np.array([[8, 2, 0], [0, 5, 5]])
    figure = confusion([Matrix("ce", counts, "65.0 % right")], "symmetric 50%")
    panel = figure.axes[0]
    assert panel.images[0].get_array().tolist() == [[None, 20.0], [0.0, None]]
    assert [text.get_text() for text in panel.texts] == ["80", "20", "50"]  # what was no class counts, and has no cell
    assert panel.get_title() == "ce\n65.0 % right"
    assert said(figure).startswith("symmetric 50%: share of the true class predicted so on test, in %")


def test_panels_share_the_scale_of_their_colours():
    few, many = np.array([[9, 1], [1, 9]]), np.array([[2, 8], [5, 5]])
    figure = transition([Matrix("a", few, ""), Matrix("b", many, "")])
    assert {panel.images[0].get_clim() for panel in figure.axes[:2]} == {(0.0, 80.0)}
    assert [panel.get_title().split("\n")[0] for panel in figure.axes[:2]] == ["a", "b"]


def test_a_hundred_classes_have_no_numbers_and_a_diagonal_alone_no_scale():
    figure = transition([Matrix("a", np.eye(100, dtype=int) * 5, "")])
    assert not figure.axes[0].texts
    assert heatmap.top(heatmap.shares(np.eye(3))) == 1.0
    with pytest.raises(plots.Nothing):
        transition([])


def test_confidences_are_counted_by_kind_and_summed_over_runs():
    values = np.array([[0.02, 0.97, 1.0, 0.5, np.nan], [0.02, 0.02, 0.02, 0.5, 0.5]])
    right = np.array([True, True, False, False, True])
    one = counted(values, right, ~right, 3)
    assert (one.right[0], one.right[10], one.right[-1]) == (3, 1, 1)
    assert (one.wrong[0], one.wrong[10], one.wrong[-1]) == (1, 2, 1)
    assert len(one.right) == BINS
    both = added(one, one)
    assert (both.right.sum(), both.runs, both.epochs) == (10, 2, {3})


def test_a_histogram_is_the_share_of_its_own_kind():
    right = np.array([True, True, True, True, False])
    one = counted(np.array([[0.1, 0.1, 0.1, 0.9, 0.9]]), right, ~right, 5)
    figure = confidence({"ce": one, "elr": one}, "pairflip 45%")
    panel = figure.axes[0]
    of_right, of_wrong = (patch.get_data().values for patch in panel.patches)
    assert (of_right[2], of_right[18], of_wrong[18]) == (75, 25, 100)
    assert panel.get_ylim()[1] >= 100
    assert said(figure).startswith("pairflip 45%: training samples by the confidence")
    assert "after epoch 5" in said(figure)


def test_a_kind_without_a_sample_is_drawn_as_nothing():
    right = np.ones(3, dtype=bool)
    figure = confidence({"ce": counted(np.full((1, 3), 0.5), right, ~right, 1)}, "none")
    assert figure.axes[0].patches[1].get_data().values.tolist() == [0] * BINS
    with pytest.raises(plots.Nothing):
        confidence({}, "none")


# --- of every figure


def full(make, method, seed, rate, top, epochs=3, **more):
    """A run whose record holds all that a plot can show."""
    test = [top // 3, top // 2, *[top] * (epochs - 3), top + seed % 7]
    run = make(method, seed, test, noise={"rate": rate}, **more)
    for epoch in run["history"]:
        epoch["calibration"] = {head: {"ece": 0.1, "nll": 1.0} for head in run["heads"]}
        epoch["selection"] = [{"seen": 100, "selected": 50, "right_seen": 60, "selected_right": 40}]
        epoch["knowledge"] = [{"open": 50, "open_right": 40, "shut": 20, "shut_right": 5}]
        epoch["scalars"] = {"threshold": 0.5}
    return run


@pytest.fixture
def runs(make):
    """Three methods, one of them tuned and with a name of odd characters; one diverged, one without its spread."""
    tops = {"ce": 50, "elr": 60}
    made = [full(make, m, s, r, top) for m, top in tops.items() for r in (0.2, 0.4, 0.6) for s in range(2)]
    made += [full(make, SPECIAL, 0, r, 45, params={"lam": lam}) for r in (0.2, 0.4, 0.6) for lam in (1, 2)]
    return made


RECORDS = {
    name: getattr(plots, name)
    for name in (
        *("accuracy_over_epochs", "memorisation", "selection", "diagnostics", "rate", "cost"),
        *("critical_difference", "sensitivity"),
    )
}

BYTES = [name for name in RECORDS if name not in ("selection", "diagnostics")]  # drawn as memorisation is


@pytest.mark.parametrize("draw", [RECORDS[name] for name in BYTES], ids=BYTES)
def test_equal_records_give_equal_bytes_without_a_warning(draw, runs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = canvas.save(draw(runs), ("png", "svg", "pdf"))
        slim = [traced(run) for run in copy.deepcopy(runs)]
        assert canvas.save(draw(group(slim)), ("png", "svg", "pdf")) == first
    assert first[".png"].startswith(b"\x89PNG")
    assert first[".pdf"].startswith(b"%PDF")
    assert b"<dc:date>" not in first[".svg"]
    for word in (b"CreationDate", b"/Producer", b"/Creator"):
        assert word not in first[".pdf"]
    assert b"/Type3" not in first[".pdf"]
    assert b"/FontFile2" in first[".pdf"]  # TrueType


def test_files_are_those_of_matplotlibs_own_way_of_saving_in_whatever_order():
    def draw():
        return confusion([Matrix("one", np.arange(30).reshape(5, 6), "some of it")], "a column")

    expected = {}
    with mpl.rc_context(RC):
        figure = draw()
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine("none")
        for form in ("png", "svg", "pdf"):
            out = io.BytesIO()
            figure.savefig(out, format=form, metadata=canvas.METADATA[form])
            expected[f".{form}"] = out.getvalue()
    for order in (("png", "svg", "pdf"), ("svg", "png", "pdf"), ("pdf", "svg", "png")):
        assert canvas.save(draw(), order) == expected


@pytest.mark.parametrize("draw", [RECORDS[name] for name in BYTES], ids=BYTES)
def test_names_are_text_and_nothing_else(draw, runs):
    svg = canvas.save(draw(runs), ("svg",))[".svg"].decode()
    assert "<b>" not in svg
    assert "&lt;b&gt;&amp;amp;" in svg
    assert "$x_1$" in svg  # no formula


@pytest.mark.parametrize("count", [1, 26])
def test_a_legend_covers_no_panel_and_stays_within_the_figure(make, count):
    runs = [make(f"method_number_{k}", 0, (40, 50 + k), noise={"rate": r}) for k in range(count) for r in (0.2, 0.4)]
    for draw in (plots.accuracy_over_epochs, plots.rate, plots.cost):
        figure = draw(runs)
        canvas.save(figure, ("svg",))
        (legend,) = figure.legends
        box, whole = legend.get_window_extent(), figure.bbox
        assert not any(box.overlaps(panel.get_tightbbox()) for panel in figure.axes)
        assert whole.x0 <= box.x0 <= box.x1 <= whole.x1 + 1
        assert whole.y0 <= box.y0 <= box.y1 <= whole.y1 + 1


def test_text_is_of_the_sizes_of_print(runs):
    sizes = {text.get_fontsize() for draw in RECORDS.values() for text in draw(runs).findobj(match=_is_text)}
    assert 6.5 <= min(sizes) <= max(sizes) <= 8


def _is_text(artist):
    return isinstance(artist, Text) and bool(str(artist.get_text()).strip())


def test_long_names_are_broken_in_the_legend_and_stay_whole(make):
    figure = plots.accuracy_over_epochs([make("a_long_name_" * 8)])
    (text,) = figure.legends[0].get_texts()
    assert all(len(line) <= canvas.LONGEST for line in text.get_text().split("\n"))
    assert re.sub(r"\s", "", text.get_text()) == "a_long_name_" * 8


def test_many_rows_have_no_bands_and_say_so(make):
    few = plots.accuracy_over_epochs([make(f"m{k}", s) for k in range(12) for s in (0, 1)])
    many = plots.accuracy_over_epochs([make(f"m{k}", s) for k in range(13) for s in (0, 1)])
    assert (len(few.axes[0].collections), len(many.axes[0].collections)) == (12, 0)
    assert said(few) == "line: mean of 2 runs; band: one sample sd"
    assert said(many) == "line: mean of 2 runs; no bands, for there are many rows"


def test_epochs_that_tell_of_fewer_runs_than_others_are_counted(make):
    runs = [full(make, "a", s, 0.4, 60) for s in range(3)]
    assert said(plots.selection(runs)).startswith("line: mean of 3 runs;")
    runs[0]["history"][1]["selection"] = []
    assert said(plots.selection(runs)).startswith("line: mean of 2 to 3 runs;")


def test_missing_runs_are_told(make):
    runs = [make(seed=s) for s in range(3)]
    planned = {run["run_id"]: run["config"] for run in runs}
    assert said(plots.accuracy_over_epochs(group(runs[:2], expected=planned))).startswith(
        "line: mean of 2 runs (1 of 3 planned runs are missing)"
    )


def test_one_epoch_is_a_point_with_a_bar(make):
    figure = plots.accuracy_over_epochs([make(seed=s, test=(50 + 2 * s,)) for s in range(2)])
    (panel,) = figure.axes
    assert panel.get_xticks().tolist() == [1]
    bar = panel.collections[1].get_segments()[0]
    assert bar[:, 1].tolist() == pytest.approx([51 - 2**0.5, 51 + 2**0.5])
    assert "bar: one sample sd" in said(figure)


def test_what_is_not_a_number_is_a_gap(make):
    run = full(make, "a", 0, 0.4, 60)
    for epoch, value in zip(run["history"], (float("nan"), 0.3, float("inf")), strict=True):
        epoch["scalars"] = {"threshold": value}
    panel = next(panel for panel in plots.selection([run]).axes if panel.get_ylabel() == "threshold")
    assert np.isnan(panel.lines[0].get_ydata()).tolist() == [True, False, True]


def test_a_threshold_above_one_keeps_its_band(make):
    runs = [full(make, "a", s, 0.4, 60) for s in range(2)]
    for run in runs:
        for epoch in run["history"]:
            epoch["scalars"] = {"threshold": 5.0 + run["config"]["seed"]}
    panel = next(panel for panel in plots.selection(runs).axes if panel.get_ylabel() == "threshold")
    heights = panel.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (pytest.approx(5.5 - 0.5**0.5), pytest.approx(5.5 + 0.5**0.5))


def test_many_columns_stand_in_rows_of_equal_length(make):
    figure = plots.memorisation([make(noise={"rate": k / 10}) for k in range(1, 8)])
    assert [panel.get_title() for panel in figure.axes if panel.get_title()] == [
        f"symmetric {k}0%" for k in range(1, 8)
    ]
    rows = {round(panel.get_subplotspec().get_position(figure).y0, 3) for panel in figure.axes}
    assert (len(figure.axes), len(rows)) == (16, 4)


def test_a_png_is_not_larger_than_a_page_for_a_usual_suite(runs):
    width, height = Image.open(io.BytesIO(canvas.save(plots.accuracy_over_epochs(runs))[".png"])).size
    assert width / 200 < 10
    assert height / 200 < 5


@pytest.mark.slow
def test_ten_thousand_runs_are_drawn_within_seconds(make, capsys):
    runs = [
        full(make, m, s, r, 40 + 5 * k, epochs=14)
        for k, m in enumerate("abcd")
        for r in (0.1, 0.2, 0.3, 0.4, 0.5)
        for s in range(500)
    ]
    assert len(runs) == 10_000
    began = time.process_time()
    grouping = group([traced(run) for run in runs])
    for draw in RECORDS.values():
        try:
            canvas.save(draw(grouping))
        except plots.Nothing:  # no setting varies
            assert draw is plots.sensitivity
    seconds = time.process_time() - began
    with capsys.disabled():
        print(f"\n10,000 runs: {seconds:.1f} s of one core")
    assert seconds < 10

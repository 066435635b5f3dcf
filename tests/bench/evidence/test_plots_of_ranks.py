"""The critical-difference diagram: ranks, bars and what it says of the settings behind them."""

import pytest

from bench.evidence import plots, ranks

ORDER = {"best": 90, "good": 80, "poor": 40, "worst": 30}


def runs_of(make, rates=(0.1, 0.2, 0.3, 0.4), datasets=("digits",), order=ORDER):
    return [
        make(m, s, (top + s,), noise={"rate": r}, dataset={"name": d})
        for d in datasets
        for r in rates
        for m, top in order.items()
        for s in range(2)
    ]


def said(figure):
    return " ".join(figure.get_supxlabel().split())


def test_names_stand_with_their_mean_ranks(make):
    (panel,) = plots.critical_difference(runs_of(make)).axes
    assert [text.get_text() for text in panel.texts[-4:]] == ["best  1.00", "good  2.00", "3.00  poor", "4.00  worst"]
    places = [line.get_xdata()[0] for line in panel.lines if line.get_label() == "_rank"]
    assert places == [1, 2, 3, 4]


def test_a_bar_joins_what_the_test_does_not_separate(make):
    (panel,) = plots.critical_difference(runs_of(make, rates=[k / 10 for k in range(1, 9)])).axes
    difference = ranks.critical_difference(4, 8)
    bars = [tuple(round(float(x)) for x in line.get_xdata()) for line in panel.lines if line.get_label() == "_group"]
    assert 1 < difference < 2
    assert bars == [(1, 2), (2, 3), (3, 4)]
    heights = [line.get_ydata()[0] for line in panel.lines if line.get_label() == "_group"]
    assert heights[0] != heights[1] != heights[2]  # neighbours share a method
    (scale,) = [line for line in panel.lines if line.get_label() == "_cd"]
    assert list(scale.get_xdata()) == [1, pytest.approx(1 + difference)]
    assert f"CD = {difference:.2f}" in [text.get_text() for text in panel.texts]


def test_fewer_than_three_settings_are_refused_with_the_data_sets_behind_them(make):
    with pytest.raises(plots.Nothing, match=r"at least 3 settings.* got 2 settings on 1 data set"):
        plots.critical_difference(runs_of(make, rates=(0.1, 0.2)))
    with pytest.raises(plots.Nothing, match="at least 3 methods"):
        plots.critical_difference(runs_of(make, order={"a": 1, "b": 2}))
    with pytest.raises(plots.Nothing):
        plots.critical_difference([])


def test_the_note_tells_of_data_sets_and_of_friedmans_test(make):
    text = said(plots.critical_difference(runs_of(make)))
    assert "4 settings on 1 data set, and settings of one data set are not independent" in text
    assert "Friedman, 4 methods over 4 settings: p = " in text
    text = said(plots.critical_difference(runs_of(make, rates=(0.1,), datasets=("a", "b", "c"))))
    assert "3 settings on 3 data sets; " in text


def test_ranks_that_could_be_chance_are_said_to_be(make):
    turns = [("a", "b", "c"), ("b", "c", "a"), ("c", "a", "b")]
    runs = [
        make(m, 0, (50 - place,), noise={"rate": r})
        for r, turn in zip((0.1, 0.2, 0.3), turns, strict=True)
        for place, m in enumerate(turn)
    ]
    assert said(plots.critical_difference(runs)).endswith(": no method is shown to differ from any other")


def test_a_setting_that_a_method_lacks_is_left_out_and_said(make):
    runs = [
        run
        for run in runs_of(make)
        if (run["config"]["method"]["name"], run["config"]["noise"]["rate"]) != ("good", 0.4)
    ]
    text = said(plots.critical_difference(runs))
    assert "3 settings on 1 data set" in text
    assert "left out because a method has no number there: symmetric 40%" in text


def test_a_difference_longer_than_the_axis_says_so(make):
    (panel,) = plots.critical_difference(runs_of(make, rates=(0.1, 0.2, 0.3), order={"a": 3, "b": 2, "c": 1})).axes
    (scale,) = [line for line in panel.lines if line.get_label() == "_cd"]
    difference = ranks.critical_difference(3, 3)
    assert difference < 2
    assert list(scale.get_xdata()) == [1, pytest.approx(1 + difference)]

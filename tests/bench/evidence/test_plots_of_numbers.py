"""Accuracy against rate, cost and settings: what is drawn is read back from the artists."""

import math

import pytest

from bench.evidence import plots
from bench.evidence.plots import canvas, costs, points, settings
from bench.evidence.statistics import t_interval


def labelled(panel, label):
    return [line for line in panel.lines if line.get_label() == label]


def xy(line):
    return [(round(float(x), 6), round(float(y), 6)) for x, y in line.get_xydata()]


def names(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def said(figure):
    return " ".join(figure.get_supxlabel().split())


def with_wrong(run, count):
    run["totals"] = run["totals"] | {"train_wrong": count}
    return run


@pytest.fixture
def several(make):
    """Two methods at three rates, three seeds; b is better where there is more noise."""
    return [
        make(m, s, (0, top + s), noise={"rate": r})
        for r in (0.2, 0.45, 0.8)
        for m, top in (("a", 90 - 80 * r), ("b", 85 - 60 * r))
        for s in range(3)
    ]


def test_a_line_goes_through_the_means_at_each_rate_with_t_intervals(several):
    (panel, *_) = plots.rate(several).axes
    first, second = labelled(panel, "_line")
    assert xy(first) == [(20, 75), (45, 55), (80, 27)]
    assert xy(second) == [(20, 74), (45, 59), (80, 38)]
    low, high = t_interval([74, 75, 76])
    assert xy(labelled(panel, "_interval")[0]) == [(20, round(low, 6)), (20, round(high, 6))]
    assert (panel.get_title(), panel.get_xlabel()) == ("symmetric", "noise rate asked for, %")
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["20", "45", "80"]


def test_the_legend_of_rates_begins_with_the_best_at_the_highest(several):
    figure = plots.rate(several)
    assert names(figure) == ["b", "a"]
    assert said(figure) == "point: mean of 3 runs, accuracy after the last epoch; bar: 95 % t interval over the runs"


def test_kinds_of_noise_are_panels_of_their_own_and_one_rate_makes_no_line(make):
    noises = [
        {"family": "symmetric", "rate": 0.2},
        {"family": "symmetric", "rate": 0.4},
        {"family": "symmetric", "rate": 0.2, "flips": "iid"},
        {"family": "symmetric", "rate": 0.6, "flips": "iid"},
        {"family": "pairflip", "rate": 0.4},
    ]
    figure = plots.rate([make(noise=noise) for noise in noises])
    assert [panel.get_title() for panel in figure.axes] == ["symmetric", "symmetric (iid)"]
    with pytest.raises(plots.Nothing, match="no noise of one kind was run at two rates or more"):
        plots.rate([make(noise=noises[0]), make(noise=noises[4])])


def test_points_of_other_settings_than_the_noise_are_not_joined(make):
    cells = [(0.2, "small", {}), (0.4, "large", {}), (0.6, "small", {"lam": 2})]
    runs = [
        make("a", s, (50 + s,), noise={"rate": rate}, train={"network": network}, params=params)
        for rate, network, params in cells
        for s in range(2)
    ]
    figure = plots.rate(runs)
    assert [[x for x, _ in xy(line)] for line in labelled(figure.axes[0], "_line")] == [[20, 60], [40]]
    assert "joined where all but the noise is equal" in said(figure)
    assert "joined" not in said(plots.rate(runs[:2] + runs[4:]))
    rivals = [make("b", s, (top,), noise={"rate": rate}) for rate, top in ((0.4, 99), (0.6, 40)) for s in range(2)]
    assert names(plots.rate(runs + rivals)) == ["a", "b"]  # by what stands at the highest rate, not in the last line


def test_clean_labels_are_rate_0_of_every_kind(make):
    clean = {"family": "none", "rate": None, "options": {}}
    runs = [with_wrong(make(test=(90,), noise=clean), 0)]
    runs += [
        with_wrong(make(test=(top,), noise={"family": f, "rate": r}), 10)
        for f in ("symmetric", "pairflip")
        for r, top in ((0.2, 80), (0.4, 60))
    ]
    figure = plots.rate(runs)
    assert [xy(labelled(panel, "_line")[0]) for panel in figure.axes] == [[(0, 90), (20, 80), (40, 60)]] * 2


def test_labels_of_unknown_truth_are_not_taken_for_clean(make):
    unknown = with_wrong(make(noise={"family": "none", "rate": None, "options": {}}), None)
    runs = [with_wrong(make(noise={"rate": r}), 10) for r in (0.2, 0.4)]
    assert [x for x, _ in xy(labelled(plots.rate([unknown, *runs]).axes[0], "_line")[0])] == [20, 40]


def test_one_run_is_hollow_and_a_diverged_one_is_crossed(make):
    runs = [make(seed=s, test=(50 + s, 60), noise={"rate": 0.2}) for s in range(2)]
    runs.append(make(test=(40,), noise={"rate": 0.4}, train={"epochs": 2}, diverged=True))
    figure = plots.rate(runs)
    (panel,) = figure.axes
    both, alone = labelled(panel, "_point")
    assert (both.get_markerfacecolor(), alone.get_markerfacecolor()) == ("#0072B2", "white")
    assert [xy(cross) for cross in labelled(panel, "_x")] == [[(40, 40)]]
    assert "mean of 1 to 2 runs" in said(figure)
    assert said(figure).endswith("hollow: one run; × with runs that diverged")


def test_rows_at_one_rate_are_drawn_side_by_side_without_moving_their_numbers(several):
    panel = plots.rate(several).axes[0]
    one, other = labelled(panel, "_point")[0], labelled(panel, "_point")[3]
    assert xy(one)[0][0] == xy(other)[0][0] == 20
    left, right = (line.get_transform().transform(line.get_xydata())[0][0] for line in (one, other))
    assert right > left


def costing(run, passes, networks=1):
    run["forward_samples"], run["num_networks"] = 1000 * passes, networks
    return run


def test_cost_is_passes_over_the_training_set_and_the_marker_the_networks(make):
    runs = [costing(make("one", s, (50,)), 4) for s in range(2)]
    runs += [costing(make("two", s, (70,), networks=2), 9, 2) for s in range(2)]
    figure = plots.cost(runs)
    (panel,) = figure.axes
    one, two = labelled(panel, "_point")
    assert (xy(one), one.get_marker()) == ([(4, 50)], "o")
    assert (xy(two), two.get_marker()) == ([(9, 70)], "s")
    assert names(figure) == ["two", "one", "1 network", "2 networks"]


def test_the_grey_line_joins_what_nobody_beats(make):
    runs = [costing(make(m, 0, (top,)), passes) for m, passes, top in (("a", 1, 50), ("b", 2, 40), ("c", 3, 60))]
    (front,) = labelled(plots.cost(runs).axes[0], "_front")
    assert xy(front) == [(1, 50), (3, 60)]


def test_hours_are_a_second_row_where_every_run_tells_them(make):
    runs = [costing(make(m, s, (50 + s,)), 4) for m in "ab" for s in range(2)]
    hours = {run["run_id"]: 0.5 + place for place, run in enumerate(runs)}
    figure = plots.cost(runs, hours, "some GPU")
    assert [panel.get_xlabel().replace("\n", " ") for panel in figure.axes] == [
        "forward passes over the training set, summed over the networks",
        "device hours of one run",
    ]
    assert "hours on some GPU" in figure.get_supxlabel().replace("\n", " ")
    assert [xy(line) for line in labelled(figure.axes[1], "_point")] == [[(1.0, 50.5)], [(3.0, 50.5)]]
    del hours[runs[0]["run_id"]]
    assert len(plots.cost(runs, hours).axes) == 1


@pytest.mark.parametrize(
    ("longest", "unit", "shown"), [(1.0, "hours", 1.0), (0.5, "minutes", 30.0), (0.01, "seconds", 36.0)]
)
def test_times_are_drawn_in_the_unit_that_suits_the_longest(make, longest, unit, shown):
    runs = [costing(make(method, 0, (50,)), 4) for method in "ab"]
    hours = {run["run_id"]: share * longest for run, share in zip(runs, (0.25, 1), strict=True)}
    figure = plots.cost(runs, hours, "some GPU")
    assert figure.axes[1].get_xlabel() == f"device {unit} of one run"
    assert f"{unit} on some GPU" in said(figure)
    assert [xy(line) for line in labelled(figure.axes[1], "_point")] == [[(shown / 4, 50)], [(shown, 50)]]


def test_costs_far_apart_are_on_a_logarithmic_scale(make):
    near = [costing(make(m, 0, (50,)), passes) for m, passes in (("a", 1), ("b", 4))]
    far = [costing(make(m, 0, (50,)), passes) for m, passes in (("a", 1), ("b", 40))]
    assert [plots.cost(runs).axes[0].get_xscale() for runs in (near, far)] == ["linear", "log"]


def test_rows_beyond_the_colours_are_numbered_and_many_rows_have_no_bars(make):
    runs = [costing(make(f"m{k:02}", s, (40 + k + s,)), 4 + k) for k in range(13) for s in range(2)]
    figure = plots.cost(runs)
    assert [text.get_text() for text in figure.axes[0].texts] == [str(k + 1) for k in range(13)]
    assert names(figure)[0] == "13  m12"
    assert not labelled(figure.axes[0], "_interval")
    assert "no bars, for there are many rows" in said(figure)
    assert not plots.cost(runs[:8]).axes[0].texts


def tuned(make, **params):
    return [
        make("elr", s, (top + s,), params={**params, "beta": beta})
        for beta, top in ((0.5, 40), (0.9, 60))
        for s in (0, 1)
    ]


def test_what_varies_is_found_and_drawn_as_a_line(make):
    figure = plots.sensitivity([*tuned(make, lam=3), make("ce")])
    (panel,) = figure.axes
    assert (panel.get_title(), panel.get_xlabel(), names(figure)) == ("elr", "beta", ["symmetric 50%"])
    assert xy(labelled(panel, "_line")[0]) == [(0.5, 40.5), (0.9, 60.5)]


def test_other_settings_that_differ_are_lines_of_their_own(make):
    runs = tuned(make, lam=3) + tuned(make, lam=7)
    figure = plots.sensitivity(runs)
    assert [panel.get_xlabel() for panel in figure.axes] == ["beta", "lam"]
    assert names(figure) == [
        *("symmetric 50% [lam=3]", "symmetric 50% [lam=7]"),
        *("symmetric 50% [beta=0.5]", "symmetric 50% [beta=0.9]"),
    ]
    assert [xy(line) for line in labelled(figure.axes[1], "_line")] == [[(3, 40.5), (7, 40.5)], [(3, 60.5), (7, 60.5)]]


def test_settings_of_training_count_and_differences_of_code_do_not(make):
    assert (
        plots.sensitivity([make(train={"batch_size": size}) for size in (32, 64)]).axes[0].get_xlabel() == "batch_size"
    )
    with pytest.raises(plots.Nothing, match="no method was run with two values of a setting and all else equal"):
        plots.sensitivity([make(seed=0, code="a" * 16), make(seed=1, code="b" * 16)])
    with pytest.raises(plots.Nothing, match="all else equal"):  # two things differ at once
        plots.sensitivity([make(params={"a": 1}, code="a" * 16), make(params={"a": 2}, code="b" * 16)])


def test_words_stand_side_by_side_and_far_numbers_on_a_logarithmic_scale(make):
    words = plots.sensitivity([make(params={"mode": mode}) for mode in ("soft", "hard")]).axes[0]
    assert [tick.get_text() for tick in words.get_xticklabels()] == ["hard", "soft"]
    assert [x for x, _ in xy(labelled(words, "_line")[0])] == [0, 1]
    numbers = plots.sensitivity([make(params={"lr": lr}) for lr in (0.001, 0.1, 1)]).axes[0]
    assert numbers.get_xscale() == "log"
    assert [tick.get_text() for tick in numbers.get_xticklabels()] == ["0.001", "0.1", "1"]


@pytest.mark.parametrize("draw", [plots.rate, plots.cost])
def test_intervals_stay_within_what_a_share_can_be(make, draw):
    runs = [make(seed=s, test=(100 * s,), noise={"rate": r}) for r in (0.2, 0.4) for s in (0, 1)]
    assert {y for line in labelled(draw(runs).axes[0], "_interval") for _, y in xy(line)} == {0, 100}


def test_numbers_along_x_are_as_many_as_there_is_room_for(make):
    runs = [make(noise={"rate": k / 20}) for k in range(1, 15)]
    texts = [tick.get_text() for tick in plots.rate(runs).axes[0].get_xticklabels()]
    assert len(texts) == 14
    assert sum(map(bool, texts)) <= canvas.TICKS


def test_the_rows_are_balanced():
    assert [canvas.wide(count, 5) for count in (1, 4, 5, 6, 7, 10, 11)] == [1, 4, 5, 3, 4, 5, 4]


def test_points_beside_each_other_stay_near_their_place():
    assert points.shifts(1) == [0]
    assert points.shifts(3) == [-3, 0, 3]
    assert max(points.shifts(40)) < 8


def test_the_modules_have_no_number_where_there_is_none(make):
    run = make()
    run["totals"] = run["totals"] | {"train": 0}
    assert costs.passes(run) is None
    assert points.point(1.0, []) is None
    assert settings._number('"a"') is None
    assert settings._number("true") is None
    assert math.isclose(settings._number("0.5"), 0.5)

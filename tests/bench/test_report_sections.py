"""Numbers of the report's sections against those worked out by hand."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from bench.evidence.grouping import group
from bench.findings.sections import drawings, noise_cards, origins, traces, words_of_runs
from tests.bench.evidence.conftest import payload_of


def told(*payloads):
    return traces._traces(group(payloads))


def by_name(found):
    return {measure["name"]: measure for measure in found["measures"]}


def test_a_line_is_the_mean_and_sample_sd_of_its_runs_in_hundredths_of_a_percent():
    found = told(payload_of(seed=0, test=(50, 60, 71)), payload_of(seed=1, test=(52, 60, 74)))
    assert (found["rows"], found["columns"]) == (["ce"], ["symmetric 50%"])
    accuracy = by_name(found)["accuracy"]
    # means 51, 60, 72.5; sample sd |a - b| / sqrt(2): 1.414, 0, 2.121
    assert accuracy["lines"] == [[0, 0, 3, 2, [5100, 6000, 7250], [141, 0, 212], []]]
    assert [(run[2], run[5]) for run in accuracy["runs"]] == [(0, [5000, 6000, 7100]), (1, [5200, 6000, 7400])]
    # the made records fit 10, 11, 12 of 50 wrong labels, and recover 20, 19, 18
    assert by_name(found)["memorised"]["lines"][0][4] == [2000, 2200, 2400]
    assert by_name(found)["recovered"]["lines"][0][4] == [4000, 3800, 3600]
    assert set(by_name(found)) == {"accuracy", "memorised", "recovered"}


def test_one_run_has_no_sd_and_a_diverged_one_ends_where_it_ended():
    found = told(payload_of(seed=0, test=(50, 60), diverged=True, train={"epochs": 3}))
    assert by_name(found)["accuracy"]["lines"] == [[0, 0, 2, 1, [5000, 6000], [None, None], [[2, 6000]]]]


def test_a_threshold_is_no_percentage_and_may_be_too_large_for_any_file():
    payload = payload_of(test=(50, 60))
    for epoch, value in zip(payload["history"], (0.9875, 1e307), strict=True):
        epoch["scalars"] = {"threshold": value}
    threshold = by_name(told(payload))["threshold"]
    assert (threshold["scale"], threshold["most"]) == (10_000, None)
    assert threshold["lines"][0][4] == [9875, None]


@pytest.mark.parametrize(
    ("length", "stride", "epochs"),
    [(1, 1, [0]), (3, 1, [0, 1, 2]), (10, 4, [0, 3, 7, 9]), (8, 4, [0, 3, 7]), (2, 50, [0, 1])],
)
def test_of_many_epochs_one_in_some_is_kept_with_the_first_and_the_last(length, stride, epochs):
    assert traces.kept(length, stride) == epochs


def test_what_would_make_the_file_too_large_is_left_out_and_named(monkeypatch):
    payloads = [payload_of(seed=seed, test=tuple(range(40, 60))) for seed in range(3)]
    full = told(*payloads)
    assert full["notes"] == []
    numbers = 3 * 2 * 20  # three measures, mean and sd, twenty epochs
    monkeypatch.setattr(traces, "MOST", numbers // 4)
    monkeypatch.setattr(traces, "MOST_OF_RUNS", 3 * 6 + 1)  # the six epochs kept of three runs, for one measure
    thin = told(*payloads)
    assert thin["stride"] == 4
    assert by_name(thin)["accuracy"]["lines"][0][4] == [4000, 4300, 4700, 5100, 5500, 5900]
    assert [measure["runs"] is None for measure in thin["measures"]] == [False, True, True]
    assert thin["notes"] == [
        "one epoch in 4 is kept here, and the first and the last of each line",
        "single runs are left out of memorised, recovered: the file would be too large",
    ]
    monkeypatch.setattr(traces, "MOST_OF_RUNS", 0)
    assert told(*payloads)["notes"][-1] == "single runs are left out of all measures: the file would be too large"


def test_lines_look_as_in_the_plots_for_papers():
    found = traces.looks()
    assert len({tuple(look.items()) for look in found}) == 42
    assert found[0] == {"colour": "#0072B2", "dash": ""}
    assert found[1] == {"colour": "#D55E00", "dash": "10 3"}
    assert found[4] == {"colour": "currentColor", "dash": "16 4"}  # black, where the page may be dark


def test_a_matrix_is_the_share_of_given_classes_over_all_seeds():
    matrix = noise_cards._matrix([[[8, 2], [0, 0]], [[4, 6], [1, 3]]])
    # true class 0: 12 and 8 of 20; true class 1: 1 and 3 of 4. The darkest square is 40 %, the other 25 %
    assert (matrix["size"], matrix["top"]) == (2, "40.0")
    assert [(number["x"], number["y"], number["text"]) for number in matrix["numbers"]] == [
        *((0.5, 0.5, "60"), (1.5, 0.5, "40"), (0.5, 1.5, "25"), (1.5, 1.5, "75")),
    ]
    assert matrix["shades"] == [("0.667", "M0 1h1v1h-1z"), ("1.000", "M1 0h1v1h-1z")]  # 25 / 40 in twelfths
    assert noise_cards._matrix([]) is None


def test_a_matrix_of_many_classes_has_squares_and_no_numbers():
    counts = (np.eye(100, dtype=int) * 60 + np.roll(np.eye(100, dtype=int) * 40, 1, axis=1)).tolist()
    matrix = noise_cards._matrix([counts])
    assert matrix["numbers"] == []
    assert [shade for shade, _ in matrix["shades"]] == ["1.000"]
    assert matrix["shades"][0][1].count("M") == 100


def test_a_drawing_is_well_formed_its_ids_are_its_own_and_it_leaves_the_page_alone():
    from bench.evidence.plots import cost, save

    name = "<script>alert(1)</script> & $x$"
    figure = cost([payload_of(name, seed) for seed in range(2)])
    text = drawings.inline(save(figure, ("svg",))[".svg"].decode(), "cost-0")
    root = ElementTree.fromstring(text)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert ids
    assert all(one.startswith("cost-0-") for one in ids)
    named = set(re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', text))
    assert {first or second for first, second in named} <= set(ids)
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not tags & {"script", "style", "foreignObject"}
    assert name in "".join(root.itertext())
    assert float(root.get("width")) == pytest.approx(drawings.SCALE * float(root.get("viewBox").split()[2]), abs=1)


def test_the_device_is_the_gpu_where_there_is_one():
    assert origins.device_of({"device": "cpu X", "gpu": {"name": "card Y"}}) == "card Y"
    assert origins.device_of({"device": "cpu X", "gpu": None}) == "cpu X"
    assert origins.device_of({}) == "not recorded"


def test_numbers_of_records_that_are_none_are_not_taken_for_some():
    assert [origins._number(value) for value in (2, 0.5, True, "3", None, 10**400)] == [
        2.0,
        0.5,
        None,
        None,
        None,
        None,
    ]


def test_settings_that_differ_are_written_as_set_takes_them():
    wanted = {"lr": 0.1, "optimizer": {"name": "sgd", "clip_norm": None}, "deep": {"a": 1}, "word": "x y"}
    got = {"lr": 0.2, "optimizer": {"name": "sgd", "clip_norm": 3.0}, "deep": {"a": 1}, "word": "z"}
    assert list(words_of_runs._differing(wanted, got)) == ["lr=0.1", "optimizer.clip_norm=none", 'word="x y"']

"""Costs worked out by hand: which runs count, what may be averaged, and what is said."""

from __future__ import annotations

import pytest

from bench.evidence import costs
from bench.evidence.grouping import group
from bench.evidence.records import Spent


def run(make, method, seed, passes, **more):
    made = make(method, seed, (50, 60), **more)
    return made | {"forward_samples": passes * made["totals"]["train"]}


def spent(runs, hours, device="a GPU", **more):
    return {run["run_id"]: Spent(3600.0 * value, device, **more) for run, value in zip(runs, hours, strict=True)}


def test_means_over_runs_and_ratios_within_columns(make):
    noises = ({"rate": 0.2}, {"rate": 0.8})
    base = [run(make, "base", s, 10 * (1 + i), noise=n) for i, n in enumerate(noises) for s in range(2)]
    own = [run(make, "own", s, 30 * (1 + i), noise=n, networks=2) for i, n in enumerate(noises) for s in range(2)]
    found = costs.of(group(base + own), spent(base, (1, 3, 4, 4)) | spent(own, (4, 4, 4, 4)), "base")
    one, two = found.rows["base"], found.rows["own"]
    assert (one.epochs, one.passes, one.hours, one.device) == (2, 15, 3, "a GPU")
    assert (two.passes, two.hours) == (45, 4)
    assert two.passes_ratio == pytest.approx(3)
    assert two.hours_ratio == pytest.approx((4 / 2 + 4 / 4) / 2)
    assert "time: of one run's process on a GPU" in found.notes
    assert "ratios are to base: the mean over the columns of the ratio within each" in found.notes


def test_runs_on_two_devices_are_not_averaged(make):
    base, own = ([run(make, m, s, 10) for s in range(2)] for m in ("base", "own"))
    told = spent(base, (1, 1)) | spent(own[:1], (2,)) | spent(own[1:], (9,), "a CPU")
    found = costs.of(group(base + own), told, "base")
    assert (found.rows["own"].hours, found.rows["own"].hours_ratio, found.rows["own"].passes_ratio) == (None, None, 1)
    assert (
        "runs were timed on 2 devices (3 on a GPU; 1 on a CPU), which are not averaged: no time for own" in found.notes
    )
    told = spent(base, (1, 1)) | spent(own, (2, 2), "a CPU")
    found = costs.of(group(base + own), told, "base")
    assert (found.rows["own"].hours, found.rows["own"].hours_ratio) == (2, None)
    assert any(note.endswith("which are not averaged, nor are rows of different devices") for note in found.notes)


def test_diverged_and_resumed_runs_are_left_out_and_said(make):
    runs = [run(make, "a", s, 10, diverged=s == 0) for s in range(3)]
    told = spent(runs, (7, 1, 1)) | {runs[1]["run_id"]: Spent(None, "a GPU")}
    found = costs.of(group(runs), told)
    assert (found.rows["a"].hours, found.rows["a"].passes_ratio) == (1, None)
    assert "diverged runs are left out of every cost: 1 of 3" in found.notes
    assert any(
        note.startswith("the time is known of 1 of 2 runs; the others went on from a checkpoint")
        for note in found.notes
    )


def test_runs_that_shared_a_device_are_said_to_take_longer(make):
    runs = [run(make, "a", s, 10) for s in range(3)]
    found = costs.of(group(runs), spent(runs, (1, 1, 1), sharing=3))
    assert "3 runs shared their GPU as they began, up to 3 at a time: they took longer than alone" in found.notes

    def on_cpu(*starts):
        whens = [f"2026-01-01T00:00:{second:02}+00:00" for second in starts]
        return {r["run_id"]: Spent(10.0, "a CPU", "host", when) for r, when in zip(runs, whens, strict=True)}

    beside = "at least 2 runs at a time on one machine: they took longer than alone"
    assert beside in costs.of(group(runs), on_cpu(0, 5, 30)).notes
    assert not any("at a time" in note for note in costs.of(group(runs), on_cpu(0, 10, 20)).notes)
    assert beside not in costs.of(group(runs), on_cpu(0, 10, 19)).notes  # whole seconds: it may be one after the other


def test_hours_for_a_plot_are_those_of_one_device_or_none(make):
    runs = [run(make, "a", s, 10) for s in range(2)]
    assert costs.hours_of(spent(runs, (1, 2))) == ({runs[0]["run_id"]: 1.0, runs[1]["run_id"]: 2.0}, "a GPU")
    assert costs.hours_of(spent(runs[:1], (1,)) | spent(runs[1:], (1,), "b")) == ({}, "")
    assert costs.hours_of(spent(runs, (1, 2)) | {"r": Spent(None, "a GPU")}) == ({}, "")
    assert costs.hours_of({}) == ({}, "")


@pytest.mark.parametrize(("count", "more"), [(4, ""), (5, "; and 1 more device"), (6, "; and 2 more devices")])
def test_of_many_devices_the_commonest_four_are_named_and_who_names_none_is_said(make, count, more):
    devices = ["one", "two", "two", "", "", "", "four", "five", "six"][: count + 3]
    runs = [run(make, "a", seed, 10) for seed in range(len(devices))]
    told = {one["run_id"]: Spent(3600.0, device) for one, device in zip(runs, devices, strict=True)}
    some = f"3 on a device that the records do not name; 2 on two; 1 on one; 1 on four{more}"
    said = f"runs were timed on {count} devices ({some}), which are not averaged: no time for a"
    assert said in costs.of(group(runs), told).notes

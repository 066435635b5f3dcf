"""Runs start longest first, by what the records of finished runs tell of them."""

import dataclasses
import os

import pytest

from bench.sweep.planning import timings
from bench.sweep.planning.timings import Past, Timing, kind_of, size_of
from bench.sweep.records.store import Store


def with_(run, **train):
    """The run with other settings of training."""
    config = dataclasses.replace(run.config, train=dataclasses.replace(run.config.train, **train))
    return dataclasses.replace(run, config=config)


def timing(run, seconds: float, outside: float | None = 0.0) -> Timing:
    return Timing(kind_of(run), run.networks, seconds, outside)


def test_without_records_networks_and_epochs_tell_and_equals_stay_in_order(plan, tmp_path):
    short, two = plan("ce", "co_teaching", epochs=3)
    longer, other = plan("ce", epochs=4), plan("ce", epochs=3, seeds=(7,))
    runs = [short, *other, *longer, two]
    past = timings.read(Store(tmp_path), runs, "cpu")
    assert past.longest_first(runs) == [two, *longer, short, *other]


def test_a_record_of_the_same_kind_of_run_tells_more_than_a_count(plan):
    cheap, dear = plan("co_teaching", "ce")
    past = Past([timing(cheap, 5.0), timing(dear, 50.0)])
    assert past.longest_first([cheap, dear]) == [dear, cheap]


def test_of_runs_without_their_like_the_method_tells_then_its_network_then_anything(plan):
    ce, two = plan("ce", "co_teaching")
    past = Past([timing(ce, 100.0), timing(two, 10.0)])
    size = size_of(kind_of(ce), 1)
    longer, twin = with_(ce, epochs=6), with_(two, epochs=6)
    other = with_(ce, batch_size=32)
    assert past._guess(kind_of(longer), 1, 0.5) == pytest.approx(200.0)
    assert past._guess(kind_of(twin), 2, 0.5) == pytest.approx(20.0)
    (third,) = plan("gce")
    assert past._guess(kind_of(third), 1, 0.5) == pytest.approx((100.0 + 10.0 / 2) / 2)  # the median of both rates
    assert past._guess(kind_of(other), 1, 0.5) == pytest.approx(size * 0.5)


def test_real_records_order_runs_and_only_their_ends_are_read(plan, launch, tmp_path, monkeypatch):
    quick, slow = plan("ce", epochs=2), plan(order="dawdle", epochs=2)
    launch([*quick, *slow])
    runs = [*plan("ce", seeds=(1, 2), epochs=2), *plan(order="dawdle", epochs=2, seeds=(1, 2))]
    store = Store(tmp_path / "results")
    monkeypatch.setattr(Store, "run", None)  # which could read a whole record
    past = timings.read(store, runs, "cpu")
    assert past.longest_first(runs) == [*runs[2:], *runs[:2]]
    told = {timing.kind.method: timing for timing in past.timings}
    assert told["odd.Odd"].seconds > 2
    assert 0 < told["odd.Odd"].outside < told["odd.Odd"].seconds - 2


def test_a_few_records_of_each_kind_are_enough(plan, launch, tmp_path, monkeypatch):
    runs = plan("ce", seeds=range(6))
    launch(runs, slots=2)
    looked = []
    real = timings._timing
    monkeypatch.setattr(timings, "_timing", lambda path, *more: looked.append(path) or real(path, *more))
    store = Store(tmp_path / "results")
    assert len(timings.read(store, runs, "cpu").timings) == len(looked) == timings.ENOUGH
    looked.clear()
    other = plan("co_teaching")
    monkeypatch.setattr(timings, "LOOKS", 4)
    assert len(timings.read(store, other, "cpu").timings) == len(looked) == 4
    newest = store.runs / runs[2].run_id / "result.json"
    os.utime(newest, (4e9, 4e9))
    looked.clear()
    timings.read(store, other, "cpu")
    assert looked[0] == newest


def test_damaged_resumed_and_foreign_records_tell_nothing(plan, launch, tmp_path):
    runs = plan("ce", seeds=(0, 1, 2))
    launch(runs)
    store = Store(tmp_path / "results")
    first, second, third = (store.runs / run.run_id / "result.json" for run in runs)
    first.write_bytes(first.read_bytes()[:-20])
    second.write_bytes(second.read_bytes().replace(b'"epochs_this_attempt":3', b'"epochs_this_attempt":2'))
    third.write_bytes(third.read_bytes().replace(b'"diverged":false,"forward', b'"diverged":true,"forward'))
    assert timings.read(store, runs, "cpu").timings == []

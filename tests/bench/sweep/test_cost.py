"""What a sweep will cost is told from what finished runs took, or else from a few real steps and counted arithmetic."""

import dataclasses
import json
import os

import pytest

from bench.commands import dry_run
from bench.devices import Gpu, Slot
from bench.files import canonical
from bench.sweep.backends.watching import Place
from bench.sweep.planning import cost
from bench.sweep.planning.cost import OUTSIDE, expected
from bench.sweep.planning.grid import Suite
from bench.sweep.records.store import State, Store
from bench.sweep.supervision.progress import clock

CPU = [Slot(None, 0)]

COUNTED = "the arithmetic of each method counted on a small set"
PROBED = f"a few steps of each network here, just now, and {COUNTED}"


@pytest.fixture
def priced(monkeypatch):
    """Probes that answer at once, and factors by method, 1 where none is set; returns both, as (probed, factors)."""
    probed, factors = [], {}

    def ask(module, words, slot, text=""):
        if module == "bench.training.probe":
            probed.append(json.loads(words[0])[0])
            return {"train": 0.01, "evaluate": 0.001}
        return [factors.get(config["method"]["name"], 1.0) for _, config, _ in json.loads(text)]

    monkeypatch.setattr(cost, "_ask", ask)
    return probed, factors


def passes(train: float, scored: float) -> float:
    return train * 0.01 + scored * 0.001


# of 64 samples 6 are held out: 58 train; scored are 64 test, 6 validation and 58 or 32 trace samples
ONE_EPOCH = passes(58, 64 + 6 + 32)


def test_a_probe_is_scaled_by_networks_epochs_and_samples_and_the_start_of_a_run_is_added(plan, tmp_path, priced):
    runs = plan("ce", "co_teaching", epochs=3)
    price = expected(Store(tmp_path), runs, runs, CPU)
    assert price.seconds == pytest.approx((1 + 2) * 3 * ONE_EPOCH + 2 * OUTSIDE)
    assert price.basis == PROBED
    assert len(priced[0]) == 1  # both train the same network in the same way


def test_what_a_method_does_more_than_once_with_its_samples_costs_that_much_more(plan, tmp_path, priced):
    priced[1]["co_teaching"] = 3.5
    runs = plan("ce", "co_teaching", epochs=3)
    price = expected(Store(tmp_path), runs, runs, CPU)
    more = 2 * 3 * passes(58 * 3.5, 64 + 6 + 32)
    assert price.seconds == pytest.approx(3 * ONE_EPOCH + more + 2 * OUTSIDE)


def test_a_method_that_cannot_be_counted_is_named_and_taken_for_one_pass(plan, tmp_path, priced):
    priced[1]["co_teaching"] = None
    runs = plan("ce", "co_teaching", epochs=3)
    price = expected(Store(tmp_path), runs, runs, CPU)
    assert price.seconds == pytest.approx((1 + 2) * 3 * ONE_EPOCH + 2 * OUTSIDE)
    assert price.basis == f"{PROBED} (not of co_teaching: taken for one pass over the data)"


def test_each_network_is_probed_once(plan, tmp_path, priced):
    runs = plan("ce", epochs=3) + plan("ce", epochs=4)
    expected(Store(tmp_path), runs, runs, CPU)
    assert len(priced[0]) == 1
    wider = [
        dataclasses.replace(
            run, config=dataclasses.replace(run.config, train=dataclasses.replace(run.config.train, batch_size=9))
        )
        for run in runs
    ]
    expected(Store(tmp_path), runs, [*runs, *wider], CPU)
    assert len(priced[0]) == 3  # the first network again, and once with the other batches


def test_limits_above_the_data_cost_no_more_than_the_data(plan, priced, tmp_path):
    (run,) = plan("ce", epochs=1)
    data = dataclasses.replace(run.config.dataset, train_limit=None, test_limit=9999, val=0.0)
    train = dataclasses.replace(run.config.train, trace_samples=10_000)
    whole = dataclasses.replace(run, config=dataclasses.replace(run.config, dataset=data, train=train))
    price = expected(Store(tmp_path), [whole], [whole], CPU)
    assert price.seconds == pytest.approx(passes(1437, 360 + 1437) + OUTSIDE)


def whole(result) -> float:
    """Seconds from the start of a run's process."""
    return result.provenance["seconds"] + result.provenance["start_seconds"]


def test_finished_runs_tell_more_than_a_probe(plan, launch, tmp_path, priced):
    runs = plan("ce", seeds=(0, 1))
    launch(runs[:1])
    store = Store(tmp_path / "results")
    result = store.run(runs[0].run_id).result()
    price = expected(store, runs, runs[1:], CPU)
    assert price.seconds == pytest.approx(whole(result))
    assert price.basis == "the times of 1 finished runs"
    assert priced[0] == []
    # training alone grows with the epochs
    longer = expected(store, runs, plan("ce", epochs=30), CPU)
    training = result.provenance["training_seconds"]
    assert longer.seconds == pytest.approx(whole(result) + 9 * training)
    path = store.run(runs[0].run_id).path / "result.json"
    path.write_bytes(path.read_bytes()[:-1])
    assert expected(store, runs, runs, CPU).basis == PROBED


def test_finished_runs_of_another_method_time_the_network_that_both_train(plan, launch, tmp_path, priced):
    runs = plan("ce", "co_teaching")
    launch(runs[:1])
    priced[1].update({"ce": 1.0, "co_teaching": 2.0})
    store = Store(tmp_path / "results")
    provenance = store.run(runs[0].run_id).result().provenance
    size = 58 * 3 + 64 + 6 + 32
    training = provenance["training_seconds"] * 2 * (58 * 3 * 2 + 64 + 6 + 32) / size  # two networks, twice the work
    outside = provenance["seconds"] + provenance["start_seconds"] - provenance["training_seconds"]
    price = expected(store, runs, runs[1:], CPU)
    assert price.seconds == pytest.approx(training + outside)
    assert price.basis == f"finished runs of other methods, and {COUNTED}"
    both = expected(store, runs, runs, CPU)
    assert both.seconds == pytest.approx(price.seconds + whole(store.run(runs[0].run_id).result()))
    assert both.basis == f"the times of 1 finished runs; for the others by {price.basis}"
    assert priced[0] == []


def test_the_records_of_a_gpu_do_not_price_a_cpu_and_of_a_shared_gpu_a_run_has_its_share(plan, launch, tmp_path):
    runs = plan("ce", seeds=(0, 1))
    launch(runs[:1])
    store = Store(tmp_path / "results")
    path = store.run(runs[0].run_id).path / "result.json"
    seconds = whole(store.run(runs[0].run_id).result())
    record = json.loads(path.read_bytes())
    record["payload"]["device_kind"] = "cuda"
    record["provenance"]["attempts"][-1]["sharing"] = 4
    path.write_bytes(canonical(record))
    assert expected(store, runs, runs[1:], [Slot("0", 0)]).seconds == pytest.approx(seconds / 4)
    assert cost.timings.read(store, runs, "cpu").timings == []


def test_a_failed_probe_gives_no_figure(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "_probe", lambda run, slot: None)
    runs = plan("ce")
    price = expected(Store(tmp_path), runs, runs, CPU)
    assert price.seconds is None
    assert price.basis == "the probe of a network failed; start the sweep to learn more"


def test_a_real_probe_measures_from_whatever_folder_it_is_asked(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = plan("ce")
    price = expected(Store(tmp_path / "results"), runs, runs, CPU)
    assert price.basis == PROBED
    assert price.seconds is not None
    assert OUTSIDE < price.seconds < 60
    assert os.listdir(tmp_path) == ["odd.py"]


@pytest.fixture
def two_kinds(monkeypatch):
    """Two GPUs of one kind and one of another, as nvidia-smi would tell; and probes that know the slow one."""
    kinds = {"0": Gpu("Fast", 80e3, 80e3), "1": Gpu("Fast", 80e3, 80e3), "2": Gpu("Slow", 8e3, 8e3)}
    monkeypatch.setattr(cost, "describe_gpu", kinds.get)
    monkeypatch.setattr(
        cost,
        "_probe",
        lambda run, slot: {"train": 0.04, "evaluate": 0.004} if slot.gpu == "2" else {"train": 0.01, "evaluate": 0.001},
    )
    monkeypatch.setattr(cost, "_factors", lambda past, runs, todo: {})
    return [Slot(gpu, 0) for gpu in ("0", "1", "2")]


def said_of(store, runs, slots, capsys) -> list[str]:
    states = {run.run_id: State.PLANNED for run in runs}
    dry_run.describe(store, Suite("tiny", "digits", (), ()), runs, runs, states, slots)
    out = capsys.readouterr().out.splitlines()
    return out[next(number for number, line in enumerate(out) if line.startswith("cost: ")) :]


def test_gpus_of_several_kinds_are_priced_apart_and_together(plan, tmp_path, two_kinds, capsys):
    runs = plan("ce", seeds=range(9), epochs=10)
    fast, slow = 9 * (10 * ONE_EPOCH + OUTSIDE), 9 * (10 * 4 * ONE_EPOCH + OUTSIDE)
    basis = "a few steps of each network here, just now, and the arithmetic of each method counted on a small set"
    basis += " (not of ce: taken for one pass over the data)"
    together = 1 / (2 / fast + 1 / slow)
    assert said_of(Store(tmp_path), runs, two_kinds, capsys) == [
        f"cost: 90 epochs of one network, about {clock(together)} on all of these together",
        f"  2 x Fast: {clock(fast)} on one, by {basis}",
        f"  1 x Slow: {clock(slow)} on one, by {basis}",
    ]
    one = said_of(Store(tmp_path), runs[:1], two_kinds, capsys)[0]
    assert f"about {clock(10 * ONE_EPOCH + OUTSIDE)} on all" in one  # which is on one GPU, and no less
    same = said_of(Store(tmp_path), runs, two_kinds[:2], capsys)
    assert len(same) == 1
    assert f"about {clock(fast / 2)} on 2 GPUs ({clock(fast)} of one)" in same[0]


def test_the_records_of_one_kind_of_gpu_do_not_price_another(plan, launch, tmp_path, two_kinds, capsys):
    runs = plan("ce", seeds=(0, 1))
    launch(runs[:1])
    store = Store(tmp_path / "results")
    path = store.run(runs[0].run_id).path / "result.json"
    record = json.loads(path.read_bytes())
    record["payload"]["device_kind"] = "cuda"
    record["provenance"]["attempts"][-1]["device"] = "Fast"
    path.write_bytes(canonical(record))
    lines = said_of(store, runs[1:], two_kinds, capsys)
    assert lines[1].endswith("by the times of 1 finished runs")
    assert "just now" in lines[2]


def test_a_kind_of_gpu_that_cannot_be_probed_leaves_the_whole_unknown(plan, tmp_path, two_kinds, monkeypatch, capsys):
    monkeypatch.setattr(cost, "_probe", lambda run, slot: None if slot.gpu == "2" else {"train": 0.1, "evaluate": 0.1})
    lines = said_of(Store(tmp_path), plan("ce"), two_kinds, capsys)
    assert lines[0] == "cost: 3 epochs of one network, time unknown"
    assert lines[2] == "  1 x Slow: unknown: the probe of a network failed; start the sweep to learn more"


def test_on_a_cluster_the_price_is_that_of_this_machine_and_says_so(plan, tmp_path, priced, capsys):
    places = [Place(None, number, "--backend ray") for number in range(2)]
    (line,) = said_of(Store(tmp_path), plan("ce"), places, capsys)
    assert line.endswith(", as on this CPU")
    assert not said_of(Store(tmp_path), plan("ce"), CPU, capsys)[0].endswith("CPU")

"""What a sweep will cost is told from what its finished runs took, or else from a few real steps."""

import dataclasses
import os

import pytest

from bench.sweep import cost
from bench.sweep.cost import expected
from bench.sweep.devices import Slot
from bench.sweep.store import Store

CPU = [Slot(None, 0)]

BASIS = "a few steps of each network here, just now; methods that pass over the data several times take longer"


@pytest.fixture
def priced(monkeypatch):
    """Probes that answer at once; returns the list of runs that were probed."""
    probed = []

    def probe(run, slot):
        probed.append(run)
        return {"train": 0.01, "evaluate": 0.001}

    monkeypatch.setattr(cost, "_probe", probe)
    return probed


def test_a_probe_is_scaled_by_networks_epochs_and_samples(plan, tmp_path, priced):
    runs = plan("ce", "co_teaching", epochs=3)
    price = expected(Store(tmp_path), runs, runs, CPU)
    # of 64 samples 6 are held out: 58 train; scored are 64 test, 6 validation and 32 trace samples
    assert price.seconds == pytest.approx((1 + 2) * 3 * (58 * 0.01 + (64 + 6 + 32) * 0.001))
    assert price.basis == BASIS
    assert len(priced) == 1  # both train the same network in the same way


def test_each_network_is_probed_once(plan, tmp_path, priced):
    runs = plan("ce", epochs=3) + plan("ce", epochs=4)
    expected(Store(tmp_path), runs, runs, CPU)
    assert len(priced) == 1
    wider = [
        dataclasses.replace(
            run, config=dataclasses.replace(run.config, train=dataclasses.replace(run.config.train, batch_size=9))
        )
        for run in runs
    ]
    expected(Store(tmp_path), runs, [*runs, *wider], CPU)
    assert len(priced) == 3  # the first network again, and once with the other batches


def test_limits_above_the_data_cost_no_more_than_the_data(plan, priced, tmp_path):
    (run,) = plan("ce", epochs=1)
    data = dataclasses.replace(run.config.dataset, train_limit=None, test_limit=9999, val=0.0)
    train = dataclasses.replace(run.config.train, trace_samples=10_000)
    whole = dataclasses.replace(run, config=dataclasses.replace(run.config, dataset=data, train=train))
    price = expected(Store(tmp_path), [whole], [whole], CPU)
    assert price.seconds == pytest.approx(1437 * 0.01 + (360 + 1437) * 0.001)


def test_finished_runs_tell_more_than_a_probe(plan, launch, tmp_path, priced):
    runs = plan("ce", seeds=(0, 1))
    launch(runs[:1])
    store = Store(tmp_path / "results")
    seconds = store.run(runs[0].run_id).result().provenance["seconds"]
    price = expected(store, runs, runs[1:], CPU)
    assert price.seconds == pytest.approx(seconds)
    assert price.basis == "the times of 1 finished runs of this suite"
    assert priced == []
    path = store.run(runs[0].run_id).path / "result.json"
    path.write_bytes(path.read_bytes()[:-1])
    assert expected(store, runs, runs, CPU).basis == BASIS


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
    assert price.seconds is not None
    assert 0 < price.seconds < 60
    assert os.listdir(tmp_path) == ["odd.py"]

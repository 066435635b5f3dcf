"""Dask, for real: a scheduler and workers as processes that meet by a scheduler file, of which one is killed."""

import os
import signal
import subprocess
import sys
import threading
from typing import ClassVar

import pytest

from bench.sweep.backends.engine import ClusterLost
from bench.sweep.records.store import Store

from .conftest import ROOT, ancestors, equal, processes_of, wait_for, waiting_run, words

pytest.importorskip("distributed", reason="Dask is an extra: pip install -e '.[dask]'")


class Cluster:
    """A scheduler, and as many workers of a thread as are added."""

    def __init__(self, folder):
        self.folder, self.file, self.processes = folder, folder / "scheduler.json", []
        self.start("scheduler", "--port", "0", "--no-dashboard")
        wait_for(self.file.exists, "the scheduler's file", 30)

    def start(self, *words: str, before: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[bytes]:
        said = [*before, sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]]
        process = subprocess.Popen(
            [*said, "--scheduler-file", str(self.file)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    def worker(self, **how) -> subprocess.Popen[bytes]:
        quiet = ("--no-nanny", "--no-dashboard", "--memory-limit", "0", "--death-timeout", "20")
        return self.start("worker", "--nthreads", "1", *quiet, **how)

    def end(self, kept: int) -> None:
        """End all processes but the first so many."""
        for process in self.processes[kept:]:
            process.kill()
            process.wait()
        del self.processes[kept:]


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("dask"))
    yield cluster
    cluster.end(0)


@pytest.fixture
def doomed(tmp_path):
    """A cluster whose scheduler nobody else needs."""
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.end(0)


@pytest.fixture
def cluster(scheduler):
    """The scheduler, without any worker as yet."""
    yield scheduler
    scheduler.end(1)


def on(cluster: Cluster, *more: str) -> tuple[str, ...]:
    return ("--backend", "dask", "--address", str(cluster.file), *more)


def test_a_killed_worker_costs_its_run_nothing_but_the_epoch_under_way(cluster, odd, command, local):
    results = odd.parent / "results"
    workers = {worker.pid: worker for worker in (cluster.worker(), cluster.worker())}
    driver = command(words(odd, "results", *on(cluster), order="wait"))
    run_id, pid = waiting_run(results)
    (worker,) = set(ancestors(pid)) & workers.keys()
    workers[worker].kill()
    wait_for(lambda: pid not in processes_of(odd.parent), "the end of the run with its worker")
    (odd.parent / "go on").touch()  # for the other run, should it wait too
    code, _, err = driver.end()
    assert code == 0, err
    assert "2 runs done, 0 failed, 0 not finished" in err
    ends = [end["class"] if end else "" for _, end in Store(results).run(run_id).attempts()]
    assert ends[-1] == "done"
    assert len(ends) == 2
    assert "resumed after epoch 1" in (results / "runs" / run_id / "log.txt").read_text()
    assert not (results / "launches").exists()
    assert equal(local("wait"), results)


@pytest.mark.slow
@pytest.mark.parametrize(("times", "code"), [(1, 75), (2, 130)])
def test_a_signal_ends_the_runs_of_all_workers_in_order_and_two_at_once(cluster, odd, command, times, code):
    results = odd.parent / "results"
    cluster.worker()
    driver = command(words(odd, "results", *on(cluster), order="sleep"))
    waiting_run(results)
    wait_for(lambda: list(odd.parent.glob("done-sleep/*")), "a run that sleeps and hears no request to stop")
    for number in (signal.SIGINT, signal.SIGTERM)[:times]:
        driver.process.send_signal(number)
    ended, _, err = driver.end()
    assert ended == code, err
    assert "interrupted by SIGINT; the same command goes on where it stopped" in err
    wait_for(lambda: not processes_of(odd.parent), "the end of the runs' processes", 5)
    assert not (results / "launches").exists()


@pytest.mark.slow
def test_a_scheduler_that_dies_ends_the_sweep_with_a_line_and_the_same_command_goes_on(doomed, odd, command, local):
    results = odd.parent / "results"
    doomed.worker()
    driver = command(words(odd, "results", *on(doomed), order="wait"))
    waiting_run(results)
    doomed.processes[0].kill()
    code, _, err = driver.end()
    assert code == 75, err
    assert "stopped: Dask's scheduler is gone" in err
    wait_for(lambda: not processes_of(odd.parent), "the end of the runs' processes", 60)
    assert command(words(odd, "results", order="wait")).end()[0] == 0
    assert equal(local("wait"), results)


def test_a_worker_that_cannot_import_this_package_is_named(cluster, odd, command, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "bench.py").touch()
    cluster.worker(PYTHONPATH=str(tmp_path / "other"))
    code, out, err = command(words(odd, "results", *on(cluster))).end()
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "run_bench.py run: Dask's worker tcp://" in err
    assert "cannot import bench.sweep.backends.placed (No module named 'bench.sweep'; 'bench' is not a package)" in err
    assert "with PYTHONPATH naming this checkout" in err


def test_a_worker_that_does_not_share_the_results_folder_is_named(cluster, odd, command, tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    alone = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {results} && exec "$@"', "sh")
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a mount of its own needs privileges")
    cluster.worker(before=alone)
    code, out, err = command(words(odd, "results", *on(cluster))).end()
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert f"does not see the results folder {results} (No such file or directory): all nodes must share it" in err
    assert not (results / "launches").exists()


@pytest.mark.slow
def test_a_cluster_without_room_for_a_run_is_refused_at_once(cluster, odd, command):
    code, out, err = command(words(odd, "results", *on(cluster))).end()
    assert (code, out) == (2, "")
    assert err == "run_bench.py run: no node of the cluster has room for a run, which needs 1 CPU core\n"
    assert not (odd.parent / "results").exists()


def test_an_address_that_is_none_is_refused(odd, command):
    code, out, err = command(words(odd, "results", "--backend", "dask", "--address", "nowhere.json")).end()
    assert (code, out) == (2, "")
    assert err == (
        "run_bench.py run: --address nowhere.json: neither an address such as tcp://host:8786 nor a scheduler file\n"
    )


@pytest.mark.slow
def test_without_an_address_a_cluster_is_started_here_and_ended_with_the_sweep(odd, command, local):
    code, _, err = command(words(odd, "results", "--backend", "dask")).end()
    assert code == 0, err
    assert equal(local(""), odd.parent / "results")


def test_whoever_does_not_answer_is_not_waited_for_for_ever():
    from bench.sweep.backends import on_dask

    with pytest.raises(ClusterLost, match="has not answered for 0 s"):
        on_dask._within(threading.Event().wait, 0.05)
    assert on_dask._within(lambda: "an answer") == "an answer"
    with pytest.raises(ClusterLost, match="Dask's scheduler is gone: closed"):
        on_dask._within(lambda: (_ for _ in ()).throw(OSError("closed")))


def test_a_worker_that_leaves_while_it_is_asked_is_passed_over_and_one_that_stays_is_named():
    from bench.sweep.backends.engine import Need
    from bench.sweep.backends.on_dask import DaskEngine

    worker = {"nthreads": 1, "resources": {}}

    class Client:
        status = "running"
        workers: ClassVar[dict] = {"tcp://a": worker, "tcp://b": worker}

        def scheduler_info(self, n_workers):
            return {"workers": dict(self.workers)}

        def run_on_scheduler(self, function, *arguments): ...

        def run(self, function, *arguments, workers, on_error):
            self.workers.pop(self.leaving, None)
            return {"tcp://a": {"host": "a"}, "tcp://b": ConnectionResetError("the other side hung up")}

    client = Client()
    client.leaving = "nobody"
    with pytest.raises(ValueError, match=r"Dask's worker tcp://b cannot import .*the other side hung up"):
        DaskEngine(client, Need(1, False)).probe("", [])
    client.leaving = "tcp://b"
    assert DaskEngine(client, Need(1, False)).probe("", []) == [{"host": "a"}]

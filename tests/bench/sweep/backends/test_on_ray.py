"""Ray, for real: a cluster of two nodes of which one is killed, and one that a sweep starts for itself."""

import signal

import pytest

from bench.sweep.records.store import Store

from .conftest import ancestors, equal, processes_of, wait_for, waiting_run, words

pytestmark = pytest.mark.slow  # a cluster of Ray takes half a minute to start, and more on busy cores
pytest.importorskip("ray", reason="Ray is an extra: pip install -e '.[ray]'")


@pytest.fixture(scope="module")
def cluster():
    """A head that takes no runs, and two nodes that take one each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield cluster
        cluster.shutdown()


def on(cluster, *more: str) -> tuple[str, ...]:
    return ("--backend", "ray", "--address", cluster.address, *more)


def test_a_killed_node_costs_its_run_nothing_but_the_epoch_under_way(cluster, odd, command, local):
    results = odd.parent / "results"
    driver = command(words(odd, "results", *on(cluster), order="wait"))
    run_id, pid = waiting_run(results)
    above = set(ancestors(pid))
    (node,) = (
        node
        for node in cluster.worker_nodes
        if above & {p.process.pid for ps in node.all_processes.values() for p in ps}
    )
    cluster.remove_node(node, allow_graceful=False)
    wait_for(lambda: pid not in processes_of(odd.parent), "the end of the run with its node")
    (odd.parent / "go on").touch()  # for the other run, should it wait too
    code, _, err = driver.end()
    cluster.add_node(num_cpus=1)
    assert code == 0, err
    assert f"{run_id} is placed again: its task was lost: Task failed because the node it was running on is dead" in err
    assert "2 runs done, 0 failed, 0 not finished" in err
    assert [end["class"] for _, end in Store(results).run(run_id).attempts()] == ["killed", "done"]
    assert "resumed after epoch 1" in (results / "runs" / run_id / "log.txt").read_text()
    assert not (results / "launches").exists()
    assert equal(local("wait"), results)


def test_a_node_that_died_a_moment_ago_keeps_no_sweep_from_the_others(cluster, odd, command):
    cluster.remove_node(cluster.add_node(num_cpus=1), allow_graceful=False)  # the cluster hears of it in a while
    code, _, err = command(words(odd, "results", *on(cluster))).end()
    assert code == 0, err


@pytest.mark.parametrize(("times", "code"), [(1, 75), (2, 130)])
def test_a_signal_ends_the_runs_of_all_nodes_in_order_and_two_at_once(cluster, odd, command, times, code):
    results = odd.parent / "results"
    driver = command(words(odd, "results", *on(cluster), order="wait"))
    run_id, _ = waiting_run(results)
    for number in (signal.SIGINT, signal.SIGTERM)[:times]:
        driver.process.send_signal(number)
    ended, _, err = driver.end()
    assert ended == code, err
    assert "interrupted by SIGINT; the same command goes on where it stopped" in err
    wait_for(lambda: not processes_of(odd.parent), "the end of the runs' processes", 5)
    (_, end) = Store(results).run(run_id).attempts()[-1]
    assert end["class"] == "interrupted" if times == 1 else end is None or end["class"] == "interrupted"
    assert not (results / "launches").exists()


def test_a_cluster_without_room_for_a_run_is_refused_at_once(cluster, odd, command):
    driver = command([*words(odd, "results", *on(cluster)), "--devices", "cuda"])
    code, out, err = driver.end()
    assert (code, out) == (2, "")
    assert err == "run_bench.py run: no node of the cluster has room for a run, which needs 1 CPU core and a GPU\n"
    assert not (odd.parent / "results").exists()


def test_an_address_at_which_nobody_answers_is_refused(odd, command):
    code, out, err = command(words(odd, "results", "--backend", "ray", "--address", "127.0.0.1:1")).end()
    assert (code, out) == (2, "")
    assert err.startswith("run_bench.py run: no Ray cluster at 127.0.0.1:1: [Errno 111] Connection refused")
    assert not (odd.parent / "results").exists()


@pytest.mark.slow
def test_without_an_address_a_cluster_is_started_here_and_ended_with_the_sweep(odd, command, local):
    code, _, err = command(words(odd, "results", "--backend", "ray")).end()
    assert code == 0, err
    assert equal(local(""), odd.parent / "results")

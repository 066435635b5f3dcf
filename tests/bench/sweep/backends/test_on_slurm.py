"""Slurm's arrays: by a stand-in everywhere, and by Slurm itself where its daemons are installed."""

import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench import cli
from bench.commands import dry_run
from bench.sweep.backends import element, on_slurm
from bench.sweep.backends.on_slurm import Layout
from bench.sweep.records.store import Store
from bench.sweep.upkeep import preflight

from . import conftest as backends
from .conftest import equal, payloads, processes_of, wait_for, waiting_run, words

STUB = Path(__file__).with_name("stub_slurm.py")
SLURM = ("--backend", "slurm", "--jobs", "2")


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """The stand-in on PATH; its folder."""
    folder = tmp_path / "stub"
    folder.mkdir()
    for name in ("sbatch", "scontrol", "squeue"):
        (folder / name).write_text(f"#!{sys.executable}\n" + STUB.read_text(encoding="utf-8"))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("STUB_SLURM", str(folder))
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    yield folder
    wait_for(lambda: not (folder / "running").exists(), "the end of all elements")


def logs(results: Path) -> str:
    return "".join(path.read_text() for path in sorted(results.glob("slurm/*/*.log")))


def test_an_array_does_the_runs_shard_by_shard_and_wait_prints_the_table_of_a_local_sweep(stub, odd, command, local):
    results = odd.parent / "results"
    code, out, err = command(words(odd, "results", *SLURM, "--wait")).end()
    assert code == 0, err + logs(results)
    assert re.match(r"submitted array 77: 2 runs in [12] elements, [12] at a time\n", out)
    assert "symmetric 50%" in out
    assert "2 runs done, 0 failed, 0 not finished" in err
    assert set(re.findall(r"shard (\d)/8: 1 of 2 runs", logs(results))) <= set("01234567")
    calls = (stub / "calls").read_text().splitlines()
    assert sum(call.startswith("sbatch --parsable") for call in calls) == 1
    (folder,) = (results / "slurm").iterdir()
    assert json.loads((folder / "job.json").read_text())["job"] == "77"
    assert (folder / "array.sh").read_text().startswith("#!/bin/bash\n#SBATCH --job-name=lnbench-")
    assert equal(local(""), results)


def test_an_array_of_which_no_element_comes_as_far_as_a_run_ends_with_1_and_the_last_words_of_a_log(
    stub, odd, command, monkeypatch
):
    (stub / "broken").touch()
    quick = "from bench.commands import array as a\na.LOOK_SECONDS, a.ASK_SECONDS, a.ARRIVAL_SECONDS = 0.05, 0.1, 0.2\n"
    monkeypatch.setattr(backends, "DRIVER", quick + backends.DRIVER)
    code, _, err = command(words(odd, "results", *SLURM, "--wait")).end()
    assert code == 1
    last = r"array 77 has ended with 2 of 2 runs open: slurmstepd: error: no \S*python here \(\S+\.log\)\n"
    assert re.search(last, err)
    assert "\x1b" not in err


@pytest.mark.slow
def test_an_element_that_slurm_warns_ends_in_order_and_is_queued_again(stub, odd, command, local):
    results = odd.parent / "results"
    code, out, err = command(words(odd, "results", *SLURM, order="wait", seeds="0")).end()
    assert code == 0, err
    assert "table: python run_bench.py table --methods " in out
    assert "symmetric 50%" not in out  # it did not wait
    run_id, _ = waiting_run(results)
    refused, _, why = command(words(odd, "results", *SLURM, order="wait", seeds="0")).end()
    assert refused == 2
    assert why.startswith("run_bench.py run: array 77 does this suite already; --wait waits for it, `scancel 77` ends")
    os.kill(int((stub / "pid").read_text()), signal.SIGUSR2)
    wait_for(lambda: not (stub / "running").exists(), "the end of all elements")
    ends = [end["class"] for _, end in Store(results).run(run_id).attempts()]
    assert ends == ["interrupted", "done"], logs(results)
    assert "queued again" in logs(results)
    assert payloads(results).items() <= payloads(local("wait")).items()


@pytest.mark.parametrize(
    ("state", "asked"), [("RUNNING", True), ("COMPLETING", False), ("CANCELLED", False), ("PREEMPTED", False)]
)
def test_only_an_element_that_slurm_means_to_go_on_is_queued_again(stub, state, asked):
    (stub / "state").write_text(state)
    element.requeue("77_3")
    assert (stub / "requeued-77_3").exists() == asked


def test_an_element_that_gets_nowhere_three_times_in_a_row_is_not_queued_again(tmp_path, capsys):
    count = tmp_path / "idle-3"
    gains = [False, False, True, False, False, False]
    assert [element.leads_on(count, gained) for gained in gains] == [True, True, True, True, True, False]
    assert capsys.readouterr().err == "not queued again: 3 times in a row it brought no run one epoch further\n"


@pytest.mark.slow
def test_a_cancelled_element_is_not_queued_again(stub, odd, command):
    results = odd.parent / "results"
    assert command(words(odd, "results", *SLURM, order="wait", seeds="0")).end()[0] == 0
    waiting_run(results)
    (stub / "state").write_text("COMPLETING")
    os.kill(int((stub / "pid").read_text()), signal.SIGTERM)
    wait_for(lambda: not (stub / "running").exists(), "the end of the element")
    assert "scontrol requeue" not in (stub / "calls").read_text()
    (code,) = (path.read_text() for path in stub.glob("code-*"))
    assert code == "75"


def test_what_slurm_refuses_is_one_line_and_nothing_is_created(stub, odd, command):
    code, out, err = command(words(odd, "results", *SLURM, "--slurm", "partition=nowhere")).end()
    assert (code, out) == (2, "")
    assert err == "run_bench.py run: sbatch refuses the array: sbatch: error: invalid partition specified: nowhere\n"
    assert not (odd.parent / "results").exists()


def test_a_dry_run_prints_the_script_and_submits_nothing(stub, odd, monkeypatch, capsys):
    monkeypatch.chdir(odd.parent)
    monkeypatch.setattr(preflight, "check_methods", lambda todo: None)
    monkeypatch.setattr(dry_run, "describe", lambda *_, **__: None)
    more = (
        "--slurm",
        "partition=gpu",
        "gres=gpu:1",
        "comment=it's mine",
        "exclusive",
        "--dry-run",
        "--capture",
        "auto",
    )
    assert cli.main(words(odd, "results", *SLURM, *more)) == 0
    script = capsys.readouterr().out.partition("would be submitted:\n")[2]
    lines = script.splitlines()
    assert lines[0] == "#!/bin/bash"
    assert "#SBATCH --partition=gpu" in lines
    assert "#SBATCH --exclusive" in lines
    assert "#SBATCH --requeue" in lines
    assert "#SBATCH --signal=B:USR2@120" in lines
    assert """#SBATCH --comment='it'"'"'s mine'""" in lines
    (array,) = (line for line in lines if line.startswith("#SBATCH --array="))
    assert re.fullmatch(r"#SBATCH --array=[0-7](,[0-7])?%2", array)
    assert lines[-1].startswith("exec ")
    assert "--capture=auto" in lines[-1]
    assert "--backend" not in lines[-1]
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert not (odd.parent / "results").exists()
    assert not (stub / "calls").exists()


def test_without_sbatch_there_is_a_line_that_says_so(odd, command, tmp_path):
    (tmp_path / "bin").mkdir()
    code, out, err = command(words(odd, "results", *SLURM), PATH=str(tmp_path / "bin")).end()
    assert (code, out) == (2, "")
    assert err.startswith("run_bench.py run: --backend slurm needs sbatch, which is not here: ")
    assert err.count("\n") == 1
    assert not (odd.parent / "results").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("array=0-3", "--slurm array is not to be set: the array is written here; --jobs sets its size"),
        ("partition=a\nb", "--slurm takes options of sbatch such as partition=gpu or exclusive, got 'partition=a\\nb'"),
        ("=x", "--slurm takes options of sbatch such as partition=gpu or exclusive, got '=x'"),
        ("arr=0-9", "--slurm arr is not to be set: the array is written here; --jobs sets its size"),
        ("signal=USR1@5", "--slurm signal is not to be set: the array is written here; --jobs sets its size"),
        ("a;b=1", "--slurm takes options of sbatch such as partition=gpu or exclusive, got 'a;b=1'"),
    ],
)
def test_an_option_of_sbatch_that_cannot_be_one_is_refused(given, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        on_slurm.options([given])


def test_no_word_of_a_command_is_run_by_the_shell(plan, tmp_path, monkeypatch):
    folder = tmp_path / "a 'b\" $(touch hit) %j"
    folder.mkdir()
    monkeypatch.chdir(folder)
    evil = ["run", "--methods", "x'; touch hit; '", '"$(touch hit)"', "`touch hit`"]
    script = on_slurm.script("n", Layout.of(plan("ce"), 1), ["comment=a\"; touch hit; '"], evil, folder)
    prefix = 'python() { printf "%s\\n" "$@"; }\n'
    exec_line = script.replace(f"exec {sys.executable}", "python").replace("#!/bin/bash\n", prefix)
    done = subprocess.run(["bash", "-c", exec_line], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.splitlines()[5:] == evil, done.stderr
    assert not (folder / "hit").exists()
    assert not (tmp_path / "hit").exists()


def test_layout_has_an_element_for_each_shard_with_something_to_do_and_no_more_than_slurm_takes(plan):
    runs = plan("ce", seeds=range(40))
    layout = Layout.of(runs, 3)
    assert (layout.parts, layout.at_a_time) == (12, 3)
    assert layout.elements == sorted({int(run.run_id[1:], 16) % 12 for run in runs})
    assert Layout.of(runs, None).parts == 64
    assert Layout.of(runs, 5000).parts == 1000


DAEMONS = ("slurmctld", "slurmd", "munged", "mungekey", "sbatch", "scontrol", "squeue", "scancel")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Slurm itself: a controller and one node of two cores, of this machine, with partitions `low` and `high`."""
    path = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
    missing = [name for name in DAEMONS if shutil.which(name, path=path) is None]
    if missing:
        pytest.skip(f"Slurm is not installed here: no {', '.join(missing)}")
    folder, host, user = tmp_path_factory.mktemp("slurm"), socket.gethostname().partition(".")[0], os.getuid()
    for name in ("state", "spool"):
        (folder / name).mkdir()
    name = pwd.getpwuid(user).pw_name
    (folder / "slurm.conf").write_text(
        f"""
        ClusterName=test
        SlurmctldHost={host}(127.0.0.1)
        SlurmctldPort={free_port()}
        SlurmdPort={free_port()}
        AuthType=auth/munge
        AuthInfo=socket={folder}/munge.sock,cred_expire=3
        SlurmUser={name}
        SlurmdUser={name}
        StateSaveLocation={folder}/state
        SlurmdSpoolDir={folder}/spool
        SlurmctldPidFile={folder}/slurmctld.pid
        SlurmdPidFile={folder}/slurmd.pid
        ProctrackType=proctrack/linuxproc
        TaskPlugin=task/none
        SelectType=select/cons_tres
        SelectTypeParameters=CR_Core
        SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
        AccountingStorageType=accounting_storage/none
        JobAcctGatherType=jobacct_gather/none
        MpiDefault=none
        ReturnToService=2
        PreemptType=preempt/partition_prio
        PreemptMode=REQUEUE
        KillWait=15
        NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
        PartitionName=low Nodes={host} Default=YES PriorityTier=1
        PartitionName=high Nodes={host} PriorityTier=10
        """.replace("\n        ", "\n"),
        encoding="utf-8",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path)
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        subprocess.run(["mungekey", "--create", f"--keyfile={folder}/munge.key"], check=True)
        munge = ["munged", "--foreground", "--force", f"--socket={folder}/munge.sock", f"--key-file={folder}/munge.key"]
        munge += [f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/seed"]
        daemons = []
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D", "-N", host]):
            with open(folder / f"{command[0]}.out", "wb") as log:
                daemons.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))
            if command is munge:
                wait_for((folder / "munge.sock").exists, "munge")
        try:
            wait_for(lambda: "idle" in slurms("sinfo", "--noheader"), "an idle node")
            yield folder
        finally:
            slurms("scancel", "--full", "-u", name)
            wait_for(lambda: not slurms("squeue", "--noheader"), "the end of all jobs")
            for daemon in reversed(daemons):
                daemon.terminate()
                daemon.wait()


def slurms(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@pytest.mark.slow
def test_slurm_itself_does_an_array_and_the_table_is_that_of_a_local_sweep(slurm, odd, command, local):
    results = odd.parent / "results"
    code, out, err = command(words(odd, "results", *SLURM, "--wait")).end()
    assert code == 0, err + logs(results)
    assert re.match(r"submitted array \d+: 2 runs in [12] elements", out)
    wait_for(lambda: not on_slurm.alive(submitted(out)), "the end of the array", 20)  # long before Slurm forgets it
    assert equal(local(""), results)


def submitted(out: str) -> str:
    return re.match(r"submitted array (\d+):", out)[1]


@pytest.mark.slow
def test_slurm_itself_warns_an_element_before_its_time_is_up_and_queues_it_again(slurm, odd, command, local):
    results = odd.parent / "results"
    limit = ("--slurm", "time=2")  # which is all notice: Slurm warns as soon as it looks, every half minute
    code, out, err = command(words(odd, "results", *SLURM, *limit, order="wait", seeds="0")).end()
    assert code == 0, err
    run_id, _ = waiting_run(results)
    wait_for(lambda: not on_slurm.alive(submitted(out)), "the end of the array", 300)
    ends = [end["class"] for _, end in Store(results).run(run_id).attempts()]
    assert ends[-1] == "done", logs(results)
    assert set(ends[:-1]) == {"interrupted"}
    assert "queued again" in logs(results)
    assert command(words(odd, "results", order="wait")).end()[0] == 0  # the other run, too
    assert equal(local("wait"), results)


@pytest.mark.slow
def test_an_array_that_somebody_cancels_stays_cancelled(slurm, odd, command):
    results = odd.parent / "results"
    _, out, _ = command(words(odd, "results", *SLURM, order="wait", seeds="0")).end()
    run_id, _ = waiting_run(results)
    slurms("scancel", submitted(out))
    wait_for(lambda: not processes_of(odd.parent), "the end of the run's process")
    wait_for(lambda: not slurms("squeue", "--noheader"), "the end of the array")
    assert [end["class"] for _, end in Store(results).run(run_id).attempts()] == ["interrupted"]
    assert "queued again" not in logs(results)


@pytest.mark.slow
def test_an_array_that_slurm_preempts_goes_on_when_there_is_room_again(slurm, odd, command, local, tmp_path):
    results = odd.parent / "results"
    whole = ("--slurm", "cpus-per-task=2")
    _, out, _ = command(words(odd, "results", *SLURM, *whole, order="wait", seeds="0")).end()
    run_id, _ = waiting_run(results)
    slurms("sbatch", "-p", "high", "-c", "2", "-o", str(tmp_path / "high"), "--wrap", "true")
    wait_for(lambda: not on_slurm.alive(submitted(out)), "the end of the array", 300)
    ends = [end["class"] for _, end in Store(results).run(run_id).attempts()]
    assert ends == ["interrupted", "done"], logs(results)
    assert command(words(odd, "results", order="wait")).end()[0] == 0  # the other run, too
    assert equal(local("wait"), results)

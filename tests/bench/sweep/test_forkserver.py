"""Runs started by the fork server and by exec behave alike, and none outlives its driver."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench import devices
from bench.sweep.run import forking, forkserver
from bench.sweep.run.forkserver import ForkServer, ServerLost, spawn_exec

ROOT = Path(forkserver.__file__).resolve().parents[2]

TARGET = """
import ctypes, json, os, signal, subprocess, sys, time

NAMES = ["SIGTERM", "SIGHUP", "SIGCHLD", "SIGUSR1", "SIGUSR2"]

def report(path):
    torch = sys.modules.get("torch")
    facts = {
        "argv": sys.argv[1:],
        "X": os.environ.get("X"),
        "threads": torch and torch.get_num_threads(),
        "leader": os.getsid(0) == os.getpgid(0) == os.getpid(),
        "default": [name for name in NAMES if signal.getsignal(signal.Signals[name]) is signal.SIG_DFL],
        "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "parent": os.environ["BENCH_PARENT_PID"] == str(os.getppid()),
        "descriptors": sorted(os.listdir("/proc/self/fd"), key=int)[:-1],
        "stdin": os.readlink("/proc/self/fd/0"),
        "ours": sorted(name for name in sys.modules if name.split(".")[0] in ("bench", "noise", "methods")),
    }
    with open(path, "w") as file:
        json.dump(facts, file)

def main(argv):
    what, *rest = argv
    print("out", what)
    print("err", what, file=sys.stderr)
    if what == "report":
        report(rest[0])
    elif what == "code":
        return int(rest[0])
    elif what == "leave":
        sys.exit(rest[0] if rest else None)
    elif what == "raise":
        raise KeyError("boom")
    elif what == "signal":
        os.kill(os.getpid(), int(rest[0]))
        time.sleep(10)
    elif what == "segfault":
        ctypes.string_at(0)
    elif what == "sleep":
        helper = subprocess.Popen(["sleep", "30"])
        with open(rest[0], "w") as file:
            file.write(f"{os.getpid()} {helper.pid} ")
        time.sleep(30)
    elif what == "leave helper":
        helper = subprocess.Popen(["sleep", "30"])
        with open(rest[0], "w") as file:
            file.write(f"{helper.pid} ")
    elif what == "gpus":
        import torch
        visible = torch.cuda._parse_visible_devices()
        print(visible, os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"], torch.cuda.is_initialized())
    elif what == "multiply":
        import torch
        torch.manual_seed(3)
        x = torch.randn(200, 300) @ torch.randn(300, 100)
        print(x.double().sum().item().hex())
    return 0

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    folder = tmp_path_factory.mktemp("target")
    (folder / "target_for_tests.py").write_text(TARGET)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        yield "target_for_tests"


@pytest.fixture(scope="module")
def torch_server(target):
    server = ForkServer(f"{target}:main")
    with contextlib.closing(server):
        yield server


@pytest.fixture
def light_server(target):
    """A server without torch, for tests that kill it."""
    with contextlib.closing(ForkServer(f"{target}:main", preload=())) as server:
        yield server


@pytest.fixture(params=["fork", "exec"])
def spawn(request, target):
    if request.param == "exec":
        return lambda argv, env, log: spawn_exec(argv, env, log, module=target)
    return request.getfixturevalue("torch_server").spawn


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def pids_in(path, count):
    assert eventually(lambda: path.exists() and path.read_text().count(" ") == count)
    return [int(pid) for pid in path.read_text().split()]


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["code", "0"], 0),
        (["code", "75"], 75),
        (["leave"], 0),
        (["leave", "a message"], 1),
        (["signal", "9"], -9),
        (["signal", "15"], -15),
    ],
)
def test_exit_codes_and_signals_are_reported(spawn, tmp_path, argv, code):
    assert spawn(argv, {}, tmp_path / "log").wait(timeout=20) == code


def test_f8_a_segfault_ends_one_run_and_leaves_its_trace_in_the_log(spawn, tmp_path):
    assert spawn(["segfault"], {"PYTHONFAULTHANDLER": "1"}, tmp_path / "log").wait(timeout=20) == -signal.SIGSEGV
    assert "Segmentation fault" in (tmp_path / "log").read_text()
    assert spawn(["code", "4"], {}, tmp_path / "log").wait(timeout=20) == 4


def test_output_of_both_streams_is_appended_to_the_log(spawn, tmp_path):
    (tmp_path / "log").write_text("earlier\n")
    spawn(["code", "0"], {}, tmp_path / "log").wait(timeout=20)
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["earlier", "err code", "out code"]


def test_a_log_that_cannot_be_opened_is_an_error_of_the_caller(spawn, tmp_path):
    (tmp_path / "link").symlink_to("elsewhere")
    for name, number in (("no/such/folder", errno.ENOENT), ("link", errno.ELOOP)):
        with pytest.raises(OSError, match=name) as caught:
            spawn(["code", "0"], {}, tmp_path / name)
        assert caught.value.errno == number


def test_the_process_is_as_fresh_as_if_it_had_been_executed(spawn, tmp_path):
    env = {"X": "a b", "OMP_NUM_THREADS": "2"}
    assert spawn(["report", str(tmp_path / "facts")], env, tmp_path / "log").wait(timeout=20) == 0
    facts = json.loads((tmp_path / "facts").read_text())
    assert facts.pop("threads") in (2, None)  # an executed target imports torch itself
    assert {name for name in facts.pop("ours") if name.count(".") > 0} <= {"bench.sweep", "bench.sweep.run"}
    assert facts == {
        "argv": ["report", str(tmp_path / "facts")],
        "X": "a b",
        "leader": True,
        "default": ["SIGTERM", "SIGHUP", "SIGCHLD", "SIGUSR1", "SIGUSR2"],
        "blocked": 0,
        "interrupt": True,
        "parent": True,
        "descriptors": ["0", "1", "2"],
        "stdin": "/dev/null",
    }


def test_forked_children_compute_with_the_threads_they_are_given(torch_server, tmp_path):
    for threads in ("1", "2"):
        path = tmp_path / threads
        torch_server.spawn(["report", str(path)], {"OMP_NUM_THREADS": threads}, tmp_path / "log").wait(timeout=20)
        assert json.loads(path.read_text())["threads"] == int(threads)
    torch_server.spawn(["report", str(path)], {}, tmp_path / "log").wait(timeout=20)
    assert json.loads(path.read_text())["threads"] == 1  # nothing of the last child stays


def test_both_ways_of_starting_compute_the_same_bits(torch_server, target, tmp_path):
    env = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    spawn_exec(["multiply"], env, tmp_path / "exec", module=target).wait(timeout=20)
    torch_server.spawn(["multiply"], env, tmp_path / "fork").wait(timeout=20)
    forked, executed = ((tmp_path / name).read_text().splitlines() for name in ("fork", "exec"))
    assert sorted(forked) == sorted(executed)
    assert any(line.lstrip("-").startswith("0x") for line in forked)


def test_the_server_imports_torch_but_no_code_of_a_run_and_has_one_thread(torch_server):
    torch_server.start()
    maps = Path(f"/proc/{torch_server.pid}/maps").read_text()
    assert "libtorch_cpu" in maps
    assert len(os.listdir(f"/proc/{torch_server.pid}/task")) == 1


def test_an_uncaught_exception_exits_70_with_its_traceback_in_the_log(torch_server, tmp_path):
    assert torch_server.spawn(["raise"], {}, tmp_path / "log").wait(timeout=20) == 70
    assert "KeyError: 'boom'" in (tmp_path / "log").read_text()


def test_a_target_that_cannot_be_imported_exits_70(target, tmp_path):
    with contextlib.closing(ForkServer("no_such_module:main", preload=())) as server:
        assert server.spawn([], {}, tmp_path / "log").wait(timeout=20) == 70
    assert "No module named 'no_such_module'" in (tmp_path / "log").read_text()


def test_wait_gives_up_after_its_timeout_and_a_signal_reaches_the_whole_group(spawn, tmp_path):
    child = spawn(["sleep", str(tmp_path / "pids")], {}, tmp_path / "log")
    pid, helper = pids_in(tmp_path / "pids", 2)
    assert pid == child.pid
    with pytest.raises(TimeoutError, match=f"process {pid} is still running after"):
        child.wait(timeout=0.05)
    assert alive(pid)
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=5) == child.wait() == -signal.SIGTERM
    assert eventually(lambda: not alive(helper))
    child.send_signal(signal.SIGTERM)  # nobody is left, nothing happens


def test_a_signal_right_after_the_start_is_not_lost(light_server, tmp_path):
    for attempt in range(20):
        child = light_server.spawn(["sleep", str(tmp_path / str(attempt))], {}, tmp_path / "log")
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=5) == -signal.SIGTERM


def test_what_a_child_leaves_in_its_group_is_killed(spawn, tmp_path):
    assert spawn(["leave helper", str(tmp_path / "pids")], {}, tmp_path / "log").wait(timeout=20) == 0
    (helper,) = pids_in(tmp_path / "pids", 1)
    assert eventually(lambda: not alive(helper))


def test_children_live_side_by_side_and_threads_may_start_them(light_server, tmp_path):
    first, second = (
        light_server.spawn(["sleep", str(tmp_path / name)], {}, tmp_path / "log") for name in ("first", "second")
    )
    pids_in(tmp_path / "first", 2)
    pids_in(tmp_path / "second", 2)

    def code(number):
        return light_server.spawn(["code", str(number)], {}, tmp_path / "log").wait(timeout=20)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(code, range(32))) == list(range(32))
    second.send_signal(signal.SIGINT)
    assert second.wait(timeout=5) == 70  # KeyboardInterrupt, as in any Python
    assert alive(first.pid)


def test_the_server_outlives_the_thread_that_started_it_and_signals_meant_for_others(light_server, tmp_path):
    starter = threading.Thread(target=light_server.start)
    starter.start()
    starter.join()
    pid = light_server.pid
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(pid, number)
    assert light_server.spawn(["code", "5"], {}, tmp_path / "log").wait(timeout=20) == 5
    assert light_server.pid == pid


def test_a_killed_server_takes_its_children_along_and_is_replaced_once(light_server, tmp_path):
    children = [light_server.spawn(["sleep", str(tmp_path / name)], {}, tmp_path / "log") for name in "ab"]
    pids = [pid for name in "ab" for pid in pids_in(tmp_path / name, 2)]
    first = light_server.pid
    os.kill(first, signal.SIGKILL)
    assert [child.wait(timeout=5) for child in children] == [-9, -9]
    assert eventually(lambda: not any(map(alive, pids)), seconds=1)
    children[0].send_signal(signal.SIGTERM)
    assert light_server.spawn(["code", "6"], {}, tmp_path / "log").wait(timeout=20) == 6
    assert light_server.pid != first
    os.kill(light_server.pid, signal.SIGKILL)

    def refused() -> bool:
        with pytest.raises(ServerLost) as error:  # until its death is noticed, what is asked is only not answered
            light_server.spawn(["code", "6"], {}, tmp_path / "log")
        return "died twice; start runs by exec" in str(error.value)

    assert eventually(refused, seconds=5)


def test_closing_kills_the_children_and_the_server(target, tmp_path):
    server = ForkServer(f"{target}:main", preload=())
    child = server.spawn(["sleep", str(tmp_path / "pids")], {}, tmp_path / "log")
    pids = [server.pid, *pids_in(tmp_path / "pids", 2)]
    server.close()
    assert child.wait(timeout=5) == -9
    assert eventually(lambda: not any(map(alive, pids)), seconds=1)
    with pytest.raises(ServerLost, match="is closed"):
        server.spawn(["code", "0"], {}, tmp_path / "log")
    server.close()


def test_a_server_that_cannot_start_says_so(target, tmp_path):
    with (
        contextlib.closing(ForkServer(f"{target}:main", preload=("no_such_package",))) as server,
        pytest.raises(ServerLost, match="ended with code 1"),
    ):
        server.start()


def test_a_server_that_has_touched_cuda_by_whatever_package_refuses_to_fork(monkeypatch, tmp_path):
    device = tmp_path / "nvidia-uvm"
    monkeypatch.setattr(forking, "CUDA_DEVICE", str(device))
    monkeypatch.setattr(
        forking.os, "listdir", lambda path, real=os.listdir: ["1"] if "task" in str(path) else real(path)
    )
    forking._check_forkable()
    with (
        device.with_name("nvidia-uvm-tools").open("w"),
        pytest.raises(RuntimeError, match="has touched CUDA, which no fork survives; start runs by exec"),
    ):
        forking._check_forkable()
    forking._check_forkable()


def test_a_forked_child_sees_the_gpu_of_its_slot_although_torch_was_imported_when_another_was_shown(
    torch_server, tmp_path
):
    for gpu in ("3", "1"):
        env = {"OMP_NUM_THREADS": "1", **devices.shown(gpu)}
        log = tmp_path / gpu
        assert torch_server.spawn(["gpus"], env, log).wait(timeout=20) == 0
        # what torch would make of its environment, what the package that asks for GPUs uses, and that nothing was asked
        assert log.read_text().splitlines()[-1] == f"[{gpu}] 1 False"


def test_a_server_with_a_second_thread_refuses_to_fork(target, tmp_path, monkeypatch):
    (tmp_path / "threaded_package.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(30,), daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.environ["PYTHONPATH"], str(tmp_path)]))
    with (
        contextlib.closing(ForkServer(f"{target}:main", preload=("threaded_package",))) as server,
        pytest.raises(RuntimeError, match="has 2 threads"),
    ):
        server.spawn(["code", "0"], {}, tmp_path / "log")


DRIVER = """
import os, sys, time
from pathlib import Path
from bench.sweep.run.forkserver import ForkServer
folder = Path(sys.argv[1])
server = ForkServer(sys.argv[2] + ":main", preload=())
for name in "ab":
    server.spawn(["sleep", str(folder / name)], {}, folder / "log")
copy = 0
if sys.argv[3] == "copied":
    copy = os.fork()
    if copy == 0:
        os.close(1)
        time.sleep(30)
        os._exit(0)
print(server.pid, copy, flush=True)
time.sleep(30)
"""


@contextlib.contextmanager
def driver_with_children(target, folder, copied="alone"):
    """Start a driver with two runs; yield it, the pids of its server and of a forked copy of it, and the runs' pids."""
    path = os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])
    with subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", "-c", DRIVER, folder, target, copied],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    ) as driver:
        server, copy = map(int, driver.stdout.readline().split())
        pids = [pids_in(folder / name, 2) for name in "ab"]
        try:
            yield driver, server, copy, pids
        finally:
            driver.kill()


@pytest.mark.parametrize("copied", ["alone", "copied"])
def test_f4_a_killed_driver_takes_server_and_children_along_within_a_second(target, tmp_path, copied):
    wrong = tmp_path / "bench"  # in the driver's working directory lies another package of our name
    wrong.mkdir()
    (wrong / "__init__.py").write_text("raise ImportError('the wrong package')")
    with driver_with_children(target, tmp_path, copied) as (driver, server, copy, runs):
        pids = [server, *(pid for run in runs for pid in run)]
        assert all(map(alive, pids))
        driver.kill()
        assert eventually(lambda: not any(map(alive, pids)), seconds=1)
        if copy:  # it kept the driver's end of the socket open
            os.kill(copy, signal.SIGKILL)


def test_children_die_with_a_killed_server_though_the_driver_is_stopped(target, tmp_path):
    with driver_with_children(target, tmp_path) as (driver, server, _, runs):
        driver.send_signal(signal.SIGSTOP)
        os.kill(server, signal.SIGKILL)
        assert eventually(lambda: not any(alive(run[0]) for run in runs), seconds=1)
        for _, helper in runs:  # a run's own helpers are the driver's business
            os.kill(helper, signal.SIGKILL)

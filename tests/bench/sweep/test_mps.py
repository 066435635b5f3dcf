"""The Multi-Process Service starts for a sweep and ends however the sweep does; a stand-in notes what it is told."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import cli
from bench.sweep.supervision import mps

ROOT = Path(cli.__file__).resolve().parents[1]

# with -d it starts a "daemon" that holds a file; without, it reads a command and tells the daemon of this pipe
STAND_IN = """#!/bin/sh
echo "$1 ${CUDA_MPS_PIPE_DIRECTORY:-none} ${CUDA_VISIBLE_DEVICES:-all}" >> @LOG@
if [ "$1" = "-d" ]; then
    [ -d "$CUDA_MPS_LOG_DIRECTORY" ] && touch "$CUDA_MPS_PIPE_DIRECTORY/up" || exit 3
    [ "$CUDA_DEVICE_ORDER" = PCI_BUS_ID ] || exit 4
    @SAY@
    exit @CODE@
fi
read word
echo "$word" >> @LOG@
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """The stand-in on the PATH; returns how to read what it has been told."""
    log, tool = tmp_path / "told", tmp_path / "bin" / mps.PROGRAM
    tool.parent.mkdir()

    def write(code: int = 0, say: str = "") -> None:
        tool.write_text(STAND_IN.replace("@LOG@", str(log)).replace("@CODE@", str(code)).replace("@SAY@", say))
        tool.chmod(0o755)

    write()
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    write.told = lambda: log.read_text().splitlines()
    return write


def test_the_daemon_has_folders_of_its_own_that_its_clients_are_told_and_is_told_to_quit(program):
    with mps.daemon() as environment:
        assert environment.keys() == {"CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"}
        pipe = Path(environment["CUDA_MPS_PIPE_DIRECTORY"])
        assert (pipe / "up").exists()
        assert program.told() == [f"-d {pipe} all"]
    assert program.told() == [f"-d {pipe} all", f" {pipe} all", "quit"]
    assert not pipe.parent.exists()


def test_it_ends_with_an_exception_and_a_daemon_that_does_not_start_is_one_clear_error(program):
    with pytest.raises(KeyError), mps.daemon():
        raise KeyError
    assert program.told()[-1] == "quit"
    program(code=1)
    with (
        pytest.raises(ValueError, match=r"^--mps: nvidia-cuda-mps-control -d ended with 1$"),
        mps.daemon(),
    ):
        pytest.fail("it did not start")
    program(code=1, say='printf "begun\\nno device\\n\\n" > "$CUDA_MPS_LOG_DIRECTORY/control.log"')
    with (
        pytest.raises(ValueError, match=r"^--mps: .* -d ended with 1; its log ends with: no device$"),
        mps.daemon(),
    ):
        pytest.fail("it did not start")


def test_a_daemon_that_hangs_is_one_clear_error(program, monkeypatch):
    program(say="exec sleep 20")
    monkeypatch.setattr(mps, "SECONDS", 0.5)
    said = r"^--mps: nvidia-cuda-mps-control -d has not ended within 0\.5 s$"
    with pytest.raises(ValueError, match=said), mps.daemon():
        pytest.fail("it did not start")


def test_a_missing_program_is_one_clear_error(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    said = r"^--mps needs NVIDIA's nvidia-cuda-mps-control, which is not on the PATH$"
    with pytest.raises(ValueError, match=said), mps.daemon():
        pytest.fail("there is no such program")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_ends_with_a_process_that_is_signalled_before_its_sweep_listens(program, tmp_path, number):
    code = (
        "import time\nfrom bench.sweep.supervision import mps\nfrom pathlib import Path\n"
        "with mps.daemon():\n    Path('ready').touch()\n    time.sleep(30)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 20
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(20) != 0
    assert program.told()[-1] == "quit"


def test_mps_without_a_gpu_is_refused_before_anything_starts(capsys, tmp_path):
    words = ["--dataset", "digits", "--noise", "symmetric:0.5", "--methods", "ce", "--results", str(tmp_path / "r")]
    assert cli.main(["run", *words, "--devices", "cpu", "--mps"]) == 2
    assert (
        capsys.readouterr().err == "run_bench.py run: --mps lets runs share a GPU, and the runs would go to the CPU\n"
    )
    assert not (tmp_path / "r").exists()

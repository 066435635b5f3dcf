"""Where a suite writes: into the results and the caches, and nowhere else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import cli
from tests.faults.conftest import contents

ROOT = Path(cli.__file__).resolve().parents[1]

# loaded by every Python process of the sweep, before anything of ours: notes each path that is opened for writing,
# made, renamed, linked or removed, and each address that is connected to
WATCHER = """
import os, sys

LOG = os.environ["WATCHED"]
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PATHS = {"os.mkdir": (0,), "os.rename": (0, 1), "os.link": (0, 1), "os.symlink": (1,), "os.remove": (0,),
         "os.rmdir": (0,), "os.truncate": (0,), "os.chmod": (0,), "os.utime": (0,)}
busy = False


def note(event, arguments):
    global busy
    if busy:
        return
    if event == "open":
        path, mode, flags = arguments
        # what is opened by the number of a descriptor was noted when it got its number
        named = [path] if isinstance(path, (str, bytes)) and flags & WRITING else []
    elif event in PATHS:
        named = [arguments[i] for i in PATHS[event] if isinstance(arguments[i], (str, bytes))]
    elif event in ("socket.connect", "os.system"):
        named = [f"{event} {arguments[-1]!r}"]
    else:
        return
    busy = True
    try:
        import json
        with open(LOG, "a") as log:
            for path in named:
                text = os.fsdecode(path)
                text = text if event.startswith(("socket", "os.system")) else os.path.abspath(text)
                log.write(json.dumps([event, text]) + "\\n")
    finally:
        busy = False


sys.addaudithook(note)
"""

DECIDING = ("LNBENCH", "PYTHON", "XDG", "TORCH", "MPL")  # variables that say where to write; torch sets some itself

TINY = ["--dataset", "digits", "--noise", "symmetric:0.5", "--epochs", "1", "--train-limit", "64", "--test-limit", "64"]
TINY += ["--methods", "ce", "--set", "trace_samples=32"]


@pytest.fixture
def watched(tmp_path):
    """Run the command in an empty home with a watcher in every process; return what it wrote."""
    places = {name: tmp_path / name for name in ("home", "work", "temporary", "cache", "watcher", "config")}
    for path in places.values():
        path.mkdir()
    (places["watcher"] / "sitecustomize.py").write_text(WATCHER)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(DECIDING)},
        **{"HOME": str(places["home"]), "TMPDIR": str(places["temporary"]), "PYTHONPATH": str(places["watcher"])},
        **{"XDG_CACHE_HOME": str(places["cache"]), "XDG_CONFIG_HOME": str(places["config"])},
        **{"WATCHED": str(tmp_path / "log"), "PYTHONDONTWRITEBYTECODE": "1"},
    }

    def go(*words: str) -> tuple[set[str], dict[str, Path]]:
        done = subprocess.run(
            [sys.executable, str(ROOT / "run_bench.py"), *words],
            cwd=places["work"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        lines = (tmp_path / "log").read_text().splitlines()
        return {path for _, path in map(json.loads, lines)}, places

    return go


# modules of these names in the working folder or in the results would be found if either were on the path
SHADOWS = ("json", "torch", "numpy", "bench", "methods", "noise", "random", "tomllib")


def test_f73_g27_a_suite_writes_into_results_and_caches_alone_imports_nothing_from_there_and_talks_to_nobody(
    watched, tmp_path, canary
):
    results = tmp_path / "work" / "here"
    for folder in (results.parent, results, results / "runs", results / "suites"):
        for name in SHADOWS:
            (folder / name).mkdir(parents=True)
            (folder / name / "__init__.py").write_text(f"import os\nos.system({canary.command!r})\n")
    before = contents(tmp_path / "work")
    for seed, start in enumerate(("fork", "exec")):
        words = ["--seeds", str(seed), "--devices", "cpu", "--results", "here", "--start", start]
        written, places = watched("run", *TINY, *words)
        saved = {path.split("/")[-2] for path in written if path.startswith(f"{results}/runs/r") and "/ckpt-" in path}
        assert len(saved) == seed + 1  # the processes of runs are watched, too
    allowed = (str(results), *(str(places[name]) for name in ("cache", "temporary", "config")), "/dev/null")
    assert sorted(path for path in written if not path.startswith(allowed)) == []
    assert not canary.awake
    assert set(os.listdir(places["work"])) == {"here", *SHADOWS}
    assert contents(places["work"]).items() > before.items()
    assert contents(places["home"]) == {}
    assert contents(places["temporary"]) == {}  # what was put there for a while is gone
    assert {Path(path).parts[0] for path in contents(places["cache"])} <= {"lnbench", "matplotlib"}


def test_g27_the_watcher_sees_what_it_is_meant_to_see(watched, tmp_path):
    (tmp_path / "spy.py").write_text(
        "import os, pathlib, socket, subprocess, sys\n"
        "open('a', 'w').close(); pathlib.Path('b').write_bytes(b''); os.mkdir('c'); os.link('a', 'd')\n"
        "os.rename('d', 'e'); os.symlink('a', 'f'); os.close(os.open('g', os.O_CREAT | os.O_WRONLY))\n"
        "subprocess.run([sys.executable, '-c', 'open(\"h\", \"w\")'])\n"
        "open('a').close(); os.listdir('.')\n"
    )
    with pytest.raises(AssertionError):
        watched("status", "no such suite")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "watcher"), "WATCHED": str(tmp_path / "log")}
    (tmp_path / "log").unlink(missing_ok=True)
    subprocess.run([sys.executable, str(tmp_path / "spy.py")], cwd=tmp_path / "work", env=environment, check=True)
    lines = (tmp_path / "log").read_text().splitlines()
    seen = {path for _, path in map(json.loads, lines) if path.startswith(str(tmp_path / "work"))}
    assert {Path(path).name for path in seen} == set("abcdefgh")

"""What changes between two launches, or beside a run, changes no number that is there and none that comes."""

import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import cli
from bench.data import cifar
from bench.devices import Slot
from bench.evidence.records import accuracy
from bench.files import canonical, parse
from bench.findings import gathering, tabulating
from bench.sweep.planning import grid
from bench.sweep.records.store import State, Store
from bench.sweep.supervision import executor
from bench.sweep.supervision.sweep import Sweep
from tests.bench.sweep.conftest import Hearer
from tests.faults.conftest import contents

ROOT = Path(cli.__file__).resolve().parents[1]
SUITE = """
dataset = "digits"
noise = ["symmetric:0.5"]
methods = ["ce"]
seeds = "0"
train_limit = 64
test_limit = 64

[train]
epochs = 1
batch_size = 16
trace_samples = 32
"""


def results_of(root: Path) -> dict[str, tuple[int, bytes]]:
    paths = sorted(root.glob("runs/*/result.json"))
    return {path.parent.name: (path.stat().st_ino, path.read_bytes()) for path in paths}


def payloads(root: Path) -> dict[str, bytes]:
    store = Store(root)
    return {run_id: canonical(store.run(run_id).result().payload) for run_id in store.run_ids()}


@pytest.fixture
def suite(here, forked, tmp_path, capsys) -> Callable[..., dict[str, dict[str, int]]]:
    """Write a suite file, do its runs, and return its table: method -> column -> number of runs."""

    def go(name: str, text: str) -> dict[str, dict[str, int]]:
        (tmp_path / name).write_text(text)
        where = ["--results", str(tmp_path / "results")]
        assert here("run", name, *where, "--devices", "cpu", "--per-device", "1") == 0
        capsys.readouterr()
        assert here("table", name, *where, "--format", "json") == 0
        table = json.loads(capsys.readouterr().out)
        return {
            row["method"]: {column: cell["n"] for column, cell in zip(table["columns"], row["cells"], strict=True)}
            for row in table["rows"]
        }

    return go


def test_f39_f44_suites_share_runs_and_an_edited_one_makes_new_runs_beside_the_old(suite, tmp_path):
    assert suite("one.toml", SUITE) == {"ce": {"symmetric 50%": 1}}
    first = results_of(tmp_path / "results")
    other = SUITE.replace('["ce"]', '["dml", "ce"]')
    assert suite("other.toml", other) == {"dml": {"symmetric 50%": 1}, "ce": {"symmetric 50%": 1}}
    both = results_of(tmp_path / "results")
    assert both.items() > first.items()  # the file of the shared run is the one that lay there
    assert len(both) == 2
    edited = SUITE.replace("epochs = 1", "epochs = 2")
    assert suite("one.toml", edited) == {"ce": {"symmetric 50%": 1}}  # never averaged with the run of one epoch
    all_three = results_of(tmp_path / "results")
    assert all_three.items() > both.items()
    (new,) = all_three.keys() - both.keys()
    assert len(json.loads(all_three[new][1])["payload"]["history"]) == 2
    assert suite("one.toml", SUITE) == {"ce": {"symmetric 50%": 1}}
    assert results_of(tmp_path / "results") == all_three  # edited back: nothing to train
    assert len(list((tmp_path / "results" / "suites" / "one").glob("*.json"))) == 2


def test_f65_other_data_under_the_same_name_are_another_run(suite, tmp_path):
    code = (
        "import sys, numpy as np; rng = np.random.default_rng(int(sys.argv[1])); y = np.arange(80) % 4\n"
        "x = rng.integers(0, 256, (80, 8, 8), dtype=np.uint8)\n"
        "np.savez('mine.npz', train_images=x[:64], train_labels=y[:64], test_images=x[64:], test_labels=y[64:])"
    )
    own = SUITE.replace('"digits"', '"mine.npz"').replace("train_limit = 64\ntest_limit = 64\n", "")
    for seed in ("1", "2", "1"):
        subprocess.run([sys.executable, "-c", code, seed], cwd=tmp_path, check=True)
        assert suite("own.toml", own + 'network = "digits_cnn"\n') == {"ce": {"symmetric 50%": 1}}
    records = [json.loads(data)["payload"] for _, data in results_of(tmp_path / "results").values()]
    assert len(records) == len({record["dataset_digest"] for record in records}) == 2
    assert all(record["config"]["dataset"]["digest"] == record["dataset_digest"] for record in records)


def test_f40_every_number_that_a_table_shows_while_a_sweep_trains_is_final(plan, launch, tmp_path):
    runs = plan(order="slow", seeds=range(6))
    store = Store(tmp_path / "results")
    suite = grid.Suite("tiny", "digits", ("symmetric:0.5",), (runs[0].spec,), tuple(range(6)))
    sweep = threading.Thread(target=launch, args=(runs,), kwargs={"slots": 2})
    sweep.start()
    seen = []
    while sweep.is_alive():
        found = gathering.gather(store, suite, runs)
        if found.payloads:
            seen.append((found.digests, tabulating.table_of(found, "last", "headline", "odd.Odd").rows[0].cells[0]))
        assert found.alarms() == []
    sweep.join()
    final = {run_id: store.run(run_id).result() for run_id in store.run_ids()}
    assert len(final) == 6
    assert {cell.n for _, cell in seen} - {6}, "the sweep was too fast to be watched"
    for digests, cell in seen:
        assert digests == {run_id: final[run_id].payload_sha256 for run_id in cell.runs}
        shares = [accuracy(final[run_id].payload) for run_id in cell.runs]
        assert cell.mean == pytest.approx(100 * sum(shares) / len(shares))
        assert (cell.n, cell.planned) == (len(cell.runs), 6)


@pytest.mark.parametrize("strict", [False, True])
def test_f46_a_checkpoint_of_another_torch_is_gone_on_from_and_told_or_set_aside_when_asked(
    plan, launch, tmp_path, strict
):
    (run,) = plan(order="raise", at=2)
    launch([run])
    store = Store(tmp_path / "results")
    folder = store.run(run.run_id)
    (record,) = [path for path in (folder.path / "attempts").glob("*.json") if ".end." not in path.name]
    begun = parse(record.read_bytes())
    record.write_bytes(canonical({**begun, "torch": "1.0.0"}))
    sweep = Sweep(store, [Slot(None, 0)], None, "fork", strict_env=strict)
    (outcome,) = executor.execute(sweep, [run], Hearer())
    assert outcome.state is State.DONE
    again = ["raise0", "raise1", "raise2"] if strict else ["raise2"]
    assert (tmp_path / "epochs").read_text().split() == ["raise0", "raise1", "raise2", *again]
    versions = [attempt["torch"] for attempt in folder.result().provenance["attempts"]]
    assert versions[-1] == begun["torch"]
    assert strict or versions == ["1.0.0", begun["torch"]]


def test_f47_one_run_at_a_time_and_four_give_the_same_bytes(plan, launch, tmp_path):
    runs = [*plan("ce", seeds=(0, 1)), *plan("co_teaching", seeds=(0, 1))]
    launch(runs, "one")
    launch(runs[::-1], "four", slots=4)
    assert len(payloads(tmp_path / "one")) == 4
    assert payloads(tmp_path / "four") == payloads(tmp_path / "one")


SELFISH = '''
import locale, os, random, sys
from dataclasses import dataclass

import numpy as np
import torch

from methods import losses
from methods.base import LossMethod, Step


@dataclass(eq=False)
class Selfish(LossMethod):
    """Leave the process as nobody else would want it."""

    def losses(self, logits, batch, clock):
        torch.set_default_dtype(torch.float64)
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(2)
        torch.manual_seed(1)
        np.random.seed(1)
        random.seed(1)
        os.environ.update(OMP_NUM_THREADS="7", PYTHONHASHSEED="5", LC_ALL="C")
        os.chdir("/")
        sys.path.insert(0, "/nowhere")
        torch.nn.functional.cross_entropy = losses.cross_entropy = losses.np = None
        sys.setrecursionlimit(5000)
        return Step(-logits.log_softmax(-1).gather(-1, batch.y.expand(1, -1)[..., None])[..., 0].mean(-1).float())
'''


def test_f48_what_a_run_does_to_its_process_reaches_no_other(plan, launch, tmp_path):
    (tmp_path / "selfish.py").write_text(SELFISH)
    selfish, after = plan(f"{tmp_path / 'selfish.py'}:Selfish"), plan("ce")
    states = [outcome.state for outcome in launch([*selfish, *after], "after")]
    assert states == [State.DONE, State.DONE]
    launch(after, "alone")
    assert payloads(tmp_path / "after")[after[0].run_id] == payloads(tmp_path / "alone")[after[0].run_id]


UNPACK = """
import pickle, sys
from dataclasses import replace
from pathlib import Path
from bench.data import cifar, download
archive = pickle.loads(Path(sys.argv[1]).read_bytes())
cifar.SOURCES["cifar10"] = replace(cifar.SOURCES["cifar10"], archive=archive)
download.torchvision = None  # no network
print("ready", flush=True)
sys.stdin.readline()
download.fetch("cifar10", Path(sys.argv[2]), print)
"""


def test_f42_of_four_processes_one_unpacks_and_the_others_use_what_it_made(tiny_source, tmp_path):
    from tests.faults.test_malicious import NAME, archive

    source, folder = tiny_source
    target = tmp_path / "target"
    target.mkdir()
    archive(target / NAME, folder)
    (tmp_path / "known").write_bytes(pickle.dumps(source.archive))
    command = [sys.executable, "-c", UNPACK, str(tmp_path / "known"), str(target)]
    four = [
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in four:
        assert process.stdout.readline() == "ready\n"
    for process in four:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60) for process in four]
    assert [process.returncode for process in four] == [0] * 4, said
    assert sum("unpacking" in out for out, _ in said) == 1
    assert sum("is complete" in out for out, _ in said) == 3
    assert set(contents(target)) == {NAME, ".cifar10.lock", *cifar.CIFAR10.checksums}
    assert all((target / name).read_bytes() == (folder / name).read_bytes() for name in cifar.CIFAR10.checksums)

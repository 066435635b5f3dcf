"""Thousands of runs: `status` and `table` stay quick, hold no torch, and look at each run a fixed number of times.

The records are made up, one history a method, and sealed as real ones are.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bench import cli
from bench.data import datasets
from bench.data.noisy import frozen
from bench.files import canonical, sha256
from bench.fingerprint import ROOT, harness_code, method_code
from bench.sweep.planning.grid import Planned
from bench.sweep.planning.selection import planned
from bench.sweep.records.reading import MANY
from bench.sweep.records.store import Store
from methods import registry

METHODS = ("ce", "elr", "co_teaching", "dml")
NOISE = tuple(f"symmetric:0.{tenths}" for tenths in range(1, 6))
KINDS = {7: "failed", 8: "interrupted", 9: "planned"}  # by the last two digits of a run's number; others are done
LOOKS = 2  # at a run: at its result, and where that is not there at its lock, its attempts, its checkpoints

# torch is not to be imported; what is opened and listed in the results folder is counted
SAY = """
import json, os, sys
class Refusing:  # None in sys.modules would be taken for a torch by scipy
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(f"{name} is not to be imported", name=name)
sys.meta_path.insert(0, Refusing())
root, counted = os.path.abspath(sys.argv[1]), [0]
def hear(event, args):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(args[0], str | os.PathLike):
        counted[0] += os.path.abspath(os.fspath(args[0])).startswith(root)
sys.addaudithook(hear)
from bench.cli import main
code = main(sys.argv[2:])
print(json.dumps({"looks": counted[0]}), file=sys.stderr)
sys.exit(code)
"""


class Many(NamedTuple):
    """A results folder of many runs, and the suite that they belong to."""

    root: Path
    suite: Path
    runs: list[Planned]

    def say(self, verb: str, *more: str) -> tuple[float, str, int]:
        """What a verb prints in a process of its own; the seconds of a core it takes, its text, its looks at files."""
        words = [str(self.root), verb, str(self.suite), "--results", str(self.root), *more]
        before = sum(os.times()[2:4])
        done = subprocess.run(
            [sys.executable, "-c", SAY, *words],
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "400"},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = sum(os.times()[2:4]) - before  # of its children, too: other work on the machine does not count
        assert done.returncode == 0, done.stderr
        return seconds, done.stdout, json.loads(done.stderr.splitlines()[-1])["looks"]

    def count(self, kind: str | None) -> int:
        return sum(KINDS.get(number % 100) == kind for number in range(len(self.runs)))


def make(folder: Path, seeds: int, epochs: int) -> Many:
    """A suite of 20 runs a seed, most of them done."""
    folder.mkdir(parents=True, exist_ok=True)
    suite, root = folder / "many.toml", folder / "results"
    lists = f"noise = {json.dumps(NOISE)}\nmethods = {json.dumps(METHODS)}\nseeds = {json.dumps(list(range(seeds)))}"
    suite.write_text(f'dataset = "digits"\n{lists}\nnoise_seed = 0\n[train]\nepochs = {epochs}\n')
    _, runs = planned(cli.parser().parse_args(["table", str(suite), "--results", str(root)]))
    store, dataset = Store(root), datasets.load("digits")
    noise_ids = {run.noise: frozen(dataset, run.config.noise, store.noise).noise_id for run in runs[:: seeds or 1]}
    rng, known = random.Random(0), {}
    for number, run in enumerate(runs):
        if run.spec not in known:
            known[run.spec] = history(rng, run, epochs)
        put(store, run, number, noise_ids[run.noise], *known[run.spec])
    return Many(root, suite, runs)


def history(rng: random.Random, run: Planned, epochs: int) -> tuple[list[str], bytes]:
    """Heads, and a history as canonical JSON, of about the size of a real one."""
    nets = [f"net{k + 1}" for k in range(run.networks)]
    heads = [*nets, "ensemble"] if run.networks > 1 else nets
    selection = [{"right_seen": 900, "seen": 1293, "selected": 800, "selected_right": 700} for _ in nets]

    def counts() -> dict[str, int]:
        most = {"test": 360, "val_noisy": 144, "val_clean": 144, "right_fit": 300, "wrong_fit": 150}
        return {name: rng.randrange(limit) for name, limit in {**most, "wrong_recovered": 150}.items()}

    def epoch(number: int) -> dict[str, Any]:
        return {
            **{"epoch": number, "lr": rng.random(), "loss": [3 * rng.random() for _ in nets], "scalars": {}},
            **{"selection": selection if run.networks > 1 else [], "knowledge": [], "correction": None},
            **{"diverged": False, "score_auc": [rng.random() for _ in nets]},
            "calibration": {head: {"ece": rng.random(), "nll": 3 * rng.random()} for head in heads},
            "heads": {head: counts() for head in heads},
        }

    return heads, canonical([epoch(number) for number in range(epochs)])


def put(store: Store, run: Planned, number: int, noise_id: str, heads: list[str], told: bytes) -> None:
    """Make the folder of a run, as a finished, failed, interrupted or planned one."""
    folder, info, kind = store.run(run.run_id), registry.describe(run.spec), KINDS.get(number % 100)
    (folder.path / "attempts").mkdir(parents=True)
    (folder.path / "config.json").write_bytes(canonical(run.config.to_dict()))
    (folder.path / "lock").touch()
    if kind == "failed":
        record = {"class": "error", "final": True, "message": f"RuntimeError: broken {number % 3}"}
        (folder.path / "attempts" / f"{number:032x}.json").write_bytes(canonical({"number": 1}))
        (folder.path / "attempts" / f"{number:032x}.end.json").write_bytes(canonical(record))
    if kind == "interrupted":
        (folder.path / f"ckpt-{3:06d}-{number:016x}.pt").write_bytes(b"")
    if kind is not None:
        return
    totals = {"train": 1293, "val": 144, "test": 360, "trace": 500, "train_wrong": 600, "trace_wrong": 150}
    payload = {
        **{"schema": 1, "run_id": run.run_id, "config": run.config.to_dict(), "noise_id": noise_id, "diverged": False},
        **{"dataset_digest": run.info.digest, "code": harness_code(), "method_code": method_code(info.file)},
        **{"device_kind": "cpu", "num_networks": info.num_networks, "needs": list(info.needs), "paper": info.paper},
        **{"heads": heads, "headline": [head for head in heads if head != "ensemble"], "parameters": 10},
        **{"forward_samples": 20, "predictions_sha256": None, "totals": totals, "history": "@"},
    }
    body = canonical(payload).replace(b'"@"', told)
    record = b'{"payload":%b,"payload_sha256":"%b","provenance":{"seconds":1.0}' % (body, sha256(body).encode())
    seal = sha256(record + b"}").encode()
    (folder.path / "result.json").write_bytes(record + b',"sha256":"%b"}' % seal)


@pytest.fixture(scope="module")
def hundreds(tmp_path_factory) -> Many:
    return make(tmp_path_factory.mktemp("hundreds"), seeds=60, epochs=5)


def check(many: Many, status: str, **tables: str) -> None:
    """What is said of the runs; a cell of the table by each rule is worked out here from the records."""
    kinds = {"done": many.count(None), **{kind: many.count(kind) for kind in KINDS.values()}}
    first, counted, *lines = status.splitlines()
    assert first == f"many: {len(many.runs):,} runs under {many.root}"
    words = [f"{kinds[kind]} {kind}" for kind in ("planned", "interrupted", "failed", "done")]
    assert counted.strip() == ", ".join(words)
    assert sum("RuntimeError: broken" in line for line in lines) == 3
    assert len(lines) < 35
    of_cell = [r for n, r in enumerate(many.runs) if r.spec == "ce" and r.noise == NOISE[0] and n % 100 not in KINDS]
    for rule, table in tables.items():
        values = []
        for run in of_cell:
            record = json.loads((many.root / "runs" / run.run_id / "result.json").read_bytes())["payload"]
            counts = [epoch["heads"]["net1"]["test"] for epoch in record["history"]]
            best = {"last": counts[-1], "oracle": max(counts), "last10": sum(counts[-10:]) / len(counts[-10:])}[rule]
            values.append(100 * best / record["totals"]["test"])
        (row,) = (line for line in table.splitlines() if line.split()[:1] == ["ce"] and "net1" in line)
        assert f"{sum(values) / len(values):.2f}" in row


def test_f36_hundreds_of_runs_are_told_and_tabled_and_each_is_looked_at_a_fixed_number_of_times(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    many = make(tmp_path, seeds=21, epochs=5)
    assert many.count(None) >= MANY  # they are checked by several processes
    _, status, looks = many.say("status")
    _, table, first = many.say("table")
    _, again, _ = many.say("table")
    _, oracle, _ = many.say("table", "--rule", "oracle")
    check(many, status, last=table, oracle=oracle)
    assert again == table
    assert looks <= LOOKS * len(many.runs)
    assert first <= 2 * LOOKS * len(many.runs)  # the processes that check look on their own account


@pytest.mark.slow
def test_f36_ten_thousand_runs_of_two_hundred_epochs(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    many = make(tmp_path, seeds=500, epochs=200)
    assert len(many.runs) == 10_000
    many.say("status")  # the files are in memory from here on, as on the machine that made them
    seconds, status, _ = many.say("status")
    first, table, _ = many.say("table")
    again, repeated, _ = many.say("table")
    other, shown, _ = many.say("table", "--rule", "last10")
    with capsys.disabled():
        figures = f"status {seconds:.1f} s, table {first:.1f} s, again {again:.1f} s, by another rule {other:.1f} s"
        print(f"\n{figures} of one core")
    check(many, status, last=table, last10=shown)
    assert repeated == table
    assert seconds < 5
    assert again < 10
    assert other < 10
    assert first < 100  # each record is checked once, which takes 5 ms; as many at a time as there are cores

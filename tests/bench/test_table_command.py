"""`table` says what the records say, and says it again without computing anything."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import cli
from bench.data import datasets
from bench.data.noisy import frozen, spec_of
from bench.files import sha256
from bench.findings import gathering, remembering, stored_labels, tabulating
from bench.fingerprint import ROOT, harness_code, method_code
from bench.sweep.planning.selection import planned
from bench.sweep.records.result import seal
from bench.sweep.records.store import Store
from methods import registry

WORDS = ["--dataset", "digits", "--noise", "symmetric:0.5", "pairflip:0.2", "--methods", "ce", "dml", "--seeds", "0-2"]
WORDS += ["--epochs", "2", "--train-limit", "64", "--test-limit", "100", "--set", "trace_samples=32"]
SLOW = ("torch", "pandas", "scipy", "matplotlib", "sklearn", "rich", "tabulate", "joblib")


def payload_of(run, noise_id: str, test: int) -> dict:
    info = registry.describe(run.spec)
    heads = [f"net{k + 1}" for k in range(info.num_networks)]
    counts = {"val_noisy": 1, "val_clean": 2, "right_fit": 8, "wrong_fit": 4, "wrong_recovered": 2}
    history = [
        {
            **{"epoch": number, "lr": 0.1, "loss": [1.0] * info.num_networks, "scalars": {}},
            **{"selection": [], "knowledge": []},
            "heads": {head: {**counts, "test": test - 3 + 3 * number + k} for k, head in enumerate(heads)},
        }
        for number in range(2)
    ]
    totals = {"train": 58, "val": 6, "test": 100, "trace": 32, "train_wrong": 29, "trace_wrong": 16}
    return {
        **{"schema": 1, "run_id": run.run_id, "config": run.config.to_dict(), "noise_id": noise_id, "diverged": False},
        **{"dataset_digest": run.info.digest, "code": harness_code(), "method_code": method_code(info.file)},
        **{"device_kind": "cpu", "num_networks": info.num_networks, "needs": list(info.needs), "paper": ""},
        **{"heads": heads, "headline": heads, "parameters": 10, "forward_samples": 20, "predictions_sha256": None},
        **{"totals": totals, "history": history},
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A results folder with twelve finished runs."""
    folder = tmp_path_factory.mktemp("made") / "results"
    store = Store(folder)
    _, runs = planned(cli.parser().parse_args(["table", *WORDS, "--results", str(folder)]))
    dataset = datasets.load("digits")
    assert len(runs) == 12
    for number, run in enumerate(runs):
        labels = frozen(dataset, run.config.noise, store.noise)
        place = store.run(run.run_id)
        with place.lock():
            place.write_config(run.config.to_dict())
            place.commit(payload_of(run, labels.noise_id, 50 + 7 * number % 40), {"seconds": 1.0})
    return folder


@pytest.fixture
def finished(made, tmp_path, monkeypatch) -> Path:
    """A copy of it, and nothing remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    remembering._makers.cache_clear()
    subprocess.run(["cp", "-r", made, tmp_path / "results"], check=True)
    return tmp_path / "results"


@pytest.fixture
def table(finished, capsys):
    """What `table` prints; it must end well."""

    def say(*more: str) -> str:
        assert cli.main(["table", *WORDS, "--results", str(finished), *more]) == 0
        return capsys.readouterr().out

    return say


@pytest.fixture
def computed(monkeypatch) -> list[str]:
    """What had to be made, by the first word of its inputs."""
    made = []

    def counting(inputs, make, kind):
        name = inputs[0] if inputs[0] != "text" else inputs[2]
        return remembering.remembered(inputs, lambda: made.append(name) or make(), kind)

    for module in (tabulating, stored_labels):
        monkeypatch.setattr(module, "remembered", counting)
    return made


def another_result(folder: Path, change) -> None:
    """Put another valid result into the place of the first run's."""
    path = min(folder.glob("runs/*/result.json"))
    payload = json.loads(path.read_bytes())["payload"]
    change(payload)
    path.write_bytes(seal(payload, {"seconds": 1.0}))


def test_the_second_table_is_the_first_and_needs_none_of_the_slow_packages(finished):
    code = "import json, sys; from bench.cli import main; code = main(sys.argv[1:]); "
    code += "print(json.dumps(sorted(sys.modules)), file=sys.stderr); sys.exit(code)"

    def process(*words: str) -> tuple[str, set[str]]:
        done = subprocess.run(
            [sys.executable, "-c", code, *words, "--results", str(finished)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        loaded = {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}
        return done.stdout, loaded & set(SLOW)

    first, needed = process("table", *WORDS)
    assert {"pandas", "scipy", "rich", "tabulate"} <= needed
    assert process("table", *WORDS) == (first, set())
    run_id = min((finished / "runs").iterdir()).name
    assert process("show", run_id)[1] == set()


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["--format", "csv"],
        ["--format", "md"],
        ["--format", "tex"],
        ["--format", "json"],
        ["--rule", "noisy_val"],
        ["--head", "net1"],
        ["--baseline", "dml"],
    ],
    ids=" ".join,
)
def test_what_is_remembered_is_what_is_computed(table, computed, more):
    table("--rule", "oracle")  # something else is remembered before
    computed.clear()
    first = table(*more)
    assert "table" in computed or "--format" in more
    computed.clear()
    assert table(*more) == first
    assert computed == []


def test_options_that_change_the_text_change_it_although_another_is_remembered(table, monkeypatch):
    texts = [table(), table("--rule", "oracle"), table("--head", "net1"), table("--baseline", "dml")]
    texts += [table("--format", form) for form in ("csv", "md", "tex", "json")]
    monkeypatch.setenv("COLUMNS", "60")
    texts.append(table())
    assert max(map(len, texts[-1].splitlines())) <= 60 < max(map(len, texts[0].splitlines()))
    assert len(set(texts)) == len(texts)


def test_another_number_makes_another_table(finished, table):
    before = table()

    def change(payload):
        payload["history"][-1]["heads"]["net1"]["test"] += 1

    another_result(finished, change)
    after = table()
    assert after != before
    assert (finished / "tables").is_dir()


def test_a_run_more_or_less_makes_another_table(finished, table):
    before = table()
    path = min(finished.glob("runs/*/result.json"))
    data = path.read_bytes()
    path.unlink()
    less = table()
    assert "not run: 1 of 12 runs" in less
    path.write_bytes(data)
    assert table() == before


def test_a_damaged_result_is_refused_although_its_table_is_remembered(finished, table, capsys):
    table()
    path = min(finished.glob("runs/*/result.json"))
    path.write_bytes(path.read_bytes().replace(b'"test":', b'"test":1', 1))
    assert cli.main(["table", *WORDS, "--results", str(finished)]) == 3
    assert "sha256 does not match" in capsys.readouterr().err


def test_results_of_other_code_are_named_although_the_table_is_remembered(table, monkeypatch):
    before = table()
    assert "other code" not in before
    monkeypatch.setattr(gathering, "harness_code", lambda: "0" * 16)
    assert "12 runs were made by other code than today's: ce, dml" in " ".join(table().split())
    monkeypatch.undo()


@pytest.mark.parametrize("what", ["sources", "python", "libraries"])
def test_other_code_another_python_and_other_libraries_compute_anew(table, computed, what, monkeypatch, tmp_path):
    table()
    computed.clear()
    if what == "sources":
        monkeypatch.setattr(remembering, "sources", lambda: "edited")
    elif what == "python":
        monkeypatch.setattr(sys, "version", "3.99")
    else:
        (tmp_path / "site" / "scipy-99.0.dist-info").mkdir(parents=True)
        monkeypatch.syspath_prepend(tmp_path / "site")
    remembering._makers.cache_clear()
    table()
    assert {"table", "csv", "text"} <= set(computed)
    remembering._makers.cache_clear()


def test_a_method_that_is_tuned_per_noise_makes_another_table(finished):
    args = cli.parser().parse_args(["table", *WORDS, "--results", str(finished)])
    found = gathering.gather(Store(finished), *planned(args))

    def notes() -> str:
        return " ".join(tabulating.table_of(found, "last", "headline", "ce").notes)

    before = notes()
    info = found.infos["dml"]
    found.infos["dml"] = replace(info, card=replace(info.card, tuned="the weight"))
    assert "one serves all: dml" in notes()
    assert "one serves all: dml" not in before


def test_the_labels_are_looked_at_again_when_their_file_changes(finished, table):
    before = table()
    path = min(finished.glob("noise/*.npz"))
    data = path.read_bytes()
    path.write_bytes(data[:-7])
    assert "the stored labels are not readable" in table()
    path.unlink()
    assert "the stored labels are not readable" in table()
    path.write_bytes(data)
    assert table() == before


def test_the_written_tables_are_mended_and_else_left_alone(finished, table):
    table()
    (folder,) = (finished / "tables").iterdir()
    before = {path.name: (path.stat().st_ino, path.read_bytes()) for path in folder.iterdir()}
    assert sorted(before) == [f"accuracy.{end}" for end in ("csv", "html", "manifest.json", "md", "tex")]
    table()
    assert {path.name: (path.stat().st_ino, path.read_bytes()) for path in folder.iterdir()} == before
    (folder / "accuracy.csv").write_text("mean,100")
    (folder / "accuracy.md").unlink()
    table()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {n: data for n, (_, data) in before.items()}


@pytest.mark.parametrize("value", [None, 7, [], {"rows": 3}, {"header": {}, "columns": [1]}])
def test_a_remembered_table_of_another_form_is_computed_anew(table, finished, value, tmp_path):
    before = table()
    for path in (tmp_path / "cache" / "lnbench" / "computed" / "tables").iterdir():
        body = json.dumps(value).encode()
        path.write_bytes(sha256(body).encode() + b"\n" + body)
    assert table() == before


def test_columns_are_labelled_as_the_records_label_them(finished):
    from bench.evidence.records import noise_text

    args = cli.parser().parse_args(["table", *WORDS, "--results", str(finished)])
    found = gathering.gather(Store(finished), *planned(args))
    assert found.columns == ["symmetric 50%", "pairflip 20%"]
    assert found.columns == list(dict.fromkeys(noise_text(payload["config"]["noise"]) for payload in found.payloads))
    assert found.digests.keys() == {run.run_id for run in found.runs}
    assert {spec_of(run.config.noise).label for run in found.runs} == set(found.columns)


def made_by(folder: Path, number: int, *attempts: dict) -> str:
    """Give a run another provenance; return its run_id."""
    path = sorted(folder.glob("runs/*/result.json"))[number]
    payload = json.loads(path.read_bytes())["payload"]
    path.write_bytes(seal(payload, {"seconds": 1.0, "attempts": list(attempts)}))
    return payload["run_id"]


def test_f46_runs_of_several_environments_are_a_note_and_those_of_one_are_none(finished, table):
    old, new = ({"torch": version, "device": "an Example", "device_kind": "cpu"} for version in ("2.12", "2.13"))
    for number in range(12):
        made_by(finished, number, new)
    assert "environment" not in table()
    made_by(finished, 3, old)
    resumed = made_by(finished, 5, {**old, "from_epoch": 0}, {**new, "from_epoch": 1})
    text = " ".join(table().split())
    assert (
        "runs were computed in 2 environments, which may round differently: 11 by torch 2.13 on an Example; 1 by "
        "torch 2.12 on an Example"
    ) in text
    assert f"1 runs went on in another environment than they were begun in: {resumed}" in text
    for number in range(8):
        made_by(finished, number, {**old, "device": f"device {number}"})
    assert "; and 5 more" in " ".join(table().split())

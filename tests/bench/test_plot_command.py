"""`plot` on runs really trained: which files it makes, when it makes them again, and what it says of the others."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import cli
from bench.data import datasets
from bench.evidence.grouping import group
from bench.evidence.plots import Nothing
from bench.files import sha256
from bench.findings import beside, figures
from bench.sweep.records import sample_files
from bench.sweep.records.result import seal
from bench.sweep.records.sample_files import SampleFiles
from bench.sweep.records.store import Store

DRAWN = ("accuracy", "memorisation", "diagnostics", "cost")


@pytest.fixture
def plot(trained, suite, say, tmp_path):
    """Exit code, lines printed and lines told on standard error, of `plot` into an empty folder."""

    def command(*words: str) -> tuple[int, list[str], list[str]]:
        code, out, err = say("plot", *suite, "--results", trained, "--out", tmp_path / "out", *words)
        return code, out.splitlines(), err.splitlines()

    return command


@pytest.fixture
def kept(trained) -> dict:
    """The payloads of the runs by run_id."""
    return {path.parent.name: json.loads(path.read_bytes())["payload"] for path in trained.glob("runs/*/result.json")}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_all_that_the_records_allow_is_drawn_and_the_rest_is_told(plot, tmp_path):
    code, paths, told = plot("--format", "svg")
    assert code == 0
    assert paths == [str(tmp_path / "out" / f"{kind}.svg") for kind in DRAWN]
    assert {line.split(": ")[1] for line in told} == {"selection", "rate", "critical_difference", "sensitivity"}
    assert "not drawn: rate: no noise of one kind was run at two rates or more" in told
    assert sorted(files(tmp_path / "out")) == sorted([*(f"{kind}.svg" for kind in DRAWN), figures.MANIFEST])


def test_what_is_there_is_not_drawn_again_and_a_format_is_added(plot, tmp_path, monkeypatch):
    plot("--kind", "cost", "--format", "svg")
    before = {path.name: path.stat().st_ino for path in (tmp_path / "out").iterdir()}
    monkeypatch.setattr(figures.Ground, "grouping", property(lambda self: pytest.fail("the records were read again")))
    code, paths, _ = plot("--kind", "cost", "--format", "svg")
    assert (code, [Path(path).name for path in paths]) == (0, ["cost.svg"])
    assert {path.name: path.stat().st_ino for path in (tmp_path / "out").iterdir()} == before
    monkeypatch.undo()
    plot("--kind", "cost", "--format", "pdf")
    assert json.loads((tmp_path / "out" / figures.MANIFEST).read_bytes())["files"] == ["cost.pdf", "cost.svg"]
    (tmp_path / "out" / "cost.svg").unlink()
    plot("--kind", "cost", "--format", "svg")
    assert (tmp_path / "out" / "cost.svg").stat().st_size > 1000


def test_after_another_result_everything_is_drawn_anew(plot, trained, tmp_path):
    plot("--kind", "cost", "accuracy", "--format", "svg")
    before = files(tmp_path / "out")
    path = min(trained.glob("runs/*/result.json"))
    record = json.loads(path.read_bytes())
    record["payload"]["forward_samples"] *= 9
    path.write_bytes(seal(record["payload"], record["provenance"]))
    plot("--kind", "cost", "--format", "svg")
    after = files(tmp_path / "out")
    assert after["cost.svg"] != before["cost.svg"]
    assert json.loads(after[figures.MANIFEST])["files"] == ["cost.svg"]  # accuracy.svg is of other records now


def test_what_a_damaged_result_leaves_is_drawn_and_the_damage_is_named(plot, trained):
    path = min(trained.glob("runs/*/result.json"))
    path.write_bytes(path.read_bytes()[:-9])
    code, paths, err = plot("--kind", "accuracy", "--format", "svg")
    assert (code, [Path(path).name for path in paths]) == (3, ["accuracy.svg"])
    assert err[0] == f"{path}: sha256 does not match the record"
    assert "1 of 8 planned runs are missing" in Path(paths[0]).read_text(encoding="utf-8")
    for path in trained.glob("runs/*/result.json"):
        path.write_bytes(b"{}")
    code, paths, err = plot("--kind", "accuracy")
    assert (code, paths) == (3, [])
    assert err[-1] == "no plots: `run` sets damaged results aside and trains these runs again"


def test_a_damaged_manifest_is_as_good_as_none(plot, tmp_path):
    plot("--kind", "cost", "--format", "svg")
    sound = files(tmp_path / "out")
    inputs = json.loads(sound[figures.MANIFEST])["inputs"]
    for wrong in (
        b"{",
        b"[]",
        json.dumps({"inputs": inputs, "kinds": {"cost": ["../x"], "y": 1}, "files": [3]}).encode(),
    ):
        (tmp_path / "out" / figures.MANIFEST).write_bytes(wrong)
        assert plot("--kind", "cost", "--format", "svg")[0] == 0
        assert files(tmp_path / "out") == sound


def test_kinds_are_listed_without_records_and_without_matplotlib(say, monkeypatch):
    monkeypatch.setitem(sys.modules, "bench.evidence.plots", None)
    code, out, _ = say("plot", "--kind", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if not line.endswith(":")] == list(figures.KINDS)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["acuracy"], "unknown plot 'acuracy'; did you mean 'accuracy'?"),
        (["cost", "rate"], "plot 'rate' cannot be drawn: no noise of one kind was run at two rates or more"),
        (["critical_difference"], "plot 'critical_difference' cannot be drawn: ranks compare at least 3 methods"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_nothing_is_written(words, line, suite, trained, tmp_path, capsys):
    out = tmp_path / "out"
    try:
        code = cli.main(["plot", *suite, "--results", str(trained), "--out", str(out), "--kind", *words])
    except SystemExit as leaving:
        code = leaving.code
    assert code == 2
    assert line in capsys.readouterr().err
    assert not out.exists()


def test_kinds_that_read_more_have_a_file_for_each_column(plot, tmp_path):
    code, paths, told = plot("--kind", "confidence", "confusion", "transition", "--format", "svg")
    assert (code, told) == (0, [])
    assert [Path(path).name for path in paths] == [
        *("confidence-symmetric-50.svg", "confidence-pairflip-20.svg"),
        *("confusion-symmetric-50.svg", "confusion-pairflip-20.svg", "transition.svg"),
    ]


def test_a_plot_is_the_same_bytes_again(plot, tmp_path):
    kinds = ["--kind", "confidence", "transition"]
    plot(*kinds, "--format", "svg", "pdf")
    before = files(tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        path.unlink()
    plot(*kinds, "--format", "svg", "pdf")
    assert files(tmp_path / "out") == before


# --- what lies beside the records


def test_confidences_are_those_of_the_tables(trained, kept):
    found = beside.histograms(Store(trained), group(kept.values()))
    assert {column: set(rows) for column, rows in found.items()} == {
        "symmetric 50%": {"ce", "dml"},
        "pairflip 20%": {"ce", "dml"},
    }
    one = found["symmetric 50%"]["dml"]
    right, wrong = np.zeros(20), np.zeros(20)
    for run_id, payload in kept.items():
        if payload["config"]["method"]["name"] == "dml" and payload["config"]["noise"]["family"] == "symmetric":
            with np.load(trained / "runs" / run_id / "samples" / "epoch-0002.npz") as table:
                for head, values in zip(table["heads"], table["confidence"], strict=True):
                    if head != "ensemble":
                        for value, given, true in zip(values, table["given"], table["true"], strict=True):
                            (right if given == true else wrong)[min(19, int(20 * value))] += 1
    assert (one.right.tolist(), one.wrong.tolist(), one.runs, one.epochs) == (right.tolist(), wrong.tolist(), 2, {2})


def test_parquet_tables_say_the_same(trained, kept, monkeypatch):
    """pyarrow is no dependency: in its place stands a module that reads the rows of long format."""
    grouping = group(kept.values())
    before = beside.histograms(Store(trained), grouping)

    class Column(list):
        to_pylist = list.copy

        def to_numpy(self):
            return np.array(self)

    class Table:
        def __init__(self, source, columns):
            self.rows = json.loads(source.read())
            assert columns == ["head", *beside.COLUMNS]

        def column(self, name):
            return Column(self.rows[name])

    monkeypatch.setitem(sys.modules, "pyarrow.parquet", type(sys)("pyarrow.parquet"))
    sys.modules["pyarrow.parquet"].read_table = lambda source, columns: Table(source, columns)
    for run_id in kept:
        path = trained / "runs" / run_id / "samples" / "epoch-0002.npz"
        with np.load(path) as arrays:
            long = sample_files.long({name: arrays[name] for name in ("heads", *beside.COLUMNS)})
        data = json.dumps({name: values.tolist() for name, values in long.items()}).encode()
        path.unlink()
        path.with_suffix(".parquet").write_bytes(data)
        _say_digests(trained, run_id)
    after = beside.histograms(Store(trained), grouping)
    for column, rows in before.items():
        for label, one in rows.items():
            assert after[column][label].right.tolist() == one.right.tolist()
            assert after[column][label].wrong.tolist() == one.wrong.tolist()
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(Nothing, match="pyarrow, which is not installed"):
        beside.histograms(Store(trained), grouping)


def _say_digests(root: Path, run_id: str) -> None:
    path = root / "runs" / run_id / "result.json"
    record = json.loads(path.read_bytes())
    told = {"samples_sha256": SampleFiles(path.parent).digests()}
    path.write_bytes(seal(record["payload"], record["provenance"] | told))


def test_confusions_add_up_to_the_accuracy_of_the_records(trained, kept):
    found = beside.confusions(Store(trained), group(kept.values()), None)
    test = datasets.load("digits").test_labels[:100]
    for column, matrices in found.items():
        for matrix in matrices:
            runs = [
                payload
                for payload in kept.values()
                if payload["config"]["method"]["name"] == matrix.name
                and payload["config"]["noise"]["family"] == column.split()[0]
            ]
            heads = [(run, head) for run in runs for head in run["headline"]]
            assert np.trace(matrix.counts) == sum(run["history"][-1]["heads"][head]["test"] for run, head in heads)
            assert matrix.counts.sum(1).tolist() == (len(heads) * np.bincount(test, minlength=10)).tolist()
            assert matrix.told == f"{100 * np.trace(matrix.counts) / matrix.counts.sum():.1f} % right"


def test_predictions_of_no_class_are_counted_apart(trained, kept):
    run = next(iter(kept.values()))
    test = datasets.load("digits").test_labels[:100]
    path = trained / "runs" / run["run_id"] / f"predictions-{run['predictions_sha256'][:16]}.npy"
    predicted = np.load(path)
    predicted[:, :3] = 255
    np.save(path, predicted)
    with pytest.raises(ValueError, match=r"its digest is not the one in result\.json"):
        beside._confusion(Store(trained), run, test, 10)
    digest = sha256(path.read_bytes())
    path.rename(path.with_name(f"predictions-{digest[:16]}.npy"))
    counts = beside._confusion(Store(trained), run | {"predictions_sha256": digest}, test, 10)
    assert counts[:, 10].sum() == 3 * len(run["headline"])
    assert "without a class" in beside._told("ce", counts).told


def test_transitions_are_counted_over_the_seeds(trained, kept):
    pairflip, symmetric = beside.transitions(Store(trained), group(kept.values()))
    assert (symmetric.name, pairflip.name) == ("symmetric 50%", "pairflip 20%")
    assert set(np.argwhere(pairflip.counts > 0).reshape(-1, 2)[:, 1] - np.argwhere(pairflip.counts > 0)[:, 0]) <= {
        0,
        1,
        -9,
    }
    assert symmetric.told.endswith("% wrong, 2 seeds")
    assert (symmetric.counts.sum(), pairflip.counts.sum()) == (2 * 1437, 2 * 1437)  # the training set, twice


def test_what_is_not_there_is_said_in_one_line(trained, kept, tmp_path, monkeypatch):
    store, grouping = Store(trained), group(kept.values())
    for path in trained.glob("runs/*/samples/*"):
        path.unlink()
    with pytest.raises(Nothing, match="no run has a per-sample table: `run --per-sample last` writes them"):
        beside.histograms(store, grouping)
    for path in trained.glob("runs/*/predictions-*"):
        path.unlink()
    with pytest.raises(Nothing, match="the predictions are not at hand"):
        beside.confusions(store, grouping, None)
    for path in trained.glob("noise/*.npz"):
        path.unlink()
    for call in (beside.transitions, lambda *words: beside.confusions(*words, None)):
        with pytest.raises(Nothing, match="the stored labels are not at hand"):
            call(store, grouping)
    monkeypatch.setattr(
        datasets, "load", lambda *words: (_ for _ in ()).throw(datasets.MissingDataError("digits: gone"))
    )
    with pytest.raises(Nothing, match="the test labels are not at hand: digits: gone"):
        beside.confusions(store, grouping, None)


def test_a_changed_table_is_refused_and_a_link_is_not_followed(trained, kept, tmp_path):
    store, grouping = Store(trained), group(kept.values())
    path = min(trained.glob("runs/*/samples/*"))
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"its digest is not the one in result\.json"):
        beside.histograms(store, grouping)
    path.write_bytes(sound)
    total = sum(one.runs for rows in beside.histograms(store, grouping).values() for one in rows.values())
    path.parent.rename(tmp_path / "elsewhere")
    path.parent.symlink_to(tmp_path / "elsewhere")
    left = sum(one.runs for rows in beside.histograms(store, grouping).values() for one in rows.values())
    assert (total, left) == (8, 7)
    path.parent.unlink()
    os.rename(tmp_path / "elsewhere", path.parent)
    path.write_bytes(b"PK no archive")
    _say_digests(trained, path.parent.parent.name)
    with pytest.raises(ValueError, match="is no per-sample table"):
        beside.histograms(store, grouping)

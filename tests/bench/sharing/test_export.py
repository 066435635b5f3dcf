"""`export` writes what was verified, the same bytes each time, whole or not at all; `merge` takes it in again."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sklearn

from bench.files import canonical, sha256
from bench.fingerprint import ROOT, harness_code
from bench.sharing import archive
from bench.sweep.records.result import seal
from bench.sweep.records.store import Store
from tests.bench.sharing.conftest import packed, relisted, told, unpacked


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.zip"


# --- what is right


def test_what_was_exported_and_merged_elsewhere_makes_the_same_table_and_verifies(
    trained, suite, out, tmp_path, say, monkeypatch
):
    monkeypatch.setattr(archive.tempfile, "tempdir", str(tmp_path))  # others use the usual one at the same time
    before = content(trained)
    assert say("export", *suite, "--results", trained, "--out", out)[0] == 0
    assert content(trained) == before  # nothing is written where it is read
    there = tmp_path / "there"
    code, said, err = say("merge", out, "--results", there)
    assert (code, err) == (0, "")
    assert said.splitlines() == [
        f"{out} into {there}:",
        "        8  runs copied",
        "        4  label sets copied",
        "        1  suite copied",
    ]
    tables = [say("table", *suite, "--results", folder) for folder in (trained, there)]
    assert tables[0] == tables[1]
    assert tables[0][0] == 0
    for path in (path for form in ("csv", "md", "tex") for path in trained.glob(f"tables/*/accuracy.{form}")):
        assert (there / path.relative_to(trained)).read_bytes() == path.read_bytes()
    code, said, _ = say("verify", *suite, "--results", there)
    assert (code, said.splitlines()[-1]) == (0, "all of it is right")
    assert say("export", *suite, "--results", there, "--out", tmp_path / "again.zip")[0] == 0
    assert (tmp_path / "again.zip").read_bytes() == out.read_bytes()
    assert not list(Path(archive.tempfile.gettempdir()).glob(f"{archive.PREFIX}*"))


def test_an_unpacked_archive_is_merged_as_a_folder_is(files, suite, tmp_path, say):
    for name, data in files.items():
        (tmp_path / "unpacked" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "unpacked" / name).write_bytes(data)
    assert say("merge", tmp_path / "unpacked", "--results", tmp_path / "there")[0] == 0
    assert say("verify", *suite, "--results", tmp_path / "there")[0] == 0


def test_the_archive_lists_what_it_holds_and_names_no_host(trained, files):
    said = told(files)
    others = {name: data for name, data in files.items() if name != "submission.json"}
    assert said["files"] == {name: {"bytes": len(data), "sha256": sha256(data)} for name, data in others.items()}
    assert list(files)[-1] == "submission.json"
    assert (said["name"], said["by"], said["link"]) == ("Ours", "A group", "https://example.org/paper")
    assert said["harness"]["code"] == harness_code()
    assert said["suite"]["digest"] == sha256(canonical(said["suite"]["definition"]))
    assert {name: (given["planned"], given["finished"]) for name, given in said["methods"].items()} == {
        "ce": (4, 4),
        "dml": (4, 4),
    }
    kinds = {name.rpartition("/")[2].rpartition("-")[0] or name.rpartition("/")[2] for name in files}
    assert {"result.json", "config.json", "predictions"} <= kinds
    assert not any(part in name for name in files for part in ("attempts", "log.txt", "samples"))
    host = json.loads(next(trained.glob("runs/*/attempts/????????????????????????????????.json")).read_bytes())["host"]
    assert not any(b'"host":' in data for data in files.values())
    assert not any(f'"{host}"'.encode() in data for data in files.values())
    for path in trained.glob("runs/*/result.json"):
        assert files[str(path.relative_to(trained))] == path.read_bytes()


def test_runs_csv_has_every_run_rule_and_head_as_the_records_have_them(files):
    rows = list(csv.DictReader(io.StringIO(files["runs.csv"].decode())))
    heads = {"ce": ["headline", "net1"], "dml": ["headline", "ensemble", "net1", "net2"]}
    assert len(rows) == 4 * 5 * sum(map(len, heads.values()))
    by = {(row["run_id"], row["rule"], row["head"]): row for row in rows}
    for name in (name for name in files if name.endswith("result.json")):
        payload = json.loads(files[name])["payload"]
        last = payload["history"][-1]["heads"]
        mean = sum(last[head]["test"] for head in payload["headline"]) / len(payload["headline"]) / 100
        assert float(by[(payload["run_id"], "last", "headline")]["accuracy"]) == pytest.approx(mean, abs=1e-12)
        assert by[(payload["run_id"], "last", "headline")]["noise_id"] == payload["noise_id"]
    assert not any("±" in value for row in rows for value in row.values())


def test_the_same_runs_make_the_same_bytes_and_nothing_else_is_written_over(trained, suite, out, say):
    words = ["export", *suite, "--results", trained, "--out", out]
    assert say(*words)[1].splitlines()[-1].startswith(f"written: {out} (0.")
    first, stamp = out.read_bytes(), out.stat().st_mtime_ns
    code, said, _ = say(*words)
    assert (code, said.splitlines()[-1].endswith("holds the same already")) == (0, True)
    assert out.stat().st_mtime_ns == stamp
    code, said, err = say(*words, "--name", "Another")
    assert (code, said) == (2, "")
    assert err == f"run_bench.py export: {out} holds something else: --force writes over it\n"
    assert out.read_bytes() == first
    assert say(*words, "--name", "Another", "--force")[0] == 0
    assert told(unpacked(out))["name"] == "Another"
    assert [path.name for path in out.parent.iterdir() if path.is_file()] == ["out.zip"]


def test_everything_of_a_folder_goes_into_one_archive(trained, suite, out, tmp_path, say):
    assert say("export", "--everything", "--results", trained, "--out", out)[0] == 0
    assert told(unpacked(out))["suite"] is None
    assert str(trained).encode() not in canonical(told(unpacked(out)))
    assert say("merge", out, "--results", tmp_path / "there")[0] == 0
    assert say("table", *suite, "--results", tmp_path / "there") == say("table", *suite, "--results", trained)
    code, _, err = say("export", "--everything", *suite, "--results", trained, "--out", out)
    flags = "--methods, --dataset, --noise, --seeds, --epochs, --train-limit, --test-limit, --set"
    assert (code, err) == (
        2,
        f"run_bench.py export: --everything takes all runs of the results folder; leave out {flags}\n",
    )


def test_runs_that_are_not_finished_are_counted_and_left_out(trained, runs, suite, out, say):
    shutil.rmtree(trained / "runs" / runs[0].run_id)
    (trained / "runs" / runs[1].run_id / "result.json").unlink()
    for end in (trained / "runs" / runs[1].run_id / "attempts").glob("*.end.json"):
        end.write_bytes(canonical({"class": "error", "final": True, "message": "RuntimeError: broken"}))
    code, said, _ = say("export", *suite, "--results", trained, "--out", out)
    assert code == 0
    assert said.splitlines()[0].endswith(": 6 of 8 runs, 4 label sets")
    assert "  not finished, so left out: 1 failed, 1 planned" in said.splitlines()
    assert told(unpacked(out))["left_out"] == {"failed": 1, "planned": 1}
    assert told(unpacked(out))["methods"]["ce"]["planned"] == 4


def test_the_source_of_an_own_method_is_enclosed_when_asked_and_if_it_is_the_one_that_ran(own, tmp_path, out, say):
    words = own.words
    code, said, _ = say("export", *words, "--out", out)
    lines = said.splitlines()
    assert code == 0
    assert "  methods of one's own: mine.Mine, by the digest of their code; --with-code encloses the source" in lines
    places = f"  to be read in it: folders of this machine, in commands or the suite: {own.path}:Mine and "
    assert any(line.startswith(places) for line in lines)
    assert not any(name.startswith("code/") for name in unpacked(out))
    assert say("export", *words, "--out", out, "--with-code", "--force")[0] == 0
    assert unpacked(out)["code/mine.py"] == own.path.read_bytes()
    assert told(unpacked(out))["methods"]["mine.Mine"]["planned"] == 1
    code, _, err = say("export", "--everything", "--results", own.results, "--out", tmp_path / "x.zip", "--with-code")
    lost = "--with-code: where the source of mine.Mine lies is not known: name it by --methods"
    assert (code, err) == (2, f"run_bench.py export: {lost}\n")
    text = own.path.read_text()
    own.path.write_text(text.replace("(loss)", "(2 * loss)"))
    try:
        code, _, err = say("export", *words, "--out", out, "--with-code", "--force")
    finally:
        own.path.write_text(text)
    changed = "--with-code: mine.py is no longer the code that the runs of mine.Mine were made by"
    assert (code, err) == (2, f"run_bench.py export: {changed}\n")


@contextmanager
def as_somebody_else(folder: Path) -> Iterator[None]:
    """Nothing in the folder can be written, as to a user who is not its owner."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)


def test_a_read_only_folder_is_exported_and_checked_and_its_page_goes_elsewhere(trained, suite, files, board, say):
    if os.geteuid() == 0 and not all(path.stat().st_mode & 0o001 for path in (ROOT, *ROOT.parents)):
        pytest.skip("root can write everywhere, and nobody else may read this checkout")
    # the digits lie beside scikit-learn, which others may not be let to: then the submission is unchecked
    at_hand = all(path.stat().st_mode & 0o001 for path in Path(sklearn.__file__).parents)
    board.put(files)  # whatever is imported late is imported here
    assert say("leaderboard", board.folder)[0] == 0
    with tempfile.TemporaryDirectory() as place:  # of pytest's folders, others may not even list the names
        os.chmod(place, 0o777)
        results, there = Path(place, "results"), Path(place, "board")
        shutil.copytree(trained, results)
        with as_somebody_else(results):
            assert say("export", *suite, "--results", results, "--out", Path(place, "one.zip"))[0] == 0
        there.mkdir()
        shutil.copy(Path(place, "one.zip"), there)
        with as_somebody_else(there):
            assert say("leaderboard", there, "--check")[0] == (0 if at_hand else 1)
            code, _, err = say("leaderboard", there)
            assert code == 2
            assert err.startswith(f"run_bench.py leaderboard: {there / 'leaderboard.html'}")
            assert err.endswith(": Permission denied\n")
            assert say("leaderboard", there, "--out", Path(place, "page.html"))[0] == 0
        assert [path.name for path in there.iterdir()] == ["one.zip"]


# --- what is wrong


def flipped(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    return path


def conflicting(folder: Path) -> Path:
    run = next(path for path in sorted((folder / "runs").iterdir()))
    found = json.loads((run / "result.json").read_bytes())
    found["payload"]["history"][0]["loss"][0] += 1.0
    (run / "conflicts").mkdir()
    (run / "conflicts" / f"{'a' * 32}.json").write_bytes(seal(found["payload"], {}))
    return run / "conflicts" / f"{'a' * 32}.json"


def without(path: Path) -> Path:
    path.unlink()
    return path


DAMAGES = {
    "result": lambda folder: flipped(next(folder.glob("runs/*/result.json"))),
    "config": lambda folder: flipped(next(folder.glob("runs/*/config.json"))),
    "no config": lambda folder: without(next(folder.glob("runs/*/config.json"))),
    "predictions": lambda folder: flipped(next(folder.glob("runs/*/predictions-*"))),
    "no predictions": lambda folder: without(next(folder.glob("runs/*/predictions-*"))),
    "labels": lambda folder: flipped(next(folder.glob("noise/*.npz"))),
    "no labels": lambda folder: without(next(folder.glob("noise/*.npz"))),
    "two results": conflicting,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_refuses_the_export_by_name(damage, trained, suite, out, say):
    path = damage(trained)
    code, said, err = say("export", *suite, "--results", trained, "--out", out)
    assert (code, said, out.exists()) == (3, "", False)
    first, last = err.splitlines()
    assert first.startswith(f"{path}: ")
    assert last == "nothing is exported: what is damaged proves nothing (see `verify`)"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "x.tar"], "--out must be the name of a .zip file, got 'x.tar'"),
        (["--out", "nowhere/x.zip"], "there is no folder nowhere"),
        (["--out", "x.zip", "--link", "javascript:alert(1)"], "--link must be an address that begins with http:// or"),
        (["--out", "x.zip", "--name", "a\nb"], "--name must be one line of at most 300 printable characters, got "),
        (["--out", "x.zip", "--results", "empty"], "no run of 'digits-"),
        (["--out", "linked.zip"], "linked.zip: must be a regular file; links are not followed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_2_and_nothing_is_written(words, message, trained, suite, tmp_path, say, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("linked.zip").symlink_to("elsewhere.zip")
    before = content(tmp_path)
    code, said, err = say("export", *suite, "--results", trained, *words)
    assert (code, said, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"run_bench.py export: {message}")
    assert content(tmp_path) == before


def test_an_archive_that_is_killed_while_it_is_written_leaves_nothing(tmp_path):
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from bench.sharing import archive\n"
        "def files():\n"
        "    yield 'runs.csv', os.urandom(1 << 20)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "archive.write(Path(sys.argv[1]), files())\n"
    )
    out = tmp_path / "killed" / "out.zip"
    out.parent.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program, str(out)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(out.parent.iterdir()) == []


def test_where_files_must_have_a_name_an_error_leaves_nothing_either(tmp_path, monkeypatch):
    real = os.open

    def refusing(path, flags, *more, **named):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(archive.errno.EOPNOTSUPP, "no nameless files here", str(path))
        return real(path, flags, *more, **named)

    def broken():
        yield "runs.csv", b"1"
        raise ValueError("stop")

    monkeypatch.setattr(archive.os, "open", refusing)
    with pytest.raises(ValueError, match="stop"):
        archive.write(tmp_path / "out.zip", broken())
    assert list(tmp_path.iterdir()) == []
    assert archive.write(tmp_path / "out.zip", [("runs.csv", b"1")])
    assert [path.name for path in tmp_path.iterdir()] == ["out.zip"]


def test_a_full_disk_is_one_line_and_leaves_nothing(trained, suite, files, out, tmp_path, say, monkeypatch):
    def full(*_):
        raise OSError(archive.errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archive.os, "fsync", full)
    code, said, err = say("export", *suite, "--results", trained, "--out", out)
    assert (code, said, err) == (1, "", f"stopped: {out}: No space left on device; nothing is left of it\n")
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    monkeypatch.undo()
    one = packed(relisted(files, by="nobody who was checked before"), tmp_path / "one.zip")
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    code, said, err = say("merge", one, "--results", tmp_path / "there")
    assert (code, said, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"run_bench.py merge: {one}: cannot be unpacked: one.zip needs ")
    code, said, err = say("leaderboard", tmp_path, "--check")
    assert (code, said) == (2, "")
    assert err.endswith("bytes to be unpacked, 1 are free\n")


def test_a_damaged_archive_is_refused_whole_and_the_others_are_merged(files, runs, tmp_path, say):
    good, bad, there = packed(files, tmp_path / "good.zip"), tmp_path / "bad.zip", tmp_path / "there"
    name = next(name for name in files if name.endswith("result.json"))
    packed({**files, name: files[name][:-1] + b" "}, bad)
    code, _, err = say("merge", bad, good, "--results", there)
    assert code == 3
    assert err == f"{bad}: {name}: its digest is not the one in submission.json\n"
    assert len(Store(there).run_ids()) == 8
    shutil.rmtree(there)
    assert say("merge", bad, "--results", there)[0] == 3
    assert not there.exists()


def test_a_damaged_record_that_is_listed_as_it_is_is_named_by_the_archive(files, tmp_path, say):
    name = next(name for name in files if name.endswith("result.json"))
    bad = packed(relisted({**files, name: files[name][:-1] + b" "}), tmp_path / "bad.zip")
    code, _, err = say("merge", bad, "--results", tmp_path / "there")
    assert (code, err) == (3, f"{bad}/{name}: sha256 does not match the record\n")
    assert len(Store(tmp_path / "there").run_ids()) == 7


def test_a_merge_that_is_killed_leaves_a_temporary_folder_that_the_next_removes(tmp_path, monkeypatch, files):
    monkeypatch.setattr(archive.tempfile, "tempdir", str(tmp_path))
    old, young = tmp_path / f"{archive.PREFIX}old", tmp_path / f"{archive.PREFIX}young"
    for folder in (old, young):
        (folder / "runs").mkdir(parents=True)
    os.utime(old, (1, 1))
    with archive.opened(packed(files, tmp_path / "one.zip")) as (folder, _):
        assert folder.parent == tmp_path
        assert (old.exists(), young.exists()) == (False, True)
        os.utime(folder, (1, 1))
        with archive.opened(tmp_path / "one.zip"):  # the first is old by its time, and held
            assert (folder / "runs").is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == [young.name, "one.zip"]


def test_entries_of_an_archive_are_plain_files_of_one_date(archived):
    with zipfile.ZipFile(io.BytesIO(archived)) as found:
        facts = {(entry.date_time, entry.external_attr >> 16, entry.create_system) for entry in found.infolist()}
    assert facts == {((1980, 1, 1, 0, 0, 0), 0o100644, 3)}

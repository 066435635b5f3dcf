"""Odd folders and what happens to them while runs work in them."""

import os
import shutil

import pytest

from bench.sweep.records.store import State, Store
from tests.faults.conftest import contents

TINY = ["--dataset", "digits", "--noise", "symmetric:0.5", "--methods", "ce", "--seeds", "0", "--epochs", "1"]
TINY += ["--train-limit", "64", "--test-limit", "64", "--set", "trace_samples=32", "batch_size=16"]
RUN = [*TINY, "--devices", "cpu", "--per-device", "1"]  # the server of the tests runs elsewhere: name results in full


def test_f33_false_times_change_neither_what_is_resumed_nor_what_is_shown(plan, launch, tmp_path):
    (run,) = plan(order="raise", at=2)
    launch([run])
    store = Store(tmp_path / "results")
    folder = store.run(run.run_id)
    newest, older = (path for _, path in folder.checkpoints())
    for path in sorted((tmp_path / "results").rglob("*")):
        os.utime(path, (0, 0))
    os.utime(older, (2**32, 2**32))  # in the year 2106: by its time it would be the newest of all
    assert folder.state() is State.FAILED
    assert [path for _, path in folder.checkpoints()] == [newest, older]
    (outcome,) = launch([run])
    assert outcome.state is State.DONE
    assert (tmp_path / "epochs").read_text().split() == ["raise0", "raise1", "raise2", "raise2"]


def test_f13_a_living_pid_in_an_old_record_is_no_run(plan, launch, tmp_path):
    (run,) = plan("ce")
    folder = Store(tmp_path / "results").run(run.run_id)
    with folder.lock():
        folder.write_config(run.config.to_dict())
        for pid, boot in ((os.getpid(), ""), (1, "another start of this machine"), (2**22 + 1, "")):
            folder.start_attempt({"pid": pid, "host": os.uname().nodename, "boot": boot, "launch": "gone"})
        assert folder.state() is State.RUNNING  # by the lock
    assert folder.state() is State.INTERRUPTED
    (outcome,) = launch([run])
    assert outcome.state is State.DONE
    assert [end["class"] if end else None for _, end in folder.attempts()] == [None, None, None, "done"]


ODD = [
    "x" * 240,
    "[a-z]*? {b}",
    "$(touch hacked) `touch hacked`; touch hacked",
    "-rf",
    "a\nb\tc",
    "'\"\\",
    "ünïcödé 🎲 ا",
]


@pytest.mark.parametrize("name", ODD, ids=["long", "patterns", "shell", "dash", "line break", "quotes", "unicode"])
def test_f35_a_results_folder_may_have_any_name(here, forked, tmp_path, capsys, name):
    where = ["--results", str(tmp_path / name)]
    assert here("run", *RUN, *where) == 0
    assert here("status", *TINY, *where) == 0
    assert "1 done" in capsys.readouterr().out
    assert here("table", *TINY, *where, "--format", "csv") == 0
    assert '"ce"' in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".py"] == [name]
    (run_id,) = Store(tmp_path / name).run_ids()
    assert here("show", run_id[:8], *where) == 0


@pytest.mark.parametrize("part", ["runs", "noise", "suites", "tables"])
def test_f37_a_link_in_the_place_of_a_part_of_the_results_is_refused_before_anything_is_written(
    here, tmp_path, capsys, part
):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / part).symlink_to(tmp_path / "elsewhere")
    where = ["--results", str(tmp_path / "results")]
    for words in (["run", *RUN], ["status", *TINY], ["table", *TINY], ["show", "r0"], ["plot", *TINY]):
        assert here(*words, *where) == 2
        assert capsys.readouterr().err.endswith(f"results/{part}: must be a folder; links are not followed\n")
    assert contents(tmp_path) == {f"results/{part}": str(tmp_path / "elsewhere").encode()}


def test_f37_links_deeper_in_the_results_lead_no_writer_out(here, forked, tmp_path, capsys):
    where = ["--results", str(tmp_path / "results")]
    assert here("run", *RUN, *where) == 0
    capsys.readouterr()
    (tmp_path / "elsewhere").mkdir()
    (table,) = (tmp_path / "results" / "tables").iterdir()
    shutil.rmtree(table)
    table.symlink_to(tmp_path / "elsewhere")
    assert here("table", *TINY) == 0
    out, err = capsys.readouterr()
    assert "symmetric 50%" in out
    assert (
        err
        == f"not written beside the records: results/tables/{table.name}: must be a folder; links are not followed\n"
    )
    for name in ("index", "files"):
        shutil.rmtree(tmp_path / "results" / "noise" / name, ignore_errors=True)
        (tmp_path / "results" / "noise" / name).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "labels.csv").write_text("label,label_noisy\n" + "0,1\n" * 1437)
    assert here("run", *RUN, *where, "--noise", "file:labels.csv") == 2
    assert "links are not followed" in capsys.readouterr().err
    assert here("run", *RUN, *where, "--seeds", "1") == 2
    assert "links are not followed" in capsys.readouterr().err
    assert contents(tmp_path / "elsewhere") == {}
    (run_id,) = Store(tmp_path / "results").run_ids()
    result = tmp_path / "results" / "runs" / run_id / "result.json"
    result.rename(tmp_path / "elsewhere" / "result.json")
    result.symlink_to(tmp_path / "elsewhere" / "result.json")
    assert here("table", *TINY) == 3  # a link to the right record is no record
    assert str(run_id) in capsys.readouterr().err

"""The same command once more: what is done is kept, what is new, failed or damaged is trained."""

import json

import pytest

from bench.sweep.records.store import Conflict, Store
from tests.bench.sweep.drivers import epochs_of, results_of, words


def test_a_failed_run_is_tried_by_a_new_launch_and_left_alone_when_asked(command, odd, tmp_path):
    argv = words(odd, "odd.Odd.order=raise", "--seeds", "0")
    assert command(*argv) == 1
    before = epochs_of(tmp_path)
    assert command(*argv, "--no-retry-failed") == 1
    assert epochs_of(tmp_path) == before == ["raise0", "raise1"]
    assert command(*argv) == 0
    assert epochs_of(tmp_path)[2:] == ["raise1", "raise2"]


def test_f35_an_odd_results_folder_works(command, odd, tmp_path):
    assert command(*words(odd, "--seeds", "0", results="a folder, 100 % ünusual")) == 0
    assert len(results_of(tmp_path / "a folder, 100 % ünusual")) == 1


def test_f49_more_seeds_train_only_the_new_ones(command, odd, tmp_path):
    assert command(*words(odd, "--seeds", "0-1")) == 0
    two = results_of(tmp_path / "results")
    assert command(*words(odd, "--seeds", "0-2")) == 0
    three = results_of(tmp_path / "results")
    assert len(epochs_of(tmp_path)) == 3 * 3
    assert {run_id: three[run_id] for run_id in two} == two
    assert len(three) == 3


def test_f45_results_of_an_edited_method_are_kept_and_said_or_trained_again_when_asked(command, odd, tmp_path, capsys):
    argv = words(odd, "--seeds", "0")
    assert command(*argv) == 0
    ((run_id, first),) = results_of(tmp_path / "results").items()
    odd.write_text(odd.read_text().replace(".mean(-1))", ".mean(-1) * 3)"))
    capsys.readouterr()
    assert command(*argv) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 runs were made by other code than today's: odd.Odd (run --stale rerun trains them again)" in said
    assert results_of(tmp_path / "results") == {run_id: first}
    assert command(*argv, "--stale", "rerun") == 0
    old, new = json.loads(first[2])["payload"], Store(tmp_path / "results").run(run_id).result().payload
    assert old["method_code"] != new["method_code"]
    assert old["history"] != new["history"]
    (kept,) = (tmp_path / "results" / "runs" / run_id / "quarantine").iterdir()
    assert kept.read_bytes() == first[2]
    capsys.readouterr()
    assert command(*argv) == 0
    assert "other code" not in capsys.readouterr().out


def test_f29_an_edited_result_is_refused_by_table_and_trained_again_by_run(command, odd, tmp_path, capsys):
    argv = words(odd, "--seeds", "0-1")
    assert command(*argv) == 0
    path = sorted((tmp_path / "results").glob("runs/*/result.json"))[0]
    good = path.read_bytes()
    payload = Store(tmp_path / "results").run(path.parent.name).result().payload
    path.write_bytes(good.replace(b'"test":', b'"test":1', 1))
    capsys.readouterr()
    where = argv.index("--devices")
    selection = argv[:where] + argv[where + 4 :]
    assert command("table", *selection) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert str(path) in err
    assert command("table", *selection, "--allow-incomplete") == 0
    assert "(1/2)" in capsys.readouterr().out
    assert command("run", *argv) == 0
    assert Store(tmp_path / "results").run(path.parent.name).result().payload == payload
    assert len(list(path.parent.glob("quarantine/result.json.*"))) == 1
    assert command("table", *selection) == 0


def test_f14_a_run_that_came_out_in_two_ways_is_an_alarm_for_run_and_table(command, odd, tmp_path, capsys):
    argv = words(odd, "--seeds", "0")
    assert command(*argv) == 0
    store = Store(tmp_path / "results")
    (folder,) = [store.run(run_id) for run_id in store.run_ids()]
    result = folder.result()
    with pytest.raises(Conflict):
        folder.commit(result.payload | {"forward_samples": 1}, result.provenance)
    (other,) = (folder.path / "conflicts").iterdir()
    where = argv.index("--devices")
    capsys.readouterr()
    assert command("table", *argv[:where], *argv[where + 4 :]) == 3
    assert str(other) in capsys.readouterr().err
    assert command(*argv) == 3
    assert str(other) in capsys.readouterr().err
    assert folder.result() == result

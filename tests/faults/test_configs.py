"""Suites, settings and stored records whose text means something else than its author believes."""

import json

import pytest

from bench.files import NAME_PATTERN, canonical, parse
from bench.sweep.planning import grid
from bench.sweep.records.store import Store
from noise.formats import read_labels
from tests.faults.conftest import contents

SUITE = 'dataset = "digits"\nnoise = ["symmetric:0.5"]\nmethods = ["ce"]\nseeds = "0"\n'


def refused(here, capsys, *words: str) -> str:
    assert here(*words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


# what YAML 1.1 would read as a text, an octal number, a truth and a number of base 60
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("epochs = 012", "not a TOML file: "),
        ("epochs = 1:30", "not a TOML file: "),
        ("normalise = on", "not a TOML file: "),
        ("normalise = yes", "not a TOML file: "),
        ("normalise = 'on'", "train.normalise must be true or false, got 'on'"),
        ("normalise = 1", "train.normalise must be true or false, got 1"),
        ("epochs = '10'", "train.epochs must be a whole number, got '10'"),
        ("epochs = 1.5", "train.epochs must be a whole number, got 1.5"),
        ("epochs = true", "train.epochs must be a whole number, got True"),
        ("epochs = 1979-05-27", "train.epochs must be a whole number, got datetime.date(1979, 5, 27)"),
        ("optimizer.lr = '1e-3'", "train.optimizer.lr must be a finite number, got '1e-3'"),
        ("optimizer.lr = -0.1", "optimizer.lr must be above 0, got -0.1"),
        ("optimizer.lr = inf", "train.optimizer.lr must be a finite number, got inf"),
        ("optimizer.lr = [1]", "train.optimizer.lr must be a finite number, got [1]"),
    ],
)
def test_f69_f70_a_value_of_another_type_is_refused_with_its_key_or_its_line(here, tmp_path, capsys, line, message):
    (tmp_path / "mine.toml").write_text(f"{SUITE}[train]\n{line}\n")
    for verb in ("run", "status"):
        err = refused(here, capsys, verb, "mine.toml")
        assert f"mine.toml: {message}" in err
        if "not a TOML" in message:
            assert "(at line 6, column " in err
    assert set(contents(tmp_path)) == {"mine.toml"}


def test_f69_a_number_with_an_exponent_is_a_number(tmp_path):
    (tmp_path / "mine.toml").write_text(f"{SUITE}[train]\nepochs = 1_0\noptimizer.lr = 1e-3\n")
    (run,) = grid.plan(grid.load(str(tmp_path / "mine.toml")))
    assert (run.config.train.epochs, run.config.train.optimizer.lr) == (10, 0.001)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "epochs=3", "epochs=4"], "--set gives 'epochs' twice"),
        (["--set", "optimizer.lr=.1", "optimizer.lr=.1"], "--set gives 'optimizer.lr' twice"),
        (["--methods", "cmd_p", "--set", "cmd_p.eta=.1", "epochs=1", "cmd_p.eta=.2"], "--set gives 'cmd_p.eta' twice"),
        (["--noise", "symmetric:0.5:flips=iid:flips=exact"], "gives 'flips' twice"),
        (["--set", "optimizer.lr=-1"], "optimizer.lr must be above 0, got -1"),
        (["--set", "epoch=1"], "unknown setting in train 'epoch'; did you mean 'epochs'?"),
        (["--methods", "cmd_p", "--set", "cmd_p.eat=1"], "has no hyper-parameter 'eat'; did you mean 'eta'?"),
        (["--methods", "cmd_p", "--set", f"cmd_p.eta={10**400}"], "cmd_p.eta must be of type float, got 1000"),
        (["--set", f"epochs={10**400}"], "train.epochs must be a whole number, got 1000"),
        (["--set", f"epochs={'[' * 3000}"], "--set: nested too deeply: [[["),
        (["--seeds", "0-9999999999"], "a range holds at most 10,000 seeds, got '0-9999999999'"),
    ],
    ids=lambda value: value[-1][:40] if isinstance(value, list) else "",
)
def test_f68_f70_f71_flags_that_contradict_themselves_or_mean_nothing_are_refused(
    here, tmp_path, capsys, words, message
):
    assert message in refused(here, capsys, "run", "quickstart", *words)
    assert contents(tmp_path) == {}


def test_f71_the_largest_range_of_seeds_is_one():
    assert len(grid.parse_seeds([f"5-{grid.MOST_SEEDS + 4}"])) == grid.MOST_SEEDS
    with pytest.raises(ValueError, match="at most"):
        grid.parse_seeds([f"5-{grid.MOST_SEEDS + 5}"])


TWICE = b'{"name":"theirs","dataset":"digits","noise":["symmetric:0.5"],"methods":["ce"],"seeds":[0],"seeds":[1]}'


def test_f68_a_record_that_gives_a_key_twice_is_read_by_nobody(here, tmp_path, capsys):
    folder = tmp_path / "results" / "suites" / "theirs"
    folder.mkdir(parents=True)
    (folder / f"{'0' * 12}.json").write_bytes(TWICE)
    assert "damaged: JSON repeats the key 'seeds'" in refused(here, capsys, "status", "theirs")
    with pytest.raises(ValueError, match="repeats the key"):
        parse(b'{"a":[{"b":1,"b":1}]}')
    with pytest.raises(ValueError, match=r"x\.json: no file of labels: JSON gives one key twice"):
        read_labels(b'{"noise_labels":[0,1],"noise_labels":[1,0]}', "x.json")
    assert read_labels(b'{"noise_labels":[0,1],"open_noise":[]}', "x.json").given.tolist() == [0, 1]


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\0b", ".", "..", "x" * 300, "a\u202eb", "a\x1bb", "a\x7fb", "a\n", "é"]
)
def test_f72_no_record_is_stored_under_a_name_that_is_a_path_or_moves_a_cursor(tmp_path, name):
    store = Store(tmp_path / "results")
    assert not NAME_PATTERN.match(name)
    with pytest.raises(ValueError, match=r"suite name .* must be 1 to 64 letters"):
        store.save_suite(name, {})
    with pytest.raises(ValueError, match=r"suite name .* must be 1 to 64 letters"):
        store.chosen(name, {})
    with pytest.raises(ValueError, match="must be 'r' and 20 hexadecimal digits"):
        store.run(name)
    assert contents(tmp_path) == {}


def test_f72_the_longest_name_may_be_changed_by_flags_and_a_longer_one_is_refused(here, tmp_path, capsys):
    longest = "x" * 64
    for name in (longest, longest + "x"):
        (tmp_path / f"{name}.toml").write_text(SUITE)
    assert here("status", f"{longest}.toml", "--epochs", "3") == 0  # which gives it a name of its own
    capsys.readouterr()
    assert "suite name 'xxx" in refused(here, capsys, "status", f"{longest}x.toml")


def test_f67_results_hold_json_alone_and_no_other_suite_is_found_there(here, tmp_path, capsys):
    folder = tmp_path / "results" / "suites" / "theirs"
    folder.mkdir(parents=True)
    for name in ("suite.yaml", "suite.toml", "suite.py", "suite.pkl"):
        (folder / name).write_text(json.dumps({"dataset": "digits"}))
    assert "unknown suite 'theirs'" in refused(here, capsys, "status", "theirs")
    (folder / f"{'0' * 12}.json").write_bytes(canonical({"dataset": "digits"}))
    assert "suite lacks 'noise'" in refused(here, capsys, "status", "theirs")

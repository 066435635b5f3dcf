"""From a suite to its runs, and what a reader is told about a suite that makes no sense."""

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import cli
from bench.data import datasets
from bench.sweep.planning import grid, selection
from bench.sweep.planning.grid import Suite, assignments, custom, expand, load, merge, parse_seeds
from bench.sweep.records.store import Store

ROOT = Path(grid.__file__).resolve().parents[2]
MINIMAL = 'dataset = "digits"\nnoise = ["symmetric:0.5"]\nmethods = ["ce"]\nseeds = "0-1"\n'


@pytest.fixture
def suite_file(tmp_path):
    def write(text: str = "", name: str = "mine.toml", base: str = MINIMAL) -> str:
        path = tmp_path / name
        path.write_text(base + text, encoding="utf-8")
        return str(path)

    return write


def said(words: list[str], tmp_path: Path) -> argparse.Namespace:
    return cli.parser().parse_args(["run", *words, "--results", str(tmp_path / "results")])


def refusal(words: list[str], tmp_path: Path) -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - callers compare the text
        selection.planned(said(words, tmp_path))
    text = str(error.value)
    assert "\n" not in text
    assert not (tmp_path / "results").exists()
    return text.replace(f"{tmp_path}/", "")


@pytest.mark.parametrize("name", grid.available())
def test_every_suite_that_comes_along_expands(name, monkeypatch):
    suite = load(name)
    if suite.dataset.startswith("clothing1m"):  # which tells its facts where its files are: photographs like them
        like = replace(datasets.info("cifar10"), name=suite.dataset, shape=(3, 224, 224), train_size=1_000_000)
        monkeypatch.setattr(datasets, "info", lambda name, data_dir=None: like)
    runs = expand(suite)
    assert runs
    assert suite.title
    assert {run.config.method.name for run in runs} == set(suite.methods)


def test_a_suite_is_every_combination_in_the_order_of_the_table():
    suite = Suite("x", "digits", ("symmetric:0.5", "pairflip:0.45"), ("dml", "ce"), (3, 1))
    rows = [(run.noise, run.config.method.name, run.config.seed) for run in expand(suite)]
    assert rows == [
        (noise, method, seed)
        for noise in ("symmetric:0.5", "pairflip:0.45")
        for method in ("dml", "ce")
        for seed in (3, 1)
    ]
    assert [run.networks for run in expand(suite)][::2] == [2, 1, 2, 1]


def test_every_method_of_a_seed_meets_the_same_noise_and_each_seed_its_own():
    runs = expand(Suite("x", "digits", ("symmetric:0.5",), ("ce", "dml"), (0, 5)))
    assert [run.config.noise.seed for run in runs] == [0, 5, 0, 5]
    fixed = expand(Suite("x", "digits", ("symmetric:0.5",), ("ce", "dml"), (0, 5), noise_seed=7))
    assert [run.config.noise.seed for run in fixed] == [7, 7, 7, 7]


def test_f39_two_suites_that_ask_for_the_same_thing_share_its_run():
    one = Suite("one", "digits", ("symmetric:0.5",), ("ce", "dml"), (0,))
    other = Suite("other", "digits", ("pairflip:0.45", "symmetric:0.50"), ("ce",), (0, 1), title="Other")
    assert len({r.run_id for r in expand(one)} & {r.run_id for r in expand(other)}) == 1


def test_seeds_named_twice_are_one_run():
    assert len(expand(Suite("x", "digits", ("symmetric:0.5", "symmetric:0.50"), ("ce",), (0, 0)))) == 1


@pytest.mark.parametrize(
    ("words", "seeds"),
    [
        (["0-4"], (0, 1, 2, 3, 4)),
        (["7"], (7,)),
        (["1,3"], (1, 3)),
        (["0", "1", "2"], (0, 1, 2)),
        (["5-6,0", "5"], (5, 6, 0)),
        (["3-3"], (3,)),
    ],
)
def test_seeds_are_read_as_they_are_typed(words, seeds):
    assert parse_seeds(words) == seeds


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a"], "seeds are whole numbers or ranges such as 0-4, got 'a'"),
        (["-1"], "seeds are whole numbers or ranges such as 0-4, got '-1'"),
        (["1.5"], "seeds are whole numbers or ranges such as 0-4, got '1.5'"),
        (["0,"], "seeds are whole numbers or ranges such as 0-4, got ''"),
        (["4-0"], "no seeds in '4-0': a range goes upwards, as in 0-4"),
        (["0,3-1"], "no seeds in '3-1': a range goes upwards, as in 0-4"),
    ],
)
def test_seeds_that_are_none_are_refused(words, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        parse_seeds(words)
    assert str(error.value) == message


def test_set_tells_training_from_the_hyper_parameters_of_a_method():
    words = ["epochs=5", "optimizer.lr=.1", "schedule.name=steps", "schedule.steps=[0.5, 0.75]", "cmd_p.eta=0.3"]
    train, params = assignments([*words, "normalise=false", "cmd_p.trust=None"], ["ce", "cmd_p"])
    schedule = {"name": "steps", "steps": [0.5, 0.75]}
    assert train == {"epochs": 5, "optimizer": {"lr": 0.1}, "schedule": schedule, "normalise": False}
    assert params == {"cmd_p": {"eta": 0.3, "trust": None}}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("epochs", "--set takes key=value, such as epochs=10 or optimizer.lr=0.01; got 'epochs'"),
        ("cmd_q.eta=1", "unknown method or table in --set 'cmd_q'; did you mean 'cmd_p'?"),
    ],
)
def test_set_refuses_what_it_does_not_know(word, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        assignments([word], ["ce", "cmd_p"])
    assert str(error.value) == message


def test_set_refuses_an_optimizer_that_is_first_a_word_and_then_a_table():
    with pytest.raises(
        ValueError, match=r"--set optimizer takes a table; for another optimizer write optimizer\.name="
    ):
        assignments(["optimizer=adam", "optimizer.lr=1"], ["ce"])


def test_another_kind_of_schedule_leaves_nothing_of_the_old_one():
    recipe = {"schedule": {"name": "linear", "start": 0.6}, "optimizer": {"name": "sgd", "lr": 0.1}}
    merged = merge(recipe, {"schedule": {"name": "cosine"}, "optimizer": {"lr": 0.2}})
    assert merged == {"schedule": {"name": "cosine"}, "optimizer": {"name": "sgd", "lr": 0.2}}
    assert recipe["optimizer"]["lr"] == 0.1


def test_the_preset_of_a_paper_replaces_the_recipe_and_flags_replace_both():
    suite = Suite("x", "cifar10", ("symmetric:0.5",), ("co_teaching",), (0,), preset="paper")
    (run,) = expand(suite)
    assert run.config.train.preset == "paper"
    assert (run.config.train.epochs, run.config.train.augment, run.config.train.network) == (200, "none", "cnn9")
    assert run.config.train.optimizer.name == "adam"
    (short,) = expand(replace(suite, train={"epochs": 3}))
    assert (short.config.train.epochs, short.config.train.optimizer.name) == (3, "adam")
    assert short.run_id != run.run_id


def test_a_preset_that_a_method_lacks_is_refused_with_those_it_has():
    with pytest.raises(ValueError, match="method 'co_teaching' has no preset 'papr'; it has uniform, paper"):
        expand(Suite("x", "cifar10", ("symmetric:0.5",), ("co_teaching",), preset="papr"))


def test_a_changed_suite_gets_a_name_of_its_own_and_an_unchanged_one_keeps_its_name():
    suite = load("quickstart")
    assert custom(suite, seeds=suite.seeds, train={}) is suite
    names = {custom(suite, **change).name for change in ({"seeds": (0,)}, {"val": 0.2}, {"train": {"epochs": 3}})}
    assert len(names) == 3
    assert all(name.startswith("quickstart-") for name in names)
    assert "quickstart" not in names
    assert custom(suite, seeds=(0,)) == custom(suite, seeds=(0,))


def test_a_long_name_stays_a_name_when_the_suite_is_changed(tmp_path):
    suite = replace(load("quickstart"), name="x" * 64)
    Store(tmp_path).save_suite(custom(suite, seeds=(0,)).name, {})


def test_a_changed_suite_drops_a_baseline_that_it_no_longer_has():
    suite = load("quickstart")
    assert custom(suite, methods=("dml",)).baseline is None
    assert custom(suite, methods=("dml", "ce")).baseline == "ce"


def test_flags_change_a_named_suite(tmp_path):
    words = ["quickstart", "--seeds", "0", "--methods", "ce", "--epochs", "2", "--val", "0.2", "--noise-seed", "9"]
    suite, runs = selection.planned(said([*words, "--train-limit", "100", "--test-limit", "50"], tmp_path))
    assert len(runs) == 3
    config = runs[0].config
    assert (config.train.epochs, config.dataset.val, config.noise.seed) == (2, 0.2, 9)
    assert (config.dataset.train_limit, config.dataset.test_limit) == (100, 50)
    assert suite.name.startswith("quickstart-")


def test_hyper_parameters_of_a_suite_stay_with_the_methods_that_stay(suite_file, tmp_path):
    path = suite_file("[params]\ncmd_p = { eta = 0.25 }\n", base=MINIMAL.replace('["ce"]', '["ce", "cmd_p"]'))
    _, runs = selection.planned(said([path, "--methods", "cmd_p"], tmp_path))
    assert runs[0].config.method.params["eta"] == 0.25
    _, runs = selection.planned(said([path, "--methods", "ce"], tmp_path))
    assert [run.config.method.name for run in runs] == ["ce", "ce"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sseds = 3\n", "mine.toml: unknown setting in suite 'sseds'; did you mean 'seeds'?"),
        ("val = 'x'\n", "mine.toml: suite.val must be a finite number, got 'x'"),
        ("val = nan\n", "mine.toml: suite.val must be a finite number, got nan"),
        ("val = 1.5\n", "mine.toml: val must be in [0, 1), got 1.5"),
        ("train_limit = 2\n", "mine.toml: train_limit must be between 4 and 1,437, the size of digits; got 2"),
        ("train_limit = 4\nval = 0.9\n", "mine.toml: val 0.9 leaves fewer than 2 of 4 samples to train on"),
        ("baseline = 'dml'\n", "mine.toml: unknown baseline 'dml'; allowed: ce"),
        ("preset = 'papr'\n", "mine.toml: method 'ce' has no preset 'papr'; it has uniform, "),
        ("name = 'a/b'\n", "mine.toml: suite name 'a/b' must start with a letter or digit"),
        ("name = '../x'\n", "mine.toml: suite name '../x' must start with a letter or digit"),
        ("[params]\nce = 5\n", "mine.toml: suite.params.ce must be a table, got 5"),
        ("[params]\ndml = {}\n", "mine.toml: unknown method in params 'dml'; allowed: ce"),
        ("[params.ce]\neta = 1\n", "mine.toml: method 'ce' has no hyper-parameter 'eta'; allowed: none"),
        ("[train]\nepoch = 1\n", "mine.toml: unknown setting in train 'epoch'; did you mean 'epochs'?"),
        ("[train]\nepochs = 0\n", "mine.toml: epochs must be at least 1, got 0"),
        ("[train]\noptimizer = 'sgd'\n", "mine.toml: train.optimizer must be a table of settings, got 'sgd'"),
        ("[train]\nnetwork = 'resnet'\n", "mine.toml: unknown network 'resnet'; did you mean 'resnet50'?"),
        ("[train]\nnetwork = 'cnn9'\n", "mine.toml: network 'cnn9' needs images of at least 28 x 28 pixels, but"),
        ("[train]\naugment = 'flip'\n", "mine.toml: unknown train.augment 'flip'; did you mean 'crop_flip'?"),
        ("seeds = [0]\n", "mine.toml: not a TOML file: Cannot overwrite a value"),
        ("x = \n", "mine.toml: not a TOML file: Invalid value"),
    ],
)
def test_f68_f70_a_wrong_suite_file_is_refused_by_file_and_key(suite_file, tmp_path, text, message):
    assert refusal([suite_file(text)], tmp_path).startswith(message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"digits"', '"digit"', "mine.toml: unknown dataset 'digit'; did you mean 'digits'?"),
        ('"symmetric:0.5"', '"symetric:0.5"', "mine.toml: unknown noise family 'symetric'; did you mean 'symmetric'"),
        ('"symmetric:0.5"', '"symmetric:20"', "mine.toml: noise rate must be in [0, 1), got 20; for 20 % write 0.2"),
        ('["symmetric:0.5"]', "[]", "mine.toml: suite.noise is empty"),
        ('["ce"]', "[]", "mine.toml: suite.methods is empty"),
        ('["ce"]', '["ce", "cee"]', "mine.toml: unknown method 'cee'; did you mean 'ce'?"),
        ('["ce"]', '"ce"', "mine.toml: suite.methods must be a list, got 'ce'"),
        ('["ce"]', '["ce", "dml", "ce"]', "mine.toml: method 'ce' is named twice"),
        ('"0-1"', '"4-1"', "mine.toml: no seeds in '4-1': a range goes upwards"),
        ('"0-1"', "[-1]", "mine.toml: seed must be in [0, 2**32), got -1"),
        ('dataset = "digits"\n', "", "mine.toml: suite lacks 'dataset'"),
    ],
)
def test_f70_a_wrong_value_in_a_suite_file_is_refused_by_file(suite_file, tmp_path, old, new, message):
    assert old in MINIMAL
    assert refusal([suite_file(base=MINIMAL.replace(old, new))], tmp_path).startswith(message)


def test_the_file_is_not_blamed_for_a_flag(suite_file, tmp_path):
    assert refusal([suite_file(), "--epochs", "0"], tmp_path) == "epochs must be at least 1, got 0"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--val", "nan"], "val must be in [0, 1), got nan"),
        (["--set", "epochs=inf"], "train.epochs must be a whole number, got inf"),
        (["--set", "optimizer.lr=nan"], "train.optimizer.lr must be a finite number, got nan"),
        (["--set", "augment=foo"], "unknown train.augment 'foo'; allowed: crop_flip, crop_flip_reflect, none"),
        (["--network", "cnn9"], "network 'cnn9' needs images of at least 28 x 28 pixels, but digits has 8 x 8"),
    ],
)
def test_f70_a_wrong_flag_is_refused_by_its_name(tmp_path, words, message):
    assert refusal(["quickstart", *words], tmp_path).startswith(message)


def test_an_unknown_baseline_is_answered_with_the_nearest(tmp_path):
    args = said(["quickstart", "--baseline", "cee"], tmp_path)
    with pytest.raises(ValueError, match=r"unknown baseline 'cee'; did you mean 'ce'\?"):
        selection.baseline_of(args, *selection.planned(args))


def test_an_unknown_suite_is_answered_with_the_nearest(tmp_path):
    assert refusal(["quickstat"], tmp_path) == "unknown suite 'quickstat'; did you mean 'quickstart'?"
    assert refusal(["statsu"], tmp_path) == "unknown command or suite 'statsu'; did you mean 'status'?"
    assert refusal(["a/b.toml"], tmp_path) == "there is no suite file a/b.toml"
    assert refusal(["status"], tmp_path) == "the command comes first: run_bench.py status ..."
    both = refusal(["quickstart", "--dataset", "digits"], tmp_path)
    assert both == "give a suite ('quickstart') or --dataset, not both"
    assert refusal(["--dataset", "digits"], tmp_path) == "--dataset needs --noise too: see `list noise`"


def test_a_suite_that_a_run_has_stored_is_found_by_its_name(tmp_path):
    suite = custom(load("quickstart"), seeds=(0, 4), train={"schedule": {"name": "steps", "steps": [0.5]}})
    Store(tmp_path).save_suite(suite.name, suite.to_dict())
    assert load(suite.name, tmp_path).to_dict() == suite.to_dict()
    assert [r.run_id for r in expand(load(suite.name, tmp_path))] == [r.run_id for r in expand(suite)]
    with pytest.raises(ValueError, match=f"unknown suite '{suite.name}x'; did you mean '{suite.name}'"):
        load(suite.name + "x", tmp_path)


def test_a_damaged_stored_suite_is_named(tmp_path):
    path = Store(tmp_path).save_suite("mine", load("quickstart").to_dict())
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=rf"^{path}: damaged: "):
        load("mine", tmp_path)


def test_f73_code_named_in_a_suite_file_needs_to_be_allowed(suite_file, tmp_path):
    canary = tmp_path / "canary"
    own = tmp_path / "own.py"
    own.write_text(f"open({str(canary)!r}, 'w')\nfrom foreign import Base\nclass Mine(Base):\n    pass\n")
    path = suite_file(base=MINIMAL.replace('["ce"]', f'["{own}:Mine"]'))
    assert refusal([path], tmp_path).endswith("names code to be run, own.py:Mine: allow it with --allow-plugin")
    assert not canary.exists()
    own.write_text(
        "from dataclasses import dataclass\nfrom methods import LossMethod\n\n\n@dataclass(eq=False)\n"
        'class Mine(LossMethod):\n    """Mine."""\n\n    eta: float = 0.5\n'
    )
    _, runs = selection.planned(said([path, "--allow-plugin", "--set", "own.Mine.eta=1"], tmp_path))
    assert runs[0].config.method.name == "own.Mine"
    assert runs[0].config.method.params == {"eta": 1.0}
    assert runs[0].spec == f"{own}:Mine"
    selection.planned(said([path, "--methods", "ce"], tmp_path))  # nothing foreign is left to allow


def test_f72_a_method_file_whose_name_is_no_name_is_refused(tmp_path):
    own = tmp_path / "my =method.py"
    own.write_text("class Mine:\n    pass\n")
    with pytest.raises(ValueError, match=r"method name 'my =method\.Mine' must be 1 to 64 letters"):
        expand(Suite("x", "digits", ("symmetric:0.5",), (f"{own}:Mine",)))


def test_expanding_every_suite_imports_no_torch(tmp_path):
    code = (
        "import sys; from bench.sweep.planning import grid; "
        "[grid.expand(grid.load(name)) for name in grid.available() if not name.endswith('clothing1m')]; "
        "grid.expand(grid.Suite('x', 'cifar10', ('symmetric:0.5',), ('co_teaching',), preset='paper')); "
        "assert not {'torch', 'torchvision', 'pandas', 'scipy', 'sklearn'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_name_that_was_run_in_two_versions_says_so(tmp_path):
    store = Store(tmp_path)
    for seeds in ((0,), (1,)):
        suite = Suite("mine", "digits", ("symmetric:0.5",), ("ce",), seeds)
        store.save_suite(suite.name, suite.to_dict())
    with pytest.raises(ValueError, match=r"suite 'mine' was run in 2 versions .* name its .toml file instead"):
        load("mine", tmp_path)

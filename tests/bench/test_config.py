"""What a run is: every setting that can change a number is in its id, and nothing else."""

import dataclasses
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import config as cfg
from bench.config import RunConfig
from bench.data import augment
from bench.files import canonical, parse
from bench.sweep.planning import grid
from bench.sweep.records.store import run_id_of


def data() -> dict:
    """A config with no setting at its default."""
    return {
        "protocol": cfg.PROTOCOL,
        "dataset": {
            "name": "digits",
            "digest": "d" * 64,
            "val": 0.2,
            "train_limit": 64,
            "test_limit": 100,
            "trusted": 20,
        },
        "noise": {
            "family": "instance",
            "rate": 0.4,
            "dialect": "native",
            "flips": "iid",
            "map": "m",
            "options": {"std": 0.2},
            "seed": 3,
        },
        "method": {"name": "odd", "params": {"eta": 0.3}},
        "train": {
            "network": "digits_cnn",
            "epochs": 5,
            "batch_size": 64,
            "optimizer": {
                "name": "adam",
                "lr": 0.1,
                "momentum": 0.8,
                "weight_decay": 0.01,
                "nesterov": True,
                "clip_norm": 5.0,
            },
            "schedule": {
                "name": "steps",
                "start": 0.5,
                "steps": [0.5, 0.75],
                "gamma": 0.5,
                "momentum_after": 0.1,
                "final": 0.01,
                "cycles": 15,
                "warm_up": 0.08,
            },
            "augment": "crop_flip",
            "normalise": False,
            "precision": "bf16",
            "channels_last": False,
            "threads": 2,
            "deterministic": False,
            "preset": "paper",
            "trace_samples": 7,
            "strong": "autoaugment",
            "rotate": 15.0,
            "compile": True,
        },
        "seed": 9,
    }


def leaves(tree: dict, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for key, value in tree.items():
        found += leaves(value, (*path, key)) if isinstance(value, dict) else [(*path, key)]
    return found


def with_value(path: tuple[str, ...], value: object) -> dict:
    changed = data()
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


OTHER = {
    ("dataset", "val"): 0.3,
    ("noise", "rate"): 0.41,
    ("train", "optimizer", "name"): "sgd",
    ("train", "schedule", "name"): "linear",
    ("train", "schedule", "steps"): [0.5],
    ("train", "augment"): "none",
    ("train", "precision"): "float32",
    ("train", "strong"): "randaugment",
}
LATER = [(*path, name) for path, settings in cfg._LATER.items() for name in settings]


def another(path: tuple[str, ...], value: object) -> object:
    if path in OTHER:
        return OTHER[path]
    if isinstance(value, bool):
        return not value
    return value + "x" if isinstance(value, str) else value + 1 if isinstance(value, int) else value * 0.5


@pytest.mark.parametrize("path", leaves(data()), ids=".".join)
def test_the_run_id_changes_with_every_setting(path):
    value = data()
    for key in path:
        value = value[key]
    changed = with_value(path, another(path, value))
    assert RunConfig.from_dict(changed).run_id != RunConfig.from_dict(data()).run_id


def test_every_field_of_every_part_is_among_the_settings_tested():
    def fields(part: type) -> set[str]:
        names = set()
        for field, hint in typing.get_type_hints(part).items():
            names |= fields(hint) if dataclasses.is_dataclass(hint) else {field}
        return names

    assert fields(RunConfig) <= {path[-1] for path in leaves(data())} | {"options", "params"}


def test_paths_hosts_devices_and_workers_are_no_settings():
    names = {name for path in leaves(data()) for name in path}
    for name in ("path", "data_dir", "results", "host", "device", "gpu", "workers", "jobs", "slot"):
        assert name not in names
        with pytest.raises(ValueError, match=f"unknown setting in config '{name}'"):
            RunConfig.from_dict(data() | {name: "x"})


def test_the_run_id_is_the_one_by_which_the_store_names_the_folder():
    config = RunConfig.from_dict(data())
    assert config.run_id == run_id_of(config.to_dict())
    assert config.run_id[0] == "r"
    assert len(config.run_id) == 21


def test_one_and_one_point_zero_are_the_same_run():
    assert (
        RunConfig.from_dict(with_value(("train", "optimizer", "lr"), 1)).run_id
        == RunConfig.from_dict(with_value(("train", "optimizer", "lr"), 1.0)).run_id
    )
    assert RunConfig.from_dict(with_value(("train", "epochs"), 5.0)).run_id == RunConfig.from_dict(data()).run_id


def test_a_config_survives_the_way_through_its_file():
    config = RunConfig.from_dict(data())
    assert config.to_dict() == data()
    assert RunConfig.from_dict(parse(canonical(config.to_dict()))) == config


def test_every_default_is_written_out():
    short = data()
    short["train"] = {"network": "digits_cnn"}
    del short["protocol"]
    train = RunConfig.from_dict(short).to_dict()["train"]
    assert train["epochs"] == 100
    assert train["schedule"] == {"name": "cosine", "start": 0.0, "steps": [], "gamma": 0.1, "momentum_after": None}


def test_the_augmentations_of_a_config_are_those_there_are():
    hint = typing.get_type_hints(cfg.TrainConfig)["augment"]
    assert sorted(typing.get_args(hint)) == list(augment.available())


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("train", "epoch"), 3, "unknown setting in config.train 'epoch'; did you mean 'epochs'?"),
        (("train", "optimizer", "amsgrad"), True, "unknown setting in config.train.optimizer 'amsgrad'; allowed: "),
        (("train", "optimizer", "nesterov"), 1, "train.optimizer.nesterov must be true or false, got 1"),
        (("train", "optimizer", "clip_norm"), 0, "optimizer.clip_norm must be above 0, got 0.0"),
        (("train", "optimizer", "clip_norm"), "5", "train.optimizer.clip_norm must be a finite number, got '5'"),
        (("train", "schedule", "final"), 1, "schedule.final must be in [0, 1), got 1.0"),
        (("train", "schedule", "final"), -0.1, "schedule.final must be in [0, 1), got -0.1"),
        (("train", "schedule", "cycles"), 0, "schedule.cycles must be at least 1, got 0"),
        (("train", "schedule", "warm_up"), 1, "schedule.warm_up must be in [0, 1), got 1.0"),
        (("train", "rotate"), 181, "rotate must be in [0, 180] degrees, got 181.0"),
        (("train", "precision"), "bf-16", "unknown train.precision 'bf-16'; did you mean 'bf16'?"),
        (("train", "precision"), "auto", "unknown train.precision 'auto'; allowed: bf16, float32, tf32"),
        (("train", "compile"), 1, "train.compile must be true or false, got 1"),
        (("train", "strong"), "randaug", "unknown train.strong 'randaug'; did you mean 'randaugment'?"),
        (("train", "optimizer", "name"), "sgdd", "unknown train.optimizer.name 'sgdd'; did you mean 'sgd'?"),
        (("train", "augment"), "crop_flop", "unknown train.augment 'crop_flop'; did you mean 'crop_flip'?"),
        (("train", "epochs"), 0, "epochs must be at least 1, got 0"),
        (("train", "epochs"), 2.5, "train.epochs must be a whole number, got 2.5"),
        (("train", "epochs"), "5", "train.epochs must be a whole number, got '5'"),
        (("train", "epochs"), True, "train.epochs must be a whole number, got True"),
        (("train", "epochs"), float("inf"), "train.epochs must be a whole number, got inf"),
        (("train", "epochs"), float("nan"), "train.epochs must be a whole number, got nan"),
        (("train", "batch_size"), 1, "batch_size must be at least 2, got 1"),
        (("train", "optimizer", "lr"), 0, "optimizer.lr must be above 0, got 0.0"),
        (("train", "optimizer", "lr"), float("nan"), "train.optimizer.lr must be a finite number, got nan"),
        (("train", "optimizer", "momentum"), 1, "optimizer.momentum must be in [0, 1), got 1.0"),
        (("train", "optimizer", "weight_decay"), -1e-4, "optimizer.weight_decay must be at least 0, got -0.0001"),
        (("train", "optimizer"), "sgd", "config.train.optimizer must be a table of settings, got 'sgd'"),
        (("train", "schedule", "start"), 1, "schedule.start must be in [0, 1), got 1.0"),
        (("train", "schedule", "gamma"), 0, "schedule.gamma must be in (0, 1], got 0.0"),
        (("train", "schedule", "steps"), 0.5, "train.schedule.steps must be a list, got 0.5"),
        (("train", "schedule", "steps"), [0.5, 40], "schedule.steps must be in (0, 1), got (0.5, 40.0)"),
        (("train", "schedule", "momentum_after"), 5, "schedule.momentum_after must be in [0, 1), got 5.0"),
        (("train", "threads"), 0, "threads must be at least 1, got 0"),
        (("train", "deterministic"), 1, "train.deterministic must be true or false, got 1"),
        (("train", "network"), 9, "train.network must be a text, got 9"),
        (("train", "trace_samples"), -1, "trace_samples must be at least 0, got -1"),
        (("dataset", "val"), 1, "val must be in [0, 1), got 1.0"),
        (("dataset", "train_limit"), 3, "train_limit must be at least 4, got 3"),
        (("dataset", "test_limit"), 0, "test_limit must be at least 1, got 0"),
        (("dataset", "trusted"), -10, "trusted must be at least 0, got -10"),
        (("method", "params"), [1], "method.params must be a table, got [1]"),
        (("noise", "seed"), -1, "noise seed must be in [0, 2**32), got -1"),
        (("seed",), 2**32, "seed must be in [0, 2**32), got 4294967296"),
    ],
)
def test_f70_a_wrong_setting_is_refused_by_its_name_value_and_what_is_allowed(path, value, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        RunConfig.from_dict(with_value(path, value))
    assert str(error.value).startswith(message)


def test_f70_a_missing_setting_is_named():
    short = data()
    del short["noise"]["family"]
    with pytest.raises(ValueError, match=r"^config\.noise lacks 'family'$"):
        RunConfig.from_dict(short)


numbers = st.floats(0.001, 0.999)
configs = st.builds(
    RunConfig,
    dataset=st.builds(
        cfg.DatasetConfig,
        name=st.text(),
        digest=st.text(),
        val=numbers,
        train_limit=st.none() | st.integers(4, 10**6),
        test_limit=st.none() | st.integers(1, 10**6),
        trusted=st.integers(0, 10**6),
    ),
    noise=st.builds(
        cfg.NoiseConfig,
        family=st.text(),
        rate=numbers,
        dialect=st.text(),
        flips=st.text(),
        map=st.none() | st.text(),
        options=st.dictionaries(st.text(), st.text() | numbers | st.booleans()),
        seed=st.integers(0, 2**32 - 1),
    ),
    method=st.builds(
        cfg.MethodConfig,
        name=st.text(),
        params=st.dictionaries(st.text(), st.none() | st.text() | numbers | st.integers() | st.lists(numbers)),
    ),
    train=st.builds(
        cfg.TrainConfig,
        network=st.text(),
        epochs=st.integers(1, 10**4),
        batch_size=st.integers(2, 10**4),
        optimizer=st.builds(
            cfg.OptimizerConfig,
            lr=numbers,
            momentum=numbers,
            weight_decay=numbers,
            nesterov=st.booleans(),
            clip_norm=st.none() | numbers,
        ),
        schedule=st.builds(
            cfg.ScheduleConfig,
            start=numbers,
            steps=st.lists(numbers).map(tuple),
            gamma=numbers,
            momentum_after=st.none() | numbers,
            final=st.just(0.0) | numbers,
            cycles=st.integers(1, 20),
            warm_up=st.just(0.0) | numbers,
        ),
        strong=st.sampled_from(["randaugment", "autoaugment"]),
        rotate=st.just(0.0) | numbers,
        precision=st.sampled_from(typing.get_args(cfg.Precision)),
        compile=st.booleans(),
        threads=st.integers(1, 64),
        trace_samples=st.integers(0, 10**6),
        preset=st.text(),
    ),
    seed=st.integers(0, 2**32 - 1),
)


@settings(deadline=None, max_examples=40)
@given(configs)
def test_any_config_survives_the_way_through_its_file_and_keeps_its_id(config):
    back = RunConfig.from_dict(parse(canonical(config.to_dict())))
    assert back == config
    assert back.run_id == config.run_id


@settings(deadline=None, max_examples=40)
@given(configs, configs)
def test_equal_ids_mean_equal_configs(one, other):
    assert (one.run_id == other.run_id) == (one == other)


def test_the_ids_of_the_quick_start_are_all_different():
    runs = grid.expand(grid.load(grid.DEFAULT))
    suite = grid.load(grid.DEFAULT)
    assert len({run.run_id for run in runs}) == len(suite.noise) * len(suite.methods) * len(suite.seeds) == len(runs)


def without(config: dict, paths: list[tuple[str, ...]]) -> dict:
    """A config as it was written before these settings came."""
    for *path, name in paths:
        inner = config
        for key in path:
            inner = inner.get(key, {})
        inner.pop(name, None)
    return config


def defaulted(path: tuple[str, ...]) -> object:
    part: object = RunConfig.from_dict(without(data(), [path]))
    for key in path:
        part = getattr(part, key)
    return part


@pytest.mark.parametrize("path", LATER, ids=".".join)
def test_a_later_setting_at_its_default_leaves_the_ids_of_older_runs_alone(path):
    config = RunConfig.from_dict(with_value(path, defaulted(path)))
    written = config.to_dict()
    assert written == without(data(), [path])
    assert RunConfig.from_dict(written) == config
    assert RunConfig.from_dict(without(data(), [path])).run_id == config.run_id
    assert config.run_id != RunConfig.from_dict(data()).run_id


def test_the_ids_of_runs_that_were_made_before_the_later_settings_stay():
    older = without(data() | {"protocol": 1}, [path for path in LATER if path != ("dataset", "trusted")])
    assert RunConfig.from_dict(older).run_id == "rc6679502338621e277ef"
    older["dataset"]["trusted"] = 0
    assert RunConfig.from_dict(older).run_id == "r479b54d52194e9c3ac07"
    older["train"] = {"network": "digits_cnn"}
    assert RunConfig.from_dict(older).run_id == "ra7b32169300119510224"


def test_every_later_setting_has_the_default_that_is_left_out():
    for path, defaults in cfg._LATER.items():
        for name, default in defaults.items():
            assert defaulted((*path, name)) == default

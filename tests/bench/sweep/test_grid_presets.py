"""A preset becomes the settings of a run; what a method cannot do without is asked for before anything starts."""

import pytest

from bench.sweep.planning.grid import Suite, expand

OWN = """
from dataclasses import dataclass
from typing import ClassVar

from methods import LossMethod, Needs
from methods.recipes import SGD


@dataclass(eq=False)
class Own(LossMethod):
    \"\"\"Mine.\"\"\"

    shortest: ClassVar[int] = 3
    needs: ClassVar[Needs] = Needs(WHAT)
    presets: ClassVar[dict] = {
        "paper": {
            "epochs": 40,
            "optimizer": {**SGD, "lr": 0.1, "clip_norm": 5.0},
            "schedule": {"name": "steps", "steps": [20 / 40], "gamma": 0.1},
            "params": {"share": 0.3, "kind": "hard"},
        },
        "paper:digits": {
            "epochs": 4,
            "optimizer": {"lr": 0.5},
            "schedule": {"steps": [0.25]},
            "params": {"share": 0.7},
        },
        "paper:cifar10": {"schedule": {"name": "cosine", "final": 0.01}},
        "quick": {"epochs": 3},
        "uniform:digits": {"params": {"share": 0.9}},
        "quick:mnist": {"epochs": 99},
    }
    share: float = 0.5  # of it
    kind: str = "soft"  # of it
    rate: float = 1.0  # of it
"""


@pytest.fixture
def own(tmp_path):
    def suite(preset: str = "paper", needs: str = "", **more) -> Suite:
        (tmp_path / "own.py").write_text(OWN.replace("WHAT", needs), encoding="utf-8")
        settings = {"dataset": "digits", "noise": ("symmetric:0.5",), "seeds": (0,), **more}
        return Suite("x", methods=(f"{tmp_path}/own.py:Own",), preset=preset, **settings)

    return suite


def test_a_preset_sets_training_and_hyper_parameters_and_adds_what_differs_on_the_data_set(own):
    (run,) = expand(own())
    train = run.config.train
    assert (train.epochs, train.optimizer.lr, train.optimizer.clip_norm, train.optimizer.name) == (4, 0.5, 5.0, "sgd")
    assert (train.schedule.name, train.schedule.steps, train.schedule.gamma) == ("steps", (0.25,), 0.1)
    assert run.config.method.params == {"share": 0.7, "kind": "hard", "rate": 1.0}
    assert (train.network, train.preset) == ("digits_cnn", "paper")  # what a preset leaves open is the uniform recipe's


def test_on_another_data_set_the_preset_stands_alone_and_another_schedule_leaves_nothing_of_the_old_one(own):
    (run,) = expand(own(dataset="mnist", train={"network": "cnn9"}))
    assert (run.config.train.epochs, run.config.train.optimizer.lr) == (40, 0.1)
    assert run.config.method.params["share"] == 0.3
    (run,) = expand(own(dataset="cifar10"))
    schedule = run.config.train.schedule
    assert (schedule.name, schedule.final, schedule.steps) == ("cosine", 0.01, ())


def test_a_suites_hyper_parameters_and_training_settings_win_over_those_of_a_preset(own):
    suite = own(params={"own.Own": {"share": 1}}, train={"optimizer": {"lr": 0.25}, "epochs": 9})
    (run,) = expand(suite)
    assert run.config.method.params == {"share": 1.0, "kind": "hard", "rate": 1.0}
    assert (run.config.train.optimizer.lr, run.config.train.epochs) == (0.25, 9)
    assert run.config.train.optimizer.clip_norm == 5.0


def test_the_uniform_preset_may_add_what_a_method_needs_on_a_data_set(own):
    (run,) = expand(own("uniform"))
    assert run.config.method.params["share"] == 0.9
    assert run.config.train.epochs == 14
    (run,) = expand(own("quick"))
    assert (run.config.train.epochs, run.config.method.params["share"]) == (3, 0.5)


@pytest.mark.parametrize("preset", ["papr", "paper:digits", "quick:mnist"])
def test_what_a_preset_adds_on_a_data_set_is_no_preset_to_be_named(preset, own):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        expand(own(preset))
    assert str(error.value) == f"method 'own.Own' has no preset {preset!r}; it has uniform, paper, quick"


def test_a_wrong_hyper_parameter_in_a_preset_is_named(own, tmp_path):
    suite, path = own(), tmp_path / "own.py"
    path.write_text(path.read_text(encoding="utf-8").replace('{"share": 0.3', '{"shares": 0.3'), encoding="utf-8")
    with pytest.raises(ValueError, match=r"method 'own.Own' has no hyper-parameter 'shares'; did you mean 'share'\?"):
        expand(suite)


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_with_fewer_epochs_than_phases_is_refused_before_it_starts(epochs, own):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        expand(own(train={"epochs": epochs}))
    assert str(error.value) == f"method 'own.Own' has 3 phases: epochs must be at least that, got {epochs}"
    assert len(expand(own(train={"epochs": 3}))) == 1
    with pytest.raises(ValueError, match=r"^epochs must be at least 1, got 0$"):
        expand(own(train={"epochs": 0}))


def test_a_method_that_learns_from_true_labels_is_refused_without_them(own):
    with pytest.raises(
        ValueError, match=r"^method 'own.Own' learns from samples with true labels too: give it --trust"
    ):
        expand(own(needs="trusted=100"))
    assert len(expand(own(needs="trusted=100", trusted=100))) == 1


@pytest.mark.parametrize(("val", "limit"), [(0.0, None), (0.1, 5), (0.0003, None)])
def test_a_method_that_needs_a_validation_part_is_refused_where_no_sample_is_held_out(val, limit, own):
    message = rf"^method 'own.Own' needs validation samples .*: val must hold some out, got {val}$"
    with pytest.raises(ValueError, match=message):
        expand(own(needs="noisy_val=True", val=val, train_limit=limit))
    assert len(expand(own(val=val, train_limit=limit))) == 1
    assert len(expand(own(needs="noisy_val=True", val=0.1, train_limit=6))) == 1

"""The interface itself: what a batch pairs with, what the ensemble says, what the package exports."""

import importlib
import math

import pytest
import torch

import methods
from methods import Needs, Step, create, zip_cycle


def test_pairs_are_as_many_as_the_first_and_the_second_starts_again():
    pairs = zip_cycle([1, 2, 3, 4, 5], ["a", "b"])
    assert len(pairs) == 5
    assert list(pairs) == [(1, "a"), (2, "b"), (3, "a"), (4, "b"), (5, "a")]
    assert next(iter(pairs)) == (1, "a")  # each time from the beginning
    assert list(zip_cycle([1], "abc")) == [(1, "a")]


def test_pairs_with_an_empty_second_have_none_in_its_place():
    assert list(zip_cycle([1, 2], [])) == [(1, None), (2, None)]
    assert list(zip_cycle([], [1])) == []


def test_the_ensemble_is_the_mean_of_the_probabilities():
    method = create("dml")
    p = torch.tensor([[[0.7, 0.2, 0.1]], [[0.1, 0.5, 0.4]]])
    method.nets = [lambda x, k=k: p[k].log() + 3 * k for k in range(2)]  # logits are free up to a constant
    heads = method.predict(torch.zeros(1, 1, 8, 8))
    torch.testing.assert_close(heads["ensemble"].exp(), torch.tensor([[0.4, 0.35, 0.25]]))
    assert list(heads) == ["net1", "net2", "ensemble"]
    assert method.headline() == ["net1", "net2"]


def test_a_single_network_has_no_ensemble():
    method = create("ce")
    method.nets = [lambda x: torch.zeros(len(x), 3)]
    assert list(method.predict(torch.zeros(2, 1))) == method.headline() == ["net1"]


def test_declared_needs_are_named_in_order():
    assert Needs().declared() == []
    assert Needs(trusted=5, noise_rate=True).declared() == ["noise_rate", "trusted"]


def test_a_detached_step_holds_the_same_numbers():
    x = torch.ones(2, requires_grad=True)
    step = Step(x * 2, clean_score=x[None], scalars={"a": x.sum(), "b": 0.5}).detached()
    assert step.losses.tolist() == [2.0, 2.0]
    assert not any(v.requires_grad for v in (step.losses, step.clean_score, step.scalars["a"]))
    assert step.scalars["b"] == 0.5
    assert step.selected is None


def test_everything_the_package_names_can_be_imported():
    for name in methods.__all__:
        assert getattr(methods, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'methods' has no attribute 'Metod'"):
        _ = methods.Metod
    assert importlib.import_module("methods.base").Method is methods.Method


def test_a_lost_network_takes_the_ensemble_with_it():
    method = create("dml")
    method.nets = [lambda x, k=k: torch.full((1, 2), (0.0, math.nan)[k]) for k in range(2)]
    assert torch.isnan(method.predict(torch.zeros(1, 1))["ensemble"]).all()


def test_a_step_of_another_shape_is_named():
    with pytest.raises(ValueError, match=r"Step.losses must have the shape \(2,\), got \(\)"):
        Step(torch.tensor(1.0)).check(2, 4, 3)
    with pytest.raises(ValueError, match=r"Step.selected must have the shape \(1, 4\), got \(4,\)"):
        Step(torch.zeros(1), selected=torch.zeros(4, dtype=torch.bool)).check(1, 4, 3)

"""The interface itself: what a batch pairs with, what the ensemble says, what the package exports."""

import importlib
import math

import pytest
import torch

import methods
from methods import Batch, Judgement, LossMethod, Needs, Step, create, zip_cycle


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
    assert Step(x, network=1).detached().network == 1


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


def test_pairs_may_be_drawn_anew_in_every_round():
    asked = []

    def second(number):
        asked.append(number)
        return [f"{number}a", f"{number}b"]

    pairs = zip_cycle(range(5), second)
    assert len(pairs) == 5
    assert asked == []  # nothing is drawn before the pass
    assert [b for _, b in pairs] == ["0a", "0b", "1a", "1b", "2a"]
    assert [b for _, b in pairs] == ["0a", "0b", "1a", "1b", "2a"]  # each pass begins with round 0
    assert asked == [0, 1, 2, 0, 1, 2]


def test_an_empty_second_is_not_asked_for_again_and_again():
    asked = []
    assert list(zip_cycle(range(9), lambda number: asked.append(number) or [])) == [(n, None) for n in range(9)]
    assert asked == [0, 1]


def test_a_round_that_comes_out_empty_ends_the_second():
    assert [b for _, b in zip_cycle(range(4), lambda number: [] if number else ["a"])] == ["a", None, None, None]


class Sum(LossMethod):
    """Pull the mean logit of every network to 0."""

    num_networks = 2

    def losses(self, logits, batch, clock):
        return Step((logits**2).mean((1, 2)), selected=logits[..., 0] > 0)


@pytest.fixture
def method(world):
    """A method with two networks that has just been set up."""
    method = Sum()
    method.__post_init__()
    method.setup(world.trainer("ce", optimizer={"name": "sgd"}).task)
    return method.train()


def test_one_step_descends_the_gradient_and_leaves_what_it_does_not_reach(method, world, rng):
    x = torch.randn(6, 1, 8, 8, generator=rng)
    method.learn((method.nets[1](x) ** 2).mean())
    before = world.weights(method)
    gradients = torch.autograd.grad((method.nets[0](x) ** 2).mean(), list(method.nets[0].parameters()))
    method.learn((method.nets[0](x) ** 2).mean())
    for (name, weight), gradient in zip(method.nets[0].named_parameters(), gradients, strict=True):
        torch.testing.assert_close(weight.detach(), before[f"nets.0.{name}"] - 0.01 * gradient, atol=1e-6, rtol=1e-5)
    for name, weight in method.nets[1].named_parameters():  # neither the gradient of before nor its momentum moves it
        assert torch.equal(weight, before[f"nets.1.{name}"])


def test_the_step_of_one_network_names_it_and_its_loss(method):
    loss = torch.tensor(2.5, requires_grad=True)
    step = method.lone_step(1, loss * 2, scalars={"a": loss}, clean_score=torch.ones(2, 3))
    assert step.losses.tolist() == [0.0, 5.0]
    assert step.network == 1
    assert not step.losses.requires_grad
    assert not step.scalars["a"].requires_grad
    assert step.clean_score.tolist() == [[1.0] * 3] * 2
    step.check(2, 3, 9)


def test_starting_again_gives_the_first_weights_and_statistics_back_and_forgets_momentum(method, world, rng):
    first = world.weights(method.nets)
    for _ in range(3):
        method.learn(sum((net(torch.randn(6, 1, 8, 8, generator=rng)) ** 2).mean() for net in method.nets))
    assert method.optimizer.state
    before = {id(p) for p in method.nets.parameters()}
    method.restart()
    assert all(torch.equal(first[name], value) for name, value in method.nets.state_dict().items())
    assert not method.optimizer.state
    assert {id(p) for p in method.nets.parameters()} == before  # the optimiser still holds them
    assert {id(p) for group in method.optimizer.param_groups for p in group["params"]} == before


def test_a_method_judges_nothing_unless_it_says_so(method):
    assert method.judgement() is None
    assert Judgement() == Judgement(None, None, None)


def test_one_backward_of_the_sum_gives_every_network_the_gradient_of_its_own_loss(method, world, rng):
    batch = world.batch([0, 1, 2], torch.randn(3, 1, 8, 8, generator=rng))
    before = world.weights(method)
    own = [torch.autograd.grad((net(batch.x) ** 2).mean(), list(net.parameters())) for net in method.nets]
    method.load_state_dict(before)
    step = method.update(batch, world.clock())
    assert not step.losses.requires_grad
    for k, net in enumerate(method.nets):
        for (name, weight), gradient in zip(net.named_parameters(), own[k], strict=True):
            wanted = before[f"nets.{k}.{name}"] - 0.01 * gradient
            torch.testing.assert_close(weight.detach(), wanted, atol=1e-6, rtol=1e-5)


def test_a_network_may_have_a_view_of_its_own(method, world, rng):
    seen = []
    for k, net in enumerate(method.nets):
        net.register_forward_pre_hook(lambda net, args, k=k: seen.append((k, float(args[0].sum()))))
    views = tuple(torch.full((2, 1, 8, 8), float(v + 1)) for v in range(2))
    method.update(Batch(torch.arange(2), views, torch.tensor([0, 1])), world.clock())
    assert seen == [(0, 128.0), (1, 256.0)]
    seen.clear()
    method.update(Batch(torch.arange(2), views[:1], torch.tensor([0, 1])), world.clock())
    assert seen == [(0, 128.0), (1, 128.0)]
    method.num_views = 2
    assert len(next(iter(next(method.epoch(world.clock())).batches)).views) == 2

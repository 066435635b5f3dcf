"""VolMinNet: the learnt matrix, and one step of network and matrix against numpy and finite differences."""

import copy

import numpy as np
import pytest
import torch

from methods import create

RUN = {"optimizer": {"name": "sgd", "lr": 0.05}}


def matrix_of(weights: np.ndarray) -> np.ndarray:
    """T from W: ones on the diagonal, sigmoids beside it, each row divided by its sum."""
    whole = 1 / (1 + np.exp(-weights))
    np.fill_diagonal(whole, 1.0)
    return whole / whole.sum(1, keepdims=True)


def with_weights(weights: torch.Tensor):
    method = create("volminnet")
    method.logits = torch.nn.Parameter(weights)
    return method


def differences(function, weights: np.ndarray, width: float = 1e-5) -> np.ndarray:
    """The gradient of a scalar function of a matrix, by central differences."""
    slope = np.zeros_like(weights)
    for place in np.ndindex(weights.shape):
        step = np.zeros_like(weights)
        step[place] = width
        slope[place] = (function(weights + step) - function(weights - step)) / (2 * width)
    return slope


@pytest.mark.parametrize("num_classes", [2, 10, 100])
def test_rows_of_the_matrix_sum_to_one_and_the_diagonal_is_the_largest(num_classes, rng):
    matrix = with_weights(4 * torch.randn(num_classes, num_classes, generator=rng)).transition.detach()
    torch.testing.assert_close(matrix.sum(1), torch.ones(num_classes))
    assert (matrix.argmax(1) == torch.arange(num_classes)).all()
    assert (matrix > 0).all()


def test_the_matrix_is_that_of_numpy_and_its_diagonal_weights_play_no_part(rng):
    weights = torch.randn(4, 4, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(with_weights(weights).transition, torch.from_numpy(matrix_of(weights.numpy())))
    torch.testing.assert_close(with_weights(weights + 9 * torch.eye(4)).transition, with_weights(weights).transition)


@pytest.mark.parametrize(("start", "num_classes", "diagonal"), [(-2.0, 10, 0.482433), (-4.5, 100, 0.478994)])
def test_the_matrix_at_the_start(start, num_classes, diagonal, world):
    # sigmoid(-2) = .119203, 1 / (1 + 9 * .119203); sigmoid(-4.5) = .010987, 1 / (1 + 99 * .010987)
    matrix = with_weights(torch.full((num_classes, num_classes), start, dtype=torch.float64)).transition
    assert float(matrix[0, 0].detach()) == pytest.approx(diagonal, abs=1e-5)
    assert world.trainer("volminnet", params={"start": start}).method.logits.eq(start).all()


def test_the_volume_agrees_with_numpy_and_its_gradient_with_finite_differences(rng):
    weights = torch.randn(4, 4, generator=rng, dtype=torch.float64)
    method = with_weights(weights)
    volume = torch.linalg.slogdet(method.transition).logabsdet
    (slope,) = torch.autograd.grad(volume, method.logits)

    def by_numpy(w: np.ndarray) -> float:
        return float(np.log(abs(np.linalg.det(matrix_of(w)))))

    assert float(volume.detach()) == pytest.approx(by_numpy(weights.numpy()))
    np.testing.assert_allclose(slope.numpy(), differences(by_numpy, weights.numpy()), atol=1e-8)


def first_step(world, **params):
    """A method after its first batch; that batch, and what the untouched network predicts of it in training."""
    trainer = world.trainer("volminnet", params=params, **RUN)
    method = trainer.method
    batch = next(iter(method.task.loader()))
    twin = copy.deepcopy(method.nets[0]).train()
    step = method.update(batch, world.clock())
    return method, batch, twin, step


@pytest.mark.parametrize("weight", [0.0, 1e-4, 1.0])
def test_steps_move_the_matrix_down_the_gradient_of_loss_plus_volume(weight, world):
    method = world.trainer("volminnet", params={"weight": weight}, **RUN).method
    wanted, speed = np.full((3, 3), -2.0), np.zeros((3, 3))
    for batch in list(method.task.loader())[:3]:
        twin = copy.deepcopy(method.nets[0]).train()
        p, y = twin(batch.x).detach().softmax(-1).double().numpy(), batch.y.numpy()

        def loss(weights: np.ndarray, p=p, y=y) -> float:
            matrix = matrix_of(weights)
            fit = -np.log((p @ matrix)[np.arange(len(y)), y]).mean()
            return float(fit + weight * np.log(abs(np.linalg.det(matrix))))

        step = method.update(batch, world.clock())
        assert float(step.losses) == pytest.approx(loss(wanted), rel=1e-5)
        speed = 0.9 * speed + differences(loss, wanted)
        wanted = wanted - 0.01 * speed
        np.testing.assert_allclose(method.logits.detach().numpy(), wanted, atol=1e-6)
    assert np.abs(speed).max() > 1e-3


def test_a_step_moves_the_network_down_the_gradient_of_the_loss_through_the_matrix(world):
    method, batch, twin, _ = first_step(world, weight=1.0)
    matrix = torch.from_numpy(matrix_of(np.full((3, 3), -2.0))).float()
    seen = twin(batch.x).softmax(-1) @ matrix
    loss = -seen[torch.arange(len(seen)), batch.y].log().mean()
    slopes = torch.autograd.grad(loss, list(twin.parameters()))
    for found, before, slope in zip(method.nets[0].parameters(), twin.parameters(), slopes, strict=True):
        torch.testing.assert_close(found, before - 0.05 * slope, rtol=1e-4, atol=1e-6)


def test_with_a_matrix_that_cannot_leave_the_identity_it_trains_as_cross_entropy(world):
    control = world.finish(world.trainer("ce", **RUN)).method.nets[0].state_dict()
    found = world.finish(world.trainer("volminnet", params={"start": -40.0, "weight": 0.0}, **RUN)).method
    for key, value in control.items():
        torch.testing.assert_close(found.nets[0].state_dict()[key], value, rtol=1e-4, atol=1e-5)


def test_the_matrix_has_steps_of_its_own_without_weight_decay(world):
    decay = {"optimizer": {"name": "sgd", "lr": 0.05, "weight_decay": 0.1}}
    for name, kind in (("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)):
        method = world.trainer("volminnet", params={"matrix_optimizer": name, "matrix_lr": 0.02}, **decay).method
        (group,) = method.matrix_steps.param_groups
        assert isinstance(method.matrix_steps, kind)
        assert (group["lr"], group["weight_decay"], group["follow"]) == (0.02, 0.0, "run")
        assert [p is method.logits for p in group["params"]] == [True]
        assert not any(p is method.logits for p in method.optimizer.param_groups[0]["params"])


def test_the_volume_alone_would_move_the_matrix_away_from_the_identity(world):
    method, *_ = first_step(world, weight=100.0)
    start = matrix_of(np.full((3, 3), -2.0))
    assert abs(np.linalg.det(method.transition.detach().numpy())) < abs(np.linalg.det(start))
    assert float(method.transition.detach().diagonal().mean()) < start[0, 0]


def test_the_networks_own_prediction_is_what_is_tested(world):
    method = world.trainer("volminnet").method.eval()
    x = next(iter(method.task.loader())).x
    assert torch.equal(method.predict(x)["net1"], method.nets[0](x))

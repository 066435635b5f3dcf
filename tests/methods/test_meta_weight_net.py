"""Meta-Weight-Net: the gradient through the virtual step by finite differences, and steps without torch.func.grad."""

import copy
import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from bench.data.prepare import prepare
from bench.sweep.planning import grid
from bench.training.trainer import Trainer
from methods import create, registry
from methods.base import Batch

RUN = {"optimizer": {"name": "sgd", "lr": 0.05}, "noise_text": "symmetric:0.4", "dataset": {"trusted": 12}}


def tiny(rng: torch.Generator):
    """A method in float64 with smooth networks of few weights, and no run around it."""
    method = create("meta_weight_net", hidden=4)
    method.nets = nn.ModuleList([nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))])
    method.weigher = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1), nn.Sigmoid())
    method.double()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng, dtype=torch.float64))
    method.optimizer = torch.optim.SGD(method.nets.parameters(), lr=0.3, momentum=0.9)
    method.weigher_steps = torch.optim.SGD(method.weigher.parameters(), lr=1.0)
    return method


def pair_of(rng: torch.Generator) -> tuple[Batch, Batch]:
    x = torch.randn(2, 6, 3, generator=rng, dtype=torch.float64)
    y = torch.randint(3, (2, 6), generator=rng)
    return tuple(Batch(torch.arange(6), (x[i],), y[i]) for i in range(2))


def ce(logits: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, y, reduction="none")


@torch.no_grad()
def trusted_loss_after_a_step(method, batch: Batch, trusted: Batch) -> float:
    """Eq. 3 and the loss of eq. 4, by moving a copy of the network for real."""
    net = copy.deepcopy(method.nets[0])
    with torch.enable_grad():
        own = ce(net(batch.x), batch.y)
        weight = method.weigher(own.detach()[:, None])[:, 0].detach()
        slopes = torch.autograd.grad((weight * own).mean(), list(net.parameters()))
    for parameter, slope in zip(net.parameters(), slopes, strict=True):
        parameter -= 0.3 * slope
    return float(ce(net(trusted.x), trusted.y).mean())


def test_the_trusted_loss_is_that_of_a_network_moved_by_the_weighted_loss(rng):
    method, (batch, trusted) = tiny(rng), pair_of(rng)
    value = method.trusted_loss(dict(method.weigher.named_parameters()), batch, trusted)
    assert float(value.detach()) == pytest.approx(trusted_loss_after_a_step(method, batch, trusted), rel=1e-12)


def test_the_weighting_network_moves_down_finite_differences_of_virtual_step_and_trusted_loss(rng):
    method, (batch, trusted) = tiny(rng), pair_of(rng)
    before = [p.detach().clone() for p in method.weigher.parameters()]
    slopes = [torch.zeros_like(p) for p in before]
    for parameter, slope in zip(method.weigher.parameters(), slopes, strict=True):
        for place in itertools.product(*(range(n) for n in parameter.shape)):
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    parameter[place] += sign * 1e-6
                    ends.append(trusted_loss_after_a_step(method, batch, trusted))
                    parameter[place] -= sign * 1e-6
            slope[place] = (ends[0] - ends[1]) / 2e-6
    method.update_pair((batch, trusted), clock=None)
    for parameter, start, slope in zip(method.weigher.parameters(), before, slopes, strict=True):
        torch.testing.assert_close(start - parameter.detach(), slope, rtol=1e-5, atol=1e-9)
    assert max(float(slope.abs().max()) for slope in slopes) > 1e-3


def test_the_real_step_weighs_by_the_moved_weighting_network_and_holds_it_fixed(rng):
    method, (batch, trusted) = tiny(rng), pair_of(rng)
    before = copy.deepcopy(method.nets[0])
    old = method.weigher(ce(before(batch.x), batch.y).detach()[:, None])[:, 0].detach()
    step = method.update_pair((batch, trusted), clock=None)
    own = ce(before(batch.x), batch.y)
    new = method.weigher(own.detach()[:, None])[:, 0].detach()
    slopes = torch.autograd.grad((new * own).mean(), list(before.parameters()))
    for found, start, slope in zip(method.nets[0].parameters(), before.parameters(), slopes, strict=True):
        torch.testing.assert_close(found, start - 0.3 * slope)
    assert (new - old).abs().max() > 1e-3
    torch.testing.assert_close(step.clean_score, new[None])
    torch.testing.assert_close(step.losses, (new * own.detach()).mean()[None])
    assert float(step.scalars["weight"]) == pytest.approx(float(new.mean()))


def test_a_sample_whose_gradient_helps_trusted_samples_gains_weight_and_its_opposite_loses_it():
    # one weight per class, zero at first; sample 0 is labelled as the trusted one, sample 1 wrongly
    method = create("meta_weight_net")
    method.nets = nn.ModuleList([nn.Linear(1, 2, bias=False).double()])
    method.optimizer = torch.optim.SGD(method.nets.parameters(), lr=0.5)
    with torch.no_grad():
        method.nets[0].weight.zero_()
    x = torch.ones(1, 1, dtype=torch.float64)
    trusted = Batch(torch.tensor([0]), (x,), torch.tensor([0]))
    slopes = []
    for label in (0, 1):
        batch = Batch(torch.tensor([0]), (x,), torch.tensor([label]))
        method.weigher = Constant()
        value = method.trusted_loss(dict(method.weigher.named_parameters()), batch, trusted)
        slopes.append(float(torch.autograd.grad(value, method.weigher.v)[0]))
    # by hand: w' = v lr (.5, -.5) towards the label; loss log(1 + exp(-+ v lr)) at v = .5, lr = .5
    assert slopes[0] == pytest.approx(-0.5 / (1 + math.exp(0.25)))
    assert slopes[1] == pytest.approx(0.5 / (1 + math.exp(-0.25)))


class Constant(nn.Module):
    """One weight for all losses."""

    def __init__(self) -> None:
        super().__init__()
        self.v = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def forward(self, loss: Tensor) -> Tensor:
        return self.v.expand(len(loss), 1)


# with batch norm, in a run


class Reference:
    """The authors' procedure on a copy of a method: a second network is moved with create_graph=True."""

    def __init__(self, method) -> None:
        self.net, self.weigher = copy.deepcopy(method.nets[0]).train(), copy.deepcopy(method.weigher)
        self.steps = torch.optim.SGD(self.net.parameters(), lr=0.05, momentum=0.9)
        self.weigher_steps = torch.optim.Adam(self.weigher.parameters(), lr=1e-3, weight_decay=1e-4)

    def step(self, batch: Batch, trusted: Batch, lr: float) -> None:
        virtual = copy.deepcopy(self.net)
        own = ce(virtual(batch.x), batch.y)
        weighted = (self.weigher(own.detach()[:, None])[:, 0] * own).mean()
        slopes = torch.autograd.grad(weighted, list(virtual.parameters()), create_graph=True)
        moved = {name: p - lr * g for (name, p), g in zip(virtual.named_parameters(), slopes, strict=True)}
        loss = ce(torch.func.functional_call(virtual, moved, (trusted.x,)), trusted.y).mean()
        self.weigher_steps.zero_grad()
        gradients = torch.autograd.grad(loss, list(self.weigher.parameters()))
        for parameter, gradient in zip(self.weigher.parameters(), gradients, strict=True):
            parameter.grad = gradient
        self.weigher_steps.step()
        own = ce(self.net(batch.x), batch.y)
        with torch.no_grad():
            weight = self.weigher(own.detach()[:, None])[:, 0]
        self.steps.zero_grad()
        (weight * own).mean().backward()
        self.steps.param_groups[0]["lr"] = lr
        self.steps.step()


def test_a_run_is_that_of_an_implementation_with_create_graph(world):
    trainer = world.trainer("meta_weight_net", **RUN)
    twin = world.trainer("meta_weight_net", **RUN)
    reference = Reference(twin.method)
    for epoch in range(3):
        trainer.epoch()
        twin.task.clock = world.clock(epoch=epoch)
        rounds = (twin.task.loader(split="trusted", stream=f"trusted.{n}") for n in itertools.count())
        trusted = itertools.chain.from_iterable(rounds)  # drawn anew whenever they have all been seen
        for batch in twin.task.loader():
            reference.step(batch, next(trusted), 0.05 * (1 + math.cos(math.pi * epoch / 3)) / 2)
    assert len(twin.task.loader()) > len(twin.task.loader(split="trusted"))
    for ours, theirs in ((trainer.method.nets[0], reference.net), (trainer.method.weigher, reference.weigher)):
        for name, value in theirs.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-3, atol=1e-4)
    start = twin.method.weigher.state_dict()
    assert max(float((v - start[n]).abs().max()) for n, v in trainer.method.weigher.state_dict().items()) > 2e-3


def test_the_virtual_step_moves_neither_weights_nor_batch_norm_statistics(world):
    method = world.trainer("meta_weight_net", **RUN).method.train()
    batch = next(iter(method.task.loader()))
    trusted = next(iter(method.task.loader(split="trusted", stream="trusted")))
    before = world.weights(method)
    method.trusted_loss(dict(method.weigher.named_parameters()), batch, trusted)
    after = method.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    # a whole update sees the batch once, in the real step
    twin = copy.deepcopy(method.nets[0])
    twin(batch.x)
    method.update_pair((batch, trusted), world.clock())
    for name, value in twin.named_buffers():
        assert torch.equal(method.nets[0].state_dict()[name], value)


def test_the_virtual_step_is_taken_at_the_present_rate(rng):
    method, (batch, trusted) = tiny(rng), pair_of(rng)
    whole = method.trusted_loss(dict(method.weigher.named_parameters()), batch, trusted)
    method.optimizer.param_groups[0]["lr"] = 0.0
    still = method.trusted_loss(dict(method.weigher.named_parameters()), batch, trusted)
    assert float(still.detach()) == pytest.approx(float(ce(method.nets[0](trusted.x), trusted.y).mean().detach()))
    assert float(whole.detach()) != pytest.approx(float(still.detach()))


def test_the_weighting_network_has_a_hundred_units_and_steps_of_its_own(world):
    method = world.trainer("meta_weight_net", **RUN).method
    assert [tuple(p.shape) for p in method.weigher.parameters()] == [(100, 1), (100,), (1, 100), (1,)]
    (group,) = method.weigher_steps.param_groups
    assert isinstance(method.weigher_steps, torch.optim.Adam)
    assert (group["lr"], group["weight_decay"], group["follow"]) == (1e-3, 1e-4, "constant")
    weights = method.weigher(torch.linspace(0, 20, 50)[:, None])
    assert ((weights > 0) & (weights < 1)).all()


def test_the_weighting_network_starts_from_the_seed_of_the_run_and_leaves_the_global_generator_alone(world):
    torch.manual_seed(1)
    one = world.trainer("meta_weight_net", **RUN)
    two = world.trainer("meta_weight_net", **RUN)
    other = world.trainer("meta_weight_net", seed=1, **RUN)
    drawn = [t.method.weigher[0].weight for t in (one, two, other)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    state = torch.get_rng_state()
    one.method.setup(one.task)
    assert torch.equal(torch.get_rng_state(), state)


def test_only_trusted_samples_have_true_labels_and_none_of_them_is_trained_on(world):
    trainer = world.trainer("meta_weight_net", **RUN)
    truth = trainer.data.clean["train"]
    assert (trainer.task.labels() != truth).any()
    assert len(trainer.task.labels("trusted")) == 12
    assert trainer.task.num_train + 12 <= 60


@pytest.mark.slow
def test_before_a_half_trained_network_that_stands_still_it_learns_to_doubt_high_losses():
    suite = grid.Suite("s", "digits", ("symmetric:0.5",), ("meta_weight_net",), seeds=(0,), trusted=100)
    (run,) = grid.expand(suite)
    data = prepare(run.config, None, None, torch.device("cpu"))
    method = registry.create("meta_weight_net", weight_lr=1e-3)
    trainer = Trainer(run.config, data, method, torch.device("cpu"))
    fresh = {name: value.clone() for name, value in method.weigher.state_dict().items()}
    for _ in range(4):
        trainer.epoch()
    method.weigher.load_state_dict(fresh)
    method.weigher_steps.state.clear()
    method.train()
    for _ in range(8):
        for batch, trusted in zip(trainer.task.loader(), itertools.cycle(trainer.task.loader(split="trusted"))):
            gradient = torch.func.grad(method.trusted_loss)({**dict(method.weigher.named_parameters())}, batch, trusted)
            for name, parameter in method.weigher.named_parameters():
                parameter.grad = gradient[name].detach()
            method.weigher_steps.step()
    low, high = method.weigher(torch.tensor([[0.1], [4.0]])).flatten().tolist()
    assert low > 0.6
    assert high < 0.2

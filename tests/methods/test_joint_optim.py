"""Joint-Optim: its terms by hand, labels against books kept outside, and a run against one written from the paper."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from methods import create

# six epochs: four in which labels are optimised, renewed after the second, third and fourth; then two from the start
RUN = {
    "epochs": 6,
    "optimizer": {"name": "sgd", "lr": 0.1},
    "schedule": {"name": "steps", "steps": [0.5], "gamma": 0.1},
    "params": {"first": 4 / 6, "renew": 2 / 6, "memory": 3, "first_lr": 0.02},
}


# terms


def test_the_regularisation_of_the_worked_example():
    # mean p = (.6, .4); entropies of (.7, .3) and (.5, .5): .610864 and .693147
    logp = torch.tensor([[0.7, 0.3], [0.5, 0.5]], dtype=torch.float64).log()
    prior = -(math.log(0.6) + math.log(0.4)) / 2
    assert float(create("joint_optim").regularisation(logp)) == pytest.approx(1.2 * prior + 0.8 * 0.6520055, abs=1e-6)
    only = create("joint_optim", alpha=1.0, beta=0.0)
    assert float(only.regularisation(logp)) == pytest.approx(0.713558, abs=1e-6)


def test_the_alpha_term_is_kl_from_the_uniform_up_to_the_constant_log_c(rng):
    p = torch.randn(8, 5, generator=rng, dtype=torch.float64).softmax(-1)
    kl = float((0.2 * (math.log(0.2) - p.mean(0).log())).sum())
    value = float(create("joint_optim", alpha=1.0, beta=0.0).regularisation(p.log()))
    assert value == pytest.approx(kl + math.log(5))


def test_the_gradient_of_the_regularisation_agrees_with_finite_differences(rng):
    method = create("joint_optim")
    z = torch.randn(6, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: method.regularisation(z.log_softmax(-1)), z)


def test_a_class_that_is_never_predicted_costs_a_finite_loss():
    z = torch.tensor([[0.0, -300.0], [0.0, -300.0]], requires_grad=True)
    loss = create("joint_optim").regularisation(z.log_softmax(-1))
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert z.grad.isfinite().all()


# labels


class Books:
    """Predictions as they leave the network while it trains: a table (N, C) for every epoch."""

    def __init__(self, trainer) -> None:
        self.method, self.tables = trainer.method, []
        real = self.method.update

        def update(batch, clock):
            seen = []
            hook = self.method.nets[0].register_forward_hook(lambda net, args, out: seen.append(out.detach()))
            if clock.step == 0:
                self.tables.append(np.full((trainer.task.num_train, trainer.task.num_classes), np.nan))
            step = real(batch, clock)
            hook.remove()
            (logits,) = seen
            raised = np.exp(logits.double().numpy())
            self.tables[-1][batch.index.numpy()] = raised / raised.sum(1, keepdims=True)
            return step

        self.method.update = update


@pytest.mark.parametrize("memory", [1, 2, 3, 10])
def test_labels_are_the_mean_of_the_last_predictions_made_in_training(memory, world):
    trainer = world.trainer("joint_optim", **{**RUN, "params": {**RUN["params"], "memory": memory}})
    books, given = Books(trainer), torch.nn.functional.one_hot(trainer.task.labels(), 3).float()
    for epoch in range(4):
        trainer.epoch()
        wanted = np.mean(books.tables[max(0, epoch + 1 - memory) :], axis=0) if epoch >= 1 else given.numpy()
        np.testing.assert_allclose(trainer.method.soft.numpy(), wanted, atol=1e-6)
        assert torch.equal(trainer.method.judgement().relabelled, trainer.method.soft)
    found = trainer.method.soft.clone()
    assert not torch.equal(found.argmax(1), given.argmax(1))
    trainer.epoch()
    trainer.epoch()
    assert torch.equal(trainer.method.soft, found)  # the second phase trains on them, and leaves them alone


@pytest.mark.parametrize("memory", [1, 2])
def test_an_epoch_that_did_not_hold_a_sample_has_no_say_in_its_label(memory, world):
    # 54 samples in batches of 53: the one left over is in no batch of that epoch
    settings = {**RUN, "batch_size": 53, "params": {**RUN["params"], "memory": memory}}
    trainer = world.trainer("joint_optim", **settings)
    books = Books(trainer)
    for _ in range(3):
        trainer.epoch()
    missed = np.isnan(books.tables[2]).any(1)
    assert missed.sum() == 1
    assert not np.isnan(books.tables[1][missed]).any()
    books.tables[2][missed] = books.tables[1][missed]  # the label of the second epoch, and the mean of what there is
    wanted = np.nanmean(books.tables[3 - memory :], axis=0)
    np.testing.assert_allclose(trainer.method.soft.numpy(), wanted, atol=1e-6)


def test_the_step_tells_the_labels_that_were_trained_on(world):
    trainer = world.trainer("joint_optim", **RUN)
    trainer.epoch()
    trainer.epoch()
    labels = trainer.method.soft.clone()
    trainer.task.clock = trainer._clock(2, 0, 4, trainer.phases)
    batch = next(iter(trainer.task.loader()))
    assert torch.equal(trainer.method.update(batch, trainer.task.clock).relabelled, labels[batch.index])


# the run


def straight_line(world, **settings) -> torch.nn.Module:
    """Eq. 4-10 on the batches of a run of its own: SGD with momentum .9 in plain steps, tables in numpy."""
    task = world.trainer("joint_optim", **settings).task
    soft, history = torch.nn.functional.one_hot(task.labels(), 3).float(), []
    for epoch in range(6):
        if epoch in (0, 4):
            net = task.make_network(0).train()
            speed = [torch.zeros_like(p) for p in net.parameters()]
        task.clock = world.clock(epoch=epoch)
        table = torch.zeros_like(soft)
        lr = [0.02, 0.02, 0.02, 0.02, 0.1, 0.01][epoch]
        for batch in task.loader():
            p = net(batch.x).softmax(-1)
            table[batch.index] = p.detach()
            loss = -(soft[batch.index] * p.log()).sum(1).mean()
            if epoch < 4:
                loss = loss - 1.2 * p.mean(0).log().mean() - 0.8 * (p * p.log()).sum(1).mean()
            slopes: tuple[Tensor, ...] = torch.autograd.grad(loss, list(net.parameters()))
            with torch.no_grad():
                for weights, v, slope in zip(net.parameters(), speed, slopes, strict=True):
                    v.mul_(0.9).add_(slope)
                    weights.sub_(lr * v)
        history.append(table)
        if 1 <= epoch < 4:
            soft = torch.stack(history[-3:]).mean(0)
    return net


def test_a_run_optimises_labels_and_then_starts_again_from_them(world):
    ours = world.finish(world.trainer("joint_optim", **RUN)).method.nets[0].state_dict()
    for key, value in straight_line(world, **RUN).state_dict().items():
        torch.testing.assert_close(ours[key], value, rtol=1e-3, atol=1e-4)


def test_the_phases_of_the_papers_320_epochs(world):
    trainer = world.trainer("joint_optim", epochs=32)
    assert trainer.phases == [("optimise", 20), ("train", 12)]
    given = trainer.method.soft.clone()
    renewed = []
    for _ in range(7):
        trainer.epoch()
        renewed.append(not torch.equal(given, trainer.method.soft))
    assert renewed == [False] * 6 + [True]  # 70 of 320 epochs are 7 of 32


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"renew": 0.7}, r"^renew and first must ascend in \[0, 1\), got 0.7 and 0.625$"),
        ({"renew": 0.0, "first": 0.0}, r"^renew and first must ascend in \[0, 1\), got 0.0 and 0.0$"),
        ({"first": 1.0}, r"^renew and first must ascend in \[0, 1\), got 0.21875 and 1.0$"),
        ({"memory": 0}, "^memory must be at least 1, got 0$"),
    ],
)
def test_hyper_parameters_that_leave_no_phase_or_no_memory_are_refused(params, text):
    with pytest.raises(ValueError, match=text):
        create("joint_optim", **params)

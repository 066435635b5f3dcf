"""What a method is handed: networks, optimisers, loaders and generators that depend on names alone."""

import copy

import pytest
import torch

from methods.base import Clock


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.fixture
def task(world):
    return world.trainer("ce").task


def test_a_network_depends_on_the_seed_and_its_number_alone(task, world):
    first = task.make_network(0)
    torch.manual_seed(5)
    assert same(first, task.make_network(0))
    assert same(first, world.trainer("dml").task.make_network(0))
    assert not same(first, task.make_network(1))
    assert not same(first, world.trainer("ce", seed=1).task.make_network(0))


def test_networks_of_one_run_start_apart(world):
    nets = world.trainer("cmd_p").method.nets
    assert not torch.equal(nets[0].head.weight, nets[1].head.weight)


def test_generators_depend_on_stream_epoch_and_step(task):
    def drawn(stream, epoch, step):
        return float(torch.rand(1, generator=task.rng(stream, Clock(epoch, 9, step, 9, 0.5, "train", epoch, 9))))

    assert drawn("a", 1, 2) == drawn("a", 1, 2)
    assert len({drawn("a", 1, 2), drawn("b", 1, 2), drawn("a", 2, 2), drawn("a", 1, 3)}) == 4


def test_an_optimiser_has_the_settings_of_the_run_except_where_the_method_says_otherwise(world):
    task = world.trainer("ce", optimizer={"weight_decay": 0.25}).task
    parameter = torch.nn.Parameter(torch.zeros(2))
    group = task.make_optimizer([parameter]).param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.01, (0.9, 0.999), 0.25)
    own = task.make_optimizer([parameter], lr=0.5, weight_decay=0.0).param_groups[0]
    assert (own["lr"], own["base_lr"], own["weight_decay"]) == (0.5, 0.5, 0.0)
    sgd = world.trainer("ce", optimizer={"name": "sgd", "momentum": 0.5}).task.optimizers[0]
    assert isinstance(sgd, torch.optim.SGD)
    assert sgd.param_groups[0]["momentum"] == 0.5


def order(loader):
    return torch.cat([batch.index for batch in loader])


def test_loaders_of_one_stream_agree_and_of_two_streams_differ(task):
    assert torch.equal(order(task.loader()), order(task.loader()))
    assert not torch.equal(order(task.loader()), order(task.loader(stream="other")))
    assert torch.equal(order(task.loader(shuffle=False)), torch.arange(task.num_train))


def test_every_epoch_has_an_order_of_its_own(world):
    trainer = world.trainer("ce")
    first = order(trainer.task.loader())
    trainer.epoch()
    trainer.epoch()
    assert not torch.equal(order(trainer.task.loader()), first)


def test_labels_are_the_observed_ones_wherever_they_are_seen(task, world):
    trainer = world.trainer("ce")
    assert (trainer.task.labels() != trainer.data.clean["train"]).any()
    for batch in trainer.task.loader(views=("weak", "plain")):
        assert torch.equal(batch.y, trainer.task.labels()[batch.index])
        assert len(batch.views) == 2


def test_a_shuffled_pass_leaves_out_a_last_batch_of_one_and_an_ordered_one_nothing(task):
    size = task.num_train - 1
    assert len(order(task.loader(batch_size=size))) == size
    assert len(order(task.loader(batch_size=size, shuffle=False))) == task.num_train


def test_a_loader_of_a_subset_gives_that_subset(task):
    subset = torch.tensor([3, 8, 1])
    assert order(task.loader(subset=subset, shuffle=False)).tolist() == [3, 8, 1]


def test_a_split_that_does_not_exist_is_told_from_one_that_was_not_declared(task):
    with pytest.raises(ValueError, match="a task has the splits train, val and trusted; got 'tset'"):
        task.labels("tset")
    with pytest.raises(ValueError, match="got 'test'"):
        task.loader(split="test")


def test_an_undeclared_fact_is_not_even_held(world):
    trainer = world.trainer("ce")
    assert trainer.data.facts.keys() >= {"noise_rate", "noise_type", "transition"}
    for fact in trainer.data.facts:
        with pytest.raises(ValueError, match=f"the method needs {fact}, which is unknown"):
            trainer.task.fact(fact)


def test_a_declared_fact_that_nobody_knows_is_an_error_of_its_own(world):
    trainer = world.trainer("co_teaching")
    del trainer.task._facts["noise_rate"]
    with pytest.raises(ValueError, match="the method needs noise_rate, which is unknown for this data and noise"):
        trainer.epoch()


def test_a_method_that_writes_into_its_labels_changes_no_batch(world):
    trainer = world.trainer("ce")
    before = trainer.data.splits["train"].given.clone()
    trainer.task.labels()[:] = 0
    assert torch.equal(trainer.data.splits["train"].given, before)


def test_a_run_whose_labels_were_changed_in_a_batch_has_no_result(world):
    trainer = world.trainer("ce")
    trainer.data.splits["train"].given[0] += 1  # what no method can reach by the interface
    with pytest.raises(RuntimeError, match="has changed the observed labels of the train split"):
        trainer.run(lambda state: None, lambda: False)


def optimizer_of(world, own=(), **settings):
    task = world.trainer("ce", optimizer=settings).task
    return task.make_optimizer([torch.nn.Parameter(torch.zeros(2))], **dict(own))


def test_another_optimiser_than_the_runs_has_its_usual_momentum_and_the_runs_rate_and_decay(world):
    adam = optimizer_of(world, {"name": "adam"}, name="sgd", momentum=0.5, lr=0.3, weight_decay=0.25)
    assert isinstance(adam, torch.optim.Adam)
    group = adam.param_groups[0]
    assert (group["betas"], group["lr"], group["weight_decay"]) == ((0.9, 0.999), 0.3, 0.25)
    sgd = optimizer_of(world, {"name": "sgd", "lr": 2.0}, name="adam", momentum=0.5)
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.param_groups[0]["momentum"], sgd.param_groups[0]["lr"]) == (0.9, 2.0)
    own = optimizer_of(world, {"name": "adam"}, name="adam", momentum=0.5)
    assert own.param_groups[0]["betas"] == (0.5, 0.999)
    assert optimizer_of(world, {"betas": (0.1, 0.2)}, name="adam").param_groups[0]["betas"] == (0.1, 0.2)


def test_an_optimiser_that_there_is_not_is_refused(task):
    with pytest.raises(ValueError, match="unknown optimizer 'adm'; did you mean 'adam'"):
        task.make_optimizer([torch.nn.Parameter(torch.zeros(2))], name="adm")
    assert len(task.optimizers) == 1


@pytest.mark.parametrize("follow", ["run", "phase", "constant"])
def test_an_optimiser_says_what_its_rate_follows(follow, task):
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": parameters[:1], "lr": 0.5}, {"params": parameters[1:]}]
    optimizer = task.make_optimizer(groups, follow=follow)
    assert [(g["base_lr"], g["lr"], g["follow"]) for g in optimizer.param_groups] == [
        (0.5, 0.5, follow),
        (0.01, 0.01, follow),
    ]
    assert task.make_optimizer([parameters[0]]).param_groups[0]["follow"] == "run"
    assert task.optimizers[-2] is optimizer


def test_nesterov_is_the_runs_where_there_is_momentum(world):
    run = {"name": "sgd", "nesterov": True}
    assert optimizer_of(world, **run).param_groups[0]["nesterov"] is True
    assert not optimizer_of(world, name="sgd").param_groups[0]["nesterov"]
    assert not optimizer_of(world, {"momentum": 0.0}, **run).param_groups[0]["nesterov"]
    assert not optimizer_of(world, {"nesterov": False}, **run).param_groups[0]["nesterov"]


def test_the_gradient_of_each_network_is_clipped_by_its_own_norm_and_the_methods_own_parameters_by_theirs(world):
    trainer = world.trainer("dml", optimizer={"name": "sgd", "lr": 1.0, "momentum": 0.0, "clip_norm": 5.0})
    task, nets = trainer.task, trainer.method.nets
    own = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    optimizer = task.make_optimizer([*nets.parameters(), *own])
    before = world.weights(nets)
    for p in nets.parameters():
        p.grad = torch.zeros_like(p)
    nets[0].head.weight.grad[0, :2] = torch.tensor([6.0, 8.0])  # norm 10 with nothing else: halved
    nets[1].head.weight.grad[0, 0] = 3.0  # below 5: as it is, whatever the other's norm
    nets[1].head.bias.grad[0] = 4.0
    own[0].grad = torch.tensor([0.0, 30.0])
    own[1].grad = torch.tensor([40.0, 0.0])
    optimizer.step()
    moved = {name: before[name] - value for name, value in world.weights(nets).items() if "head" in name}
    assert moved["0.head.weight"][0, :2].tolist() == pytest.approx([3.0, 4.0], abs=1e-4)
    assert float(moved["1.head.weight"][0, 0]) == pytest.approx(3.0, abs=1e-4)
    assert float(moved["1.head.bias"][0]) == pytest.approx(4.0, abs=1e-4)
    assert own[0].tolist() == pytest.approx([0.0, -3.0], abs=1e-4)
    assert own[1].tolist() == pytest.approx([-4.0, 0.0], abs=1e-4)


def test_clipping_needs_no_gradient_and_without_it_none_is_clipped(world):
    trainer = world.trainer("dml", optimizer={"clip_norm": 1.0})
    trainer.task.optimizers[0].step()  # nobody has a gradient yet
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = world.trainer("ce", optimizer={"name": "sgd", "lr": 1.0}).task.make_optimizer([parameter])
    parameter.grad = torch.tensor([100.0])
    optimizer.step()
    assert parameter.item() == -100.0


def test_two_networks_that_are_clipped_learn_as_each_would_alone(world):
    settings = {"optimizer": {"name": "sgd", "lr": 0.1, "clip_norm": 0.05}}
    both = world.finish(world.trainer("cmd_zero", params={"source": "cce"}, **settings))
    alone = world.finish(world.trainer("ce", **settings))
    mine = both.method.nets[0].state_dict()
    torch.testing.assert_close(mine, alone.method.nets[0].state_dict(), atol=1e-6, rtol=1e-5)
    free = world.finish(world.trainer("ce", optimizer={"name": "sgd", "lr": 0.1}))
    assert not torch.allclose(mine["head.weight"], free.method.nets[0].head.weight)


def images_seen(monkeypatch):
    """A counter of the images that go into any convolution of the first layer."""
    seen = []
    real = torch.nn.Conv2d.forward

    def forward(self, x):
        if x.shape[1] == 1:
            seen.append(len(x))
        return real(self, x)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", forward)
    return seen


@pytest.mark.parametrize("name", ["ce", "dml", "dividemix", "pes_semi", "elr_plus", "meta_weight_net", "cores2"])
def test_every_image_that_goes_through_a_network_is_counted_and_none_twice(name, world, monkeypatch):
    seen = images_seen(monkeypatch)
    trainer = world.finish(world.trainer(name))
    assert trainer.outcome.payload["forward_samples"] == trainer.task.forward_samples == sum(seen)


def test_cross_entropy_costs_a_look_at_every_image_it_trains_on_and_scores(world):
    trainer = world.finish(world.trainer("ce"))
    data = trainer.data
    scored = len(data.test_labels) + len(data.splits["val"]) + len(data.trace_index)
    assert trainer.task.forward_samples == 3 * (trainer.task.num_train + scored)


def test_a_copy_of_a_network_counts_too_and_copies_nothing_of_the_run(task):
    network = task.make_network(0)
    before = task.forward_samples
    twin = copy.deepcopy(network)
    twin(torch.zeros(5, 1, 8, 8))
    assert task.forward_samples == before + 5
    network(torch.zeros(3, 1, 8, 8))
    assert task.forward_samples == before + 8

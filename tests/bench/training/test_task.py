"""What a method is handed: networks, optimisers, loaders and generators that depend on names alone."""

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

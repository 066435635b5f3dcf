"""Moving averages of networks, batch-norm statistics included."""

import copy

import pytest
import torch
from torch import nn

from methods.averaging import Averaged


def network(seed: int) -> nn.Module:
    """A small network with batch norm whose weights and statistics all differ between seeds."""
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4, 2))
    for value in net.state_dict().values():
        value.copy_(torch.randint(9, value.shape, generator=generator) / 4 + seed)
    return net


def test_an_average_moves_by_one_minus_its_rate_towards_the_network():
    averages = Averaged([network(1), network(2)])
    before, source = copy.deepcopy(averages.state_dict()), network(3)
    averages.follow(1, source, 0.75)
    theirs = source.state_dict()
    for name, value in averages.state_dict().items():
        k, own = name.split(".", 1)
        if k == "0":
            assert torch.equal(value, before[name])
        elif value.is_floating_point():
            assert torch.equal(value, 0.75 * before[name] + 0.25 * theirs[own])  # exact: all are multiples of 1/16


def test_statistics_of_batch_norm_follow_and_its_count_is_copied():
    averages, source = Averaged([network(1)]), network(5)
    mean, count = averages[0][1].running_mean.clone(), source[1].num_batches_tracked
    averages.follow(0, source, 0.5)
    assert torch.equal(averages[0][1].running_mean, (mean + source[1].running_mean) / 2)
    assert torch.equal(averages[0][1].num_batches_tracked, count)
    assert count != network(1)[1].num_batches_tracked


def test_a_rate_of_zero_copies_and_of_one_leaves_all_but_the_count():
    averages, source = Averaged([network(1)]), network(3)
    nn.init.normal_(source[0].weight, generator=torch.Generator().manual_seed(0))
    averages.follow(0, source, 1.0)
    own = network(1).state_dict()
    assert all(torch.equal(own[name], v) for name, v in averages[0].state_dict().items() if v.is_floating_point())
    averages.follow(0, source, 0.0)
    assert all(torch.equal(source.state_dict()[name], v) for name, v in averages[0].state_dict().items())


def test_the_network_itself_is_not_changed_and_shares_no_memory():
    averages, source = Averaged([network(1)]), network(3)
    averages.follow(0, source, 0.0)
    averages.follow(0, network(4), 0.5)
    assert all(torch.equal(source.state_dict()[name], v) for name, v in network(3).state_dict().items())


def test_many_steps_are_the_sum_with_falling_weights():
    averages = Averaged([network(1)])
    start, sources = averages[0][0].weight.clone(), [network(seed) for seed in (2, 3, 4)]
    for source in sources:
        averages.follow(0, source, 0.9)
    wanted = 0.9**3 * start + 0.1 * sum(0.9 ** (2 - i) * net[0].weight for i, net in enumerate(sources))
    torch.testing.assert_close(averages[0][0].weight, wanted, check_stride=False)


@pytest.mark.parametrize("mode", [True, False])
def test_averages_stay_in_evaluation_mode_whatever_the_mode_of_their_owner(mode):
    owner = nn.Module()
    owner.net, owner.averages = network(0), Averaged([network(1), network(2)])
    assert not any(module.training for module in owner.averages.modules())
    owner.train(mode)
    assert owner.net.training == mode
    assert not any(module.training for module in owner.averages.modules())


def test_a_forward_pass_moves_no_statistic_and_makes_no_graph():
    averages = Averaged([network(1)])
    averages.train()
    before = copy.deepcopy(averages.state_dict())
    assert not averages[0](torch.rand(4, 1, 4, 4)).requires_grad
    assert all(torch.equal(before[name], value) for name, value in averages.state_dict().items())


def test_averages_are_part_of_the_state():
    assert set(Averaged([network(1), network(2)]).state_dict()) == {
        f"{k}.{name}" for k in range(2) for name in network(0).state_dict()
    }

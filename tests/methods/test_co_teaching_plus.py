"""Co-teaching+: small-loss exchange among the samples on which the two decisions differ."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from methods import create

# one row per network, one column per sample: P(class 0) of two classes; they differ on samples 0, 2 and 3
LIKELY = torch.tensor([[0.9, 0.8, 0.4, 0.7], [0.3, 0.6, 0.8, 0.1]])
LOGITS = torch.stack([LIKELY, 1 - LIKELY], -1).log()


def ready(**params):
    return create("co_teaching_plus", **{"warm_up": 0.0, "ramp_epochs": 1, **params})


def by_loops(logits, y, share):
    """Selections and losses of both networks with boolean indexing, lists and sorting."""
    differ = (logits[0].argmax(-1) != logits[1].argmax(-1)).nonzero().flatten().tolist()
    each = [cross_entropy(z, y, reduction="none").tolist() for z in logits]
    if differ:
        keep = int(share * len(differ) + 1e-9)
        easy = [sorted(differ, key=loss.__getitem__)[:keep] or differ for loss in each]
    else:
        easy = [list(range(len(y)))] * 2
    losses = [cross_entropy(z[taught], y[taught]) for z, taught in zip(logits, reversed(easy), strict=True)]
    return [[place in chosen for place in range(len(y))] for chosen in easy], torch.stack(losses)


def test_the_easiest_samples_are_looked_for_where_the_decisions_differ(world):
    # two of the three: int(.7 * 3). Network 1 finds 0 and 3 easiest, network 2 finds 2 and 0; sample 1 is out
    step = ready(forget_rate=0.3).losses(LOGITS, world.batch([0, 0, 0, 0]), world.clock())
    assert step.selected.tolist() == [[True, False, False, True], [True, False, True, False]]
    wanted = [-(math.log(0.9) + math.log(0.4)) / 2, -(math.log(0.3) + math.log(0.1)) / 2]
    torch.testing.assert_close(step.losses, torch.tensor(wanted))


def test_the_first_sample_of_a_batch_and_of_the_data_may_be_selected(world):
    step = ready(forget_rate=0.0).losses(LOGITS, world.batch([0, 0, 0, 0]), world.clock())
    assert step.selected.tolist() == [[True, False, True, True]] * 2


@pytest.mark.parametrize("share", [1.0, 0.84, 0.5, 0.1, 0.01])
def test_selections_and_losses_are_those_of_a_loop_with_boolean_indexing(world, rng, share):
    method = ready(forget_rate=1 - share)
    for num in (1, 2, 3, 9, 64):
        for size in (0.1, 3.0):
            logits = size * torch.randn(2, num, 4, generator=rng)
            y = torch.randint(4, (num,), generator=rng)
            step = method.losses(logits, world.batch(y), world.clock())
            chosen, losses = by_loops(logits, y, share)
            assert step.selected.tolist() == chosen
            torch.testing.assert_close(step.losses, losses)


def test_where_the_networks_differ_nowhere_each_learns_from_the_whole_batch(world, rng):
    logits = torch.randn(1, 9, 4, generator=rng).repeat(2, 1, 1) * torch.tensor([1.0, 2.0])[:, None, None]
    y = torch.randint(4, (9,), generator=rng)
    step = ready(forget_rate=0.5).losses(logits, world.batch(y), world.clock())
    assert step.selected.all()
    torch.testing.assert_close(step.losses, torch.stack([cross_entropy(z, y) for z in logits]))


def test_where_they_differ_everywhere_it_is_co_teaching(world, rng):
    scores = torch.rand(2, 20, 2, generator=rng)
    logits = torch.cat([scores + torch.tensor([[[2.0, 0.0]], [[0.0, 2.0]]]), torch.zeros(2, 20, 1)], -1)
    batch, clock = world.batch(torch.randint(3, (20,), generator=rng)), world.clock()
    mine = ready(forget_rate=0.4).losses(logits, batch, clock)
    plain = create("co_teaching", forget_rate=0.4, ramp_epochs=1).losses(logits, batch, clock)
    assert torch.equal(mine.selected, plain.selected)
    assert torch.equal(mine.losses, plain.losses)


def test_it_is_co_teaching_until_the_warm_up_is_over(world):
    batch = world.batch([0, 0, 0, 0])
    plain = create("co_teaching", forget_rate=0.5, ramp_epochs=1)
    for warm_up, epochs, first in ((0.1, 200, 20), (5 / 200, 200, 5), (0.1, 10, 1), (0.1, 3, 1), (0.0, 10, 0)):
        method = ready(forget_rate=0.5, warm_up=warm_up)
        for epoch in (first - 1, first):
            clock = world.clock(epoch=max(0, epoch), epochs=epochs)
            same = torch.equal(method.losses(LOGITS, batch, clock).losses, plain.losses(LOGITS, batch, clock).losses)
            assert same == (0 <= epoch < first)


def test_of_too_few_to_keep_one_all_disagreements_are_kept(world):
    step = ready(forget_rate=0.9).losses(LOGITS, world.batch([0, 0, 0, 0]), world.clock())
    assert step.selected.tolist() == [[True, False, True, True]] * 2


def test_the_number_kept_of_the_disagreements_is_not_one_short_by_rounding(world):
    likely = torch.linspace(0.51, 0.99, 75)
    logits = torch.stack([torch.stack([likely, 1 - likely], -1), torch.stack([1 - likely, likely], -1)]).log()
    method = ready(forget_rate=0.16)
    assert float(method.kept_share(world.clock()) * torch.tensor(75)) < 63  # the trap: single precision
    step = method.losses(logits, world.batch([0] * 75), world.clock())
    assert step.selected.sum(-1).tolist() == [63, 63]


def test_the_cross_entropy_is_of_logits_and_not_of_probabilities_taken_for_logits(world):
    # of probabilities it could not leave [log(e + 1) - 1, log(e + 1)] = [.3133, 1.3133] for two classes
    logits = torch.tensor([[[9.0, 0.0]] * 2, [[0.0, 9.0]] * 2])
    step = ready(forget_rate=0.0).losses(logits, world.batch([0, 0]), world.clock())
    torch.testing.assert_close(step.losses, torch.tensor([math.log1p(math.exp(-9)), 9 + math.log1p(math.exp(-9))]))


def test_the_loss_is_divided_by_the_number_kept_once_and_not_twice(world):
    step = ready(forget_rate=0.3).losses(LOGITS, world.batch([0, 0, 0, 0]), world.clock())
    torch.testing.assert_close(step.losses[0] * 2, torch.tensor(-(math.log(0.9) + math.log(0.4))))


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_warm_up_that_is_no_share_is_refused(share):
    with pytest.raises(ValueError, match=rf"^warm_up must be in \[0, 1\], got {share}$"):
        create("co_teaching_plus", warm_up=share)

"""What ties the variants of CMD to each other and to the methods they contain, and what every switch changes."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import pytest
import torch

from methods import LossMethod, Step, create
from methods.cmd import CMD
from methods.losses import corrected_label, entropy, kl, self_trust, source_loss
from methods.selection import confident

SOURCES = ["proselflc", "cce", "ls", "cp", "bootstrap_soft"]
TIMES = [step / 8 for step in range(1, 9)]


@dataclass(eq=False)
class Alone(LossMethod):
    """Network number `which` of a run, on a source loss and nothing else."""

    source: str = "cce"
    which: int = 0

    def setup(self, task):
        self.task = task
        self.nets = torch.nn.ModuleList([task.make_network(self.which)])
        self.optimizer = task.make_optimizer(self.nets.parameters())

    def losses(self, logits, batch, clock):
        source = source_loss(self.source, e=0.5, sharpness=12.0, transit=0.5)
        return Step(source(logits.log_softmax(-1), batch.y, clock)[0].mean(-1))


@dataclass(eq=False)
class Three(CMD):
    """Three networks that teach each other."""

    num_networks: ClassVar[int] = 3


@pytest.fixture
def logits(rng):
    return 2 * torch.randn(2, 40, 5, generator=rng, dtype=torch.float64)


@pytest.fixture
def y(rng):
    return torch.randint(5, (40,), generator=rng)


@pytest.fixture
def step(world, y):
    """The step of a method on logits (K, B, C) at some progress."""

    def take(method, logits, progress=0.5, labels=y):
        return method.losses(logits, world.batch(labels), world.clock(progress))

    return take


def taught(step, logits, progress=0.5, **settings):
    """The distillation part of the losses: what a gate of `settings` adds to no gate at all."""
    return (
        step(create("cmd_p", **settings), logits, progress).losses
        - step(create("cmd_zero", **settings), logits, progress).losses
    )


# identities


@pytest.mark.parametrize("source", SOURCES)
def test_zero_knowledge_has_the_losses_of_independent_networks(source, logits, y, step, world):
    both = step(create("cmd_zero", source=source), logits, 0.7)
    for k in range(2):
        alone = Alone(source).losses(logits[k : k + 1], world.batch(y), world.clock(0.7))
        assert torch.equal(both.losses[k], alone.losses[0])
    assert not both.selected.any()


@pytest.mark.parametrize("source", SOURCES)
def test_zero_knowledge_trains_the_networks_that_train_alone_bit_for_bit(source, world):
    both = world.finish(world.trainer("cmd_zero", params={"source": source}))
    for k in range(2):
        alone = world.finish(world.trainer(Alone(source, k)))
        single = alone.method.nets[0].state_dict()
        pair = both.method.nets[k].state_dict()
        assert all(torch.equal(single[name], pair[name]) for name in pair)
        assert [r["loss"][0] for r in alone.history] == [r["loss"][k] for r in both.history]


def test_zero_knowledge_on_cross_entropy_contains_the_control(world):
    control = world.finish(world.trainer("ce")).method.nets[0].state_dict()
    first = world.finish(world.trainer("cmd_zero", params={"source": "cce"})).method.nets[0].state_dict()
    assert all(torch.equal(control[name], first[name]) for name in control)


@pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
def test_all_knowledge_on_cross_entropy_is_mutual_learning_in_losses_and_gradients(size, rng, y, step):
    drawn = size * torch.randn(2, 40, 5, generator=rng)
    found = []
    for method in (create("cmd_all", source="cce"), create("dml")):
        logits = drawn.clone().requires_grad_()
        losses = step(method, logits).losses
        losses.sum().backward()
        found.append((losses.detach(), logits.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_all_knowledge_on_cross_entropy_trains_as_mutual_learning_bit_for_bit(world):
    one = world.weights(world.finish(world.trainer("cmd_all", params={"source": "cce"})).method)
    other = world.weights(world.finish(world.trainer("dml")).method)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("direction", ["tighten", "relax"])
def test_a_progressive_threshold_without_steepness_is_the_static_one(direction, logits, step):
    for progress in TIMES:
        flat = step(create("cmd_p", b=0.0, direction=direction), logits, progress)
        static = step(create("cmd_s"), logits, progress)
        assert torch.equal(flat.losses, static.losses)
        assert torch.equal(flat.selected, static.selected)
        assert static.scalars["threshold"] == 0.5


def test_the_gate_opens_with_eta(logits, step):
    masks = [step(create("cmd_p", eta=eta), logits).selected for eta in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert all((less <= more).all() for less, more in pairwise(masks))
    assert masks[0].sum() < masks[2].sum() < masks[-1].sum()


@pytest.mark.parametrize(("direction", "opens"), [("tighten", False), ("relax", True)])
def test_along_training_the_gate_only_shuts_or_only_opens(direction, opens, logits, step):
    masks = [step(create("cmd_p", direction=direction), logits, progress).selected for progress in TIMES]
    for before, after in pairwise(masks):
        assert ((before <= after) if opens else (after <= before)).all()
    assert masks[0].sum() != masks[-1].sum()


def test_the_gate_is_the_entropy_of_the_sender(logits, step):
    selected = step(create("cmd_s", eta=0.6), logits).selected
    share = entropy(logits.log_softmax(-1)) / torch.log(torch.tensor(5.0))
    assert torch.equal(selected, share <= 0.6)
    assert selected.any()
    assert not selected.all()


def test_neither_labels_nor_the_receiver_move_the_gate_of_a_sender(logits, y, step, rng):
    method = create("cmd_p", eta=0.7)
    before = step(method, logits).selected
    assert torch.equal(step(method, logits, labels=(y + 1) % 5).selected, before)
    other = logits.clone()
    other[1] = torch.randn(40, 5, generator=rng)
    after = step(method, other).selected
    assert torch.equal(after[0], before[0])
    assert not torch.equal(after[1], before[1])


def test_a_receiver_hears_its_peer_and_not_itself(step, world):
    sure, unsure = [9.0, 0.0, 0.0], [0.0, 0.2, 0.0]
    logits = torch.tensor([[sure], [unsure]])
    losses = [step(create(name), logits, labels=[1]).losses for name in ("cmd_zero", "cmd_s", "cmd_all")]
    # network 1 is sure, so network 2 learns from it; network 2 is not, so network 1 learns from nobody
    assert losses[1][0] == losses[0][0]
    assert losses[1][1] == losses[2][1] > losses[0][1]


@pytest.mark.parametrize("name", ["cmd_s", "cmd_p", "cmd_all"])
def test_distillation_sends_no_gradient_to_the_sender_and_p_k_minus_p_j_to_the_receiver(name, logits, step):
    logits = logits.requires_grad_()
    part = step(create(name, weight=3.0), logits, 0.4)
    rest = step(create("cmd_zero"), logits, 0.4)
    p = logits.detach().softmax(-1)
    assert part.selected.any()
    for k in range(2):
        (grad,) = torch.autograd.grad(part.losses[k] - rest.losses[k], logits, retain_graph=True)
        gate = part.selected[1 - k][:, None].double()
        torch.testing.assert_close(grad[k], 3.0 / 40 * gate * (p[k] - p[1 - k]), atol=1e-14, rtol=1e-9)
        (whole,) = torch.autograd.grad(part.losses[k], logits, retain_graph=True)
        assert torch.equal(whole[1 - k], torch.zeros_like(p[1 - k]))


@pytest.mark.parametrize("knowledge", ["raw", "corrected"])
def test_swapping_the_networks_swaps_the_losses(knowledge, logits, step):
    method = create("cmd_p", eta=0.7, knowledge=knowledge)
    one, other = step(method, logits), step(method, logits.flip(0))
    assert torch.equal(one.losses.flip(0), other.losses)
    assert torch.equal(one.selected.flip(0), other.selected)
    assert one.losses[0] != one.losses[1]


def test_a_gate_that_nothing_passes_leaves_the_source_loss(logits, step):
    shut = step(create("cmd_s", eta=0.0), logits)
    assert not shut.selected.any()
    assert torch.equal(shut.losses, step(create("cmd_zero"), logits).losses)


def test_a_gate_that_everything_passes_is_all_knowledge(logits, step):
    wide = step(create("cmd_s", eta=1.0), logits)
    assert wide.selected.all()
    assert torch.equal(wide.losses, step(create("cmd_all"), logits).losses)


def test_an_exactly_uniform_prediction_passes_when_all_knowledge_does(step):
    assert step(create("cmd_all"), torch.zeros(2, 40, 5)).selected.all()
    assert not step(create("cmd_s"), torch.zeros(2, 40, 5)).selected.any()


def test_zero_knowledge_does_not_even_compute_the_divergence(logits, step, monkeypatch):
    monkeypatch.setattr("methods.cmd.kl", lambda *_: pytest.fail("computed"))
    step(create("cmd_zero"), logits)


# switches: each claim fails if the switch is not looked at


def test_weight_scales_the_distillation(logits, step):
    one, three = taught(step, logits, eta=0.7), taught(step, logits, eta=0.7, weight=3.0)
    torch.testing.assert_close(three, 3 * one)
    assert (one > 0).all()


def test_norm_scales_the_threshold(logits, step):
    found = step(create("cmd_s", norm=1.0, eta=0.9), logits)
    assert found.scalars["threshold"] == 0.45
    assert torch.equal(found.selected, confident(logits.log_softmax(-1), 0.45))
    assert not torch.equal(found.selected, step(create("cmd_s", eta=0.9), logits).selected)


def test_criterion_measures_confidence_by_the_greatest_probability(logits, step):
    found = step(create("cmd_s", criterion="max_prob"), logits).selected
    assert torch.equal(found, logits.softmax(-1).amax(-1) >= 1 - 0.8 * 0.5)
    assert not torch.equal(found, step(create("cmd_s"), logits).selected)


def test_temperature_softens_both_sides_and_leaves_the_gate_alone(logits, step):
    hot = step(create("cmd_s", temperature=2.0), logits)
    gate = step(create("cmd_s"), logits).selected
    assert torch.equal(hot.selected, gate)
    soft = (logits / 2).log_softmax(-1)
    wanted = 4 * (gate.flip(0) * kl(soft.flip(0), soft)).mean(-1)
    torch.testing.assert_close(hot.losses - step(create("cmd_zero"), logits).losses, wanted)


def test_normaliser_divides_by_the_number_of_selected(logits, step):
    gate = step(create("cmd_s"), logits).selected.flip(0)
    share = gate.double().mean(-1)
    assert (share > 0).all()
    assert (share < 1).all()
    found = taught(step, logits, b=0.0, normaliser="selected")
    torch.testing.assert_close(found, taught(step, logits, b=0.0) / share, rtol=1e-6, atol=0)


def test_normaliser_selected_is_finite_where_nothing_is_selected(logits, step):
    assert torch.equal(taught(step, logits, eta=0.0, normaliser="selected"), torch.zeros(2, dtype=torch.float64))


def test_knowledge_corrected_sends_label_and_prediction_mixed(logits, y, step, world):
    found = taught(step, logits, 0.7, eta=1.0, b=0.0, knowledge="corrected")
    logp = logits.log_softmax(-1)
    sent = corrected_label(logp.exp(), y, self_trust(logp, world.clock(0.7), 12.0, 0.5))
    wanted = kl(sent.log().flip(0), logp).mean(-1)
    torch.testing.assert_close(found, wanted)
    assert not torch.allclose(found, taught(step, logits, 0.7, eta=1.0, b=0.0))


@pytest.mark.parametrize("source", SOURCES)
def test_source_is_each_networks_own_loss(source, logits, y, step, world):
    by_hand = source_loss(source, e=0.3, sharpness=8.0, transit=0.4)
    wanted, trust = by_hand(logits.log_softmax(-1), y, world.clock(0.7))
    found = step(create("cmd_zero", source=source, e=0.3, sharpness=8.0, transit=0.4), logits, 0.7)
    assert torch.equal(found.losses, wanted.mean(-1))
    mixed = corrected_label(logits.softmax(-1), y, trust).mean(0)
    torch.testing.assert_close(found.relabelled, mixed)


def test_three_networks_hear_both_others(rng, y, step):
    logits = torch.randn(3, 40, 5, generator=rng, dtype=torch.float64)
    logp = logits.log_softmax(-1)
    found = step(Three(mode="all"), logits).losses - step(Three(mode="zero"), logits).losses
    wanted = [sum(kl(logp[j], logp[k]).mean() for j in range(3) if j != k) for k in range(3)]
    torch.testing.assert_close(found, torch.stack(wanted))


def test_each_of_three_networks_hears_a_sender_where_that_senders_gate_is_open(rng, y, step):
    logits = 2 * torch.randn(3, 40, 5, generator=rng, dtype=torch.float64)
    logp = logits.log_softmax(-1)
    gated = step(Three(b=0.0), logits)
    found = gated.losses - step(Three(mode="zero"), logits).losses
    wanted = [sum((gated.selected[j] * kl(logp[j], logp[k])).mean() for j in range(3) if j != k) for k in range(3)]
    torch.testing.assert_close(found, torch.stack(wanted))


def test_peers_mean_divides_by_the_number_of_senders(rng, step):
    logits = torch.randn(3, 40, 5, generator=rng, dtype=torch.float64)
    zero = step(Three(mode="zero"), logits).losses
    total = step(Three(mode="all"), logits).losses - zero
    torch.testing.assert_close(step(Three(mode="all", peers="mean"), logits).losses - zero, total / 2)


def test_three_networks_swap_their_losses_with_their_places(rng, step):
    logits = torch.randn(3, 40, 5, generator=rng, dtype=torch.float64)
    order = [2, 0, 1]
    method = Three(eta=0.8)
    torch.testing.assert_close(step(method, logits).losses[order], step(method, logits[order]).losses)


def test_three_networks_train_and_are_all_scored(world):
    trainer = world.finish(world.trainer(Three(eta=0.9), epochs=2))
    assert trainer.outcome.payload["heads"] == ["ensemble", "net1", "net2", "net3"]
    assert len(trainer.history[-1]["knowledge"]) == 3


@pytest.mark.parametrize(("views", "differ"), [("shared", False), ("independent", True)])
def test_views_decides_whether_the_networks_see_their_own_augmented_copies(views, differ, world):
    trainer = world.trainer("cmd_p", params={"views": views})
    seen = [[], []]
    for net, images in zip(trainer.method.nets, seen, strict=True):
        net.register_forward_pre_hook(lambda _, args, images=images: images.append(args[0].clone()))
    batch = next(iter(next(iter(trainer.method.epoch(world.clock()))).batches))
    trainer.method.update(batch, world.clock())
    assert torch.equal(seen[0][0], seen[1][0]) != differ
    assert seen[0][0].shape == seen[1][0].shape


def test_the_plotted_numbers_are_what_they_say(logits, step):
    found = step(create("cmd_s", eta=0.6, weight=2.0), logits)
    own = step(create("cmd_zero", eta=0.6), logits).losses
    for k in range(2):
        torch.testing.assert_close(found.scalars[f"source_loss_{k + 1}"], own[k])
        torch.testing.assert_close(found.scalars[f"taught_{k + 1}"], (found.losses[k] - own[k]) / 2)
        uncertainty = -(logits[k].softmax(-1) * logits[k].log_softmax(-1)).sum(-1)
        sent = found.selected[k]
        assert sent.any()
        assert not sent.all()
        torch.testing.assert_close(found.scalars[f"entropy_sent_{k + 1}"], uncertainty[sent].mean())
        torch.testing.assert_close(found.scalars[f"entropy_held_{k + 1}"], uncertainty[~sent].mean())
    assert found.scalars["threshold"] == 0.6


@pytest.mark.parametrize("source", ["proselflc", "cp", "bootstrap_soft"])
@pytest.mark.parametrize("switch", [{"detach_target": True}, {"target_temperature": 0.5}])
def test_the_switches_of_the_target_reach_the_source(source, switch, logits, y, step, world):
    def gradient(**settings):
        z = logits.clone().requires_grad_()
        step(create("cmd_zero", source=source, **settings), z).losses.sum().backward()
        return z.grad

    names = {"detach_target": "detach", "target_temperature": "temperature"}
    wanted = logits.clone().requires_grad_()
    by_hand = source_loss(source, e=0.5, sharpness=12.0, transit=0.5, **{names[k]: v for k, v in switch.items()})
    by_hand(wanted.log_softmax(-1), y, world.clock(0.5))[0].mean(-1).sum().backward()
    torch.testing.assert_close(gradient(**switch), wanted.grad)
    assert not torch.allclose(gradient(**switch), gradient())


def test_local_trust_is_the_greatest_probability_when_asked(logits, y, step):
    trusted = step(create("cmd_zero", local_trust="max_prob"), logits).scalars["trust_1"]
    torch.testing.assert_close(trusted, 0.5 * logits[0].softmax(-1).amax(-1).mean())  # sigmoid(0) at mid-training
    assert not torch.isclose(trusted, step(create("cmd_zero"), logits).scalars["trust_1"])

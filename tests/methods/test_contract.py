"""What every method must do.

The environment variable LNBENCH_METHODS="path/to/file.py:Class ..." puts methods from elsewhere to the same test.
"""

import builtins
import dataclasses
import inspect
import io
import os
import random
import sys
import typing
from pathlib import Path
from types import FunctionType, ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from bench import config as cfg
from bench.data import datasets
from bench.data.noisy import frozen
from bench.data.prepare import assemble
from bench.sweep import grid
from bench.sweep.recipes import uniform
from bench.sweep.result import check_payload
from bench.training import checkpoint, metrics
from bench.training.catalog import NETWORKS
from methods import registry
from methods.base import LossMethod, Needs, UndeclaredNeed

OUTSIDE = Path(__file__).parent / "outside.py"
SPECS = [
    *registry.available(),
    f"{OUTSIDE}:Remembering",
    f"{OUTSIDE}:TwoPhases",
    *os.environ.get("LNBENCH_METHODS", "").split(),
]
pytestmark = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.rpartition("/")[2])


def recorded_steps(trainer, monkeypatch) -> list:
    """Every (step, index) that the method hands to the trainer in one epoch."""
    steps = []
    add = metrics.Traces.add

    def note(traces, step, index):
        steps.append((step, index))
        add(traces, step, index)

    monkeypatch.setattr(metrics.Traces, "add", note)
    trainer.epoch()
    return steps


# what it is


def test_constructs_from_defaults_without_drawing_a_number_or_making_a_network(spec, monkeypatch):
    cls, overrides = registry.load(spec)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002 - only read
    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", lambda *a, **k: pytest.fail("construction opened a file"))
        patch.setattr(io, "open", lambda *a, **k: pytest.fail("construction opened a file"))
        method = cls(**overrides)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert not method.state_dict()


def test_is_compared_by_identity_so_that_torch_can_hash_it(spec):
    cls = registry.load(spec)[0]
    one, other = cls(), cls()
    assert one != other
    assert len({one, other}) == 2


def test_cites_its_source(spec):
    info = registry.describe(spec)
    # one network, nothing to tune, nothing told: the control, which is nobody's invention
    control = info.num_networks == 1 and not info.fields and not info.needs
    assert info.paper or control
    assert info.summary
    if spec in registry.available():
        assert info.card.title
        assert info.card.equations
        assert info.card.defaults
        assert bool(info.card.reference) == ("compat" in [f.name for f in info.fields])


def test_the_description_read_from_the_source_is_that_of_the_imported_class(spec):
    info = registry.describe(spec)
    cls, overrides = registry.load(spec)
    hints = typing.get_type_hints(cls)
    real = {f.name: (hints[f.name], overrides.get(f.name, f.default)) for f in dataclasses.fields(cls)}
    assert {f.name: (eval(f.type, vars(typing).copy()), f.default) for f in info.fields} == real
    assert [f.name for f in info.fields] == list(real)
    assert all(f.meaning for f in info.fields), "write what a hyper-parameter means behind its default"
    assert (info.paper, info.num_networks) == (cls.paper, cls.num_networks)
    assert list(info.needs) == cls.needs.declared()
    assert info.presets == cls.presets
    assert (info.card, info.shortest) == (cls.card, cls.shortest)
    assert info.summary == inspect.getdoc(cls).split("\n")[0]
    created = registry.create(spec)
    assert {name: getattr(created, name) for name in real} == info.resolve({})


def test_no_hyper_parameter_shadows_an_attribute_of_a_module(spec):
    assert not [f.name for f in registry.describe(spec).fields if hasattr(nn.Module(), f.name)]


def test_a_wrong_hyper_parameter_is_refused_and_the_nearest_is_named(spec):
    fields = registry.describe(spec).fields
    for field in fields:
        with pytest.raises(ValueError, match=f"has no hyper-parameter .*did you mean '{field.name}'"):
            registry.create(spec, **{field.name + "x": 1})
    with pytest.raises(ValueError, match="has no hyper-parameter 'zzz'"):
        registry.create(spec, zzz=1)


def test_every_preset_makes_a_run(spec):
    info = registry.describe(spec)
    trusted = 1000 if "trusted" in info.needs else 0
    for preset, recipe in info.presets.items():
        name, _, dataset = preset.partition(":")
        if name == "uniform":  # one recipe for all: a method may say what suits its length, and nothing else
            assert dataset in datasets.available()
            assert recipe.keys() == {"params"}
            assert registry.create(spec, **recipe["params"])
            continue
        suite = grid.Suite("s", "cifar10", ("symmetric:0.2",), (spec,), seeds=(0,), preset=name, trusted=trusted)
        (planned,) = grid.expand(suite)
        assert planned.config.train.preset == name
        assert name in info.presets, f"{preset} adds to a preset that is not there"
        if dataset:
            assert dataset in datasets.available()
        assert registry.create(spec, **recipe.get("params", {}))
        settings = grid.merge(info.presets[name], recipe) | {"params": {}}
        settings = {key: value for key, value in settings.items() if key != "params"}
        whole = grid.merge(uniform(planned.info), settings)
        if whole["precision"] == grid.AUTO:  # the machine chooses
            whole["precision"] = "float32"
        assert cfg.typed(cfg.TrainConfig, whole, preset).network in NETWORKS


# what it may know


def test_an_undeclared_fact_cannot_be_reached_and_the_error_says_what_to_declare(spec, world):
    trainer = world.trainer(spec)
    task, declared = trainer.task, trainer.method.needs.declared()
    for fact in ("noise_rate", "noise_type", "transition"):
        if fact in declared:
            getattr(task, fact)
        else:
            with pytest.raises(UndeclaredNeed, match=rf"{fact}.* add needs = Needs\({fact}=True\)"):
                getattr(task, fact)
    for split, fact in (("val", "noisy_val"), ("trusted", "trusted")):
        if fact not in declared:
            for reach in (task.labels, lambda split: task.loader(split=split)):
                with pytest.raises(UndeclaredNeed, match=rf"{split}.* Needs\({fact}="):
                    reach(split)


def test_no_path_of_references_leads_from_the_method_to_a_clean_label(spec, world):
    trainer = world.trainer(spec)
    secrets = [*trainer.data.clean.values(), trainer.data.test_labels]
    todo, seen = [trainer.method, trainer.task], set()
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, type | FunctionType | ModuleType | str | int | float):
            continue
        seen.add(id(thing))
        assert thing is not trainer.data
        if isinstance(thing, torch.Tensor):
            assert not any(thing.shape == s.shape and torch.equal(thing.long(), s) for s in secrets)
        elif isinstance(thing, dict):
            todo += thing.values()
        elif isinstance(thing, list | tuple | set):
            todo += thing
        else:
            todo += getattr(thing, "__dict__", {}).values()
    assert len(seen) > 20


@pytest.mark.parametrize("change", ["reversed", "constant"])
def test_other_clean_labels_leave_every_weight_as_it_is(spec, world, change):
    data = world.blobs()
    honest = world.finish(world.trainer(spec))
    run = honest.config
    corruption = frozen(data, run.noise, None)
    garbage = corruption.clean[::-1].copy() if change == "reversed" else np.zeros_like(corruption.clean)
    if honest.method.needs.trusted:  # these are given true labels on purpose: they stay, and nothing else may matter
        clean = {name: torch.zeros_like(labels) for name, labels in honest.data.clean.items()}
        other = dataclasses.replace(honest.data, clean=clean)
    else:
        other = assemble(run, data, dataclasses.replace(corruption, clean=garbage), world.CPU)
    other.facts = honest.data.facts  # the rate that a method may be told is a fact about the clean labels
    other.test_labels = torch.zeros_like(other.test_labels)
    fooled = world.finish(world.trainer(spec, other))
    changed = world.bits(fooled)
    assert changed.pop("payload") != world.bits(honest)["payload"]
    assert all(world.bits(honest)[name] == value for name, value in changed.items())


# what it hands back


def test_steps_hold_k_finite_detached_losses_and_well_formed_traces(spec, world, monkeypatch):
    trainer = world.trainer(spec)
    steps = recorded_steps(trainer, monkeypatch)
    num_networks, num_classes = trainer.method.num_networks, trainer.task.num_classes
    assert len(steps) >= 3
    for step, index in steps:
        size = len(index)
        assert step.losses.shape == (num_networks,)
        assert torch.isfinite(step.losses).all()
        values = [step.losses, step.selected, step.clean_score, step.relabelled, *(step.scalars or {}).values()]
        assert not any(v.requires_grad for v in values if isinstance(v, torch.Tensor))
        if step.selected is not None:
            assert (step.selected.dtype, step.selected.shape) == (torch.bool, (num_networks, size))
        if step.clean_score is not None:
            assert step.clean_score.shape == (num_networks, size)
            assert torch.isfinite(step.clean_score).all()
        if step.relabelled is not None:
            assert step.relabelled.shape == (size, num_classes)
            assert (step.relabelled >= 0).all()
            torch.testing.assert_close(step.relabelled.sum(-1), torch.ones(size), atol=1e-5, rtol=0)


def test_every_scalar_is_one_number(spec, world, monkeypatch):
    for step, _ in recorded_steps(world.trainer(spec), monkeypatch):
        for name, value in (step.scalars or {}).items():
            assert torch.as_tensor(value).ndim == 0, name


def test_predict_is_repeatable_and_gives_the_same_heads_in_every_epoch(spec, world, rng):
    trainer = world.finish(world.trainer(spec))
    x = torch.randn(5, 1, 8, 8, generator=rng)
    first, second = trainer.method.predict(x), trainer.method.predict(x)
    assert first.keys() == second.keys()
    for head, logits in first.items():
        assert torch.equal(logits, second[head])
        assert logits.shape == (5, trainer.task.num_classes)
        assert all(record["heads"].keys() == first.keys() for record in trainer.history)
    assert trainer.method.headline()
    assert set(trainer.method.headline()) <= first.keys()


def test_the_record_of_a_run_is_valid(spec, world):
    trainer = world.finish(world.trainer(spec))
    check_payload(trainer.outcome.payload | world.CODES, trainer.config.run_id)
    assert not trainer.outcome.payload["diverged"]


# how it learns


def test_a_training_epoch_moves_every_network(spec, world):
    trainer = world.trainer(spec)
    before = world.weights(trainer.method)
    trainer.epoch()
    after = trainer.method.state_dict()
    for k in range(trainer.method.num_networks):
        own = [name for name, _ in trainer.method.nets.named_parameters(prefix="nets") if name.startswith(f"nets.{k}.")]
        assert own
        assert all(not torch.equal(before[name], after[name]) for name in own if name.endswith("weight"))


def test_a_look_at_the_data_moves_no_weight_and_no_statistic_of_batch_norm(spec, world):
    trainer = world.trainer(spec)
    trainer.epoch()
    before = world.weights(trainer.method)
    seen = []

    def look(batch, clock):
        seen.append(len(batch.y))
        assert not any(z.requires_grad for z in trainer.method.predict(batch.x).values())

    world.looking_only(trainer.method, look)
    trainer.epoch()
    assert sum(seen) == trainer.task.num_train
    assert all(torch.equal(before[name], value) for name, value in trainer.method.state_dict().items())


def test_no_loss_sends_a_gradient_to_another_network(spec, world, rng):
    trainer = world.trainer(spec)
    method = trainer.method
    if not isinstance(method, LossMethod):
        return  # a method with its own update may share networks between losses
    y = torch.randint(3, (16,), generator=rng)
    for progress, size in ((0.1, 1.0), (0.9, 1.0), (0.9, 8.0)):
        logits = (size * torch.randn(method.num_networks, 16, 3, generator=rng)).requires_grad_()
        losses = method.losses(logits, world.batch(y), world.clock(progress)).losses
        for k, loss in enumerate(losses):
            (grad,) = torch.autograd.grad(loss, logits, retain_graph=True)
            assert grad[k].abs().sum() > 0
            for j in range(len(losses)):
                assert j == k or torch.equal(grad[j], torch.zeros_like(grad[j]))


def test_a_memory_follows_the_sample_and_not_its_place_in_the_batch(spec, world, rng):
    trainer = world.trainer(spec)
    trainer.epoch()
    before, method = world.weights(trainer.method), trainer.method
    memories = [name for name, value in before.items() if len(value.shape) and len(value) == trainer.task.num_train]
    batch = next(iter(trainer.task.loader()))
    order = torch.randperm(len(batch.y), generator=rng)
    shuffled = type(batch)(batch.index[order], tuple(view[order] for view in batch.views), batch.y[order])
    states = []
    for each in (batch, shuffled):
        method.load_state_dict(before)
        method.train()
        method.update(each, world.clock())
        states.append(world.weights(method))
    for name in memories:
        torch.testing.assert_close(states[0][name], states[1][name], rtol=1e-4, atol=1e-6)


# the same numbers again


def test_the_same_seed_gives_the_same_bits_after_whatever_ran_before(spec, world):
    alone = world.bits(world.finish(world.trainer(spec)))
    other = world.finish(world.trainer(spec, seed=1))
    torch.manual_seed(99)
    assert world.bits(world.finish(world.trainer(spec))) == alone
    losses = [record["loss"] for record in other.history]
    assert losses[0] != world.finish(world.trainer(spec)).history[0]["loss"]


def test_a_run_cut_after_any_epoch_and_resumed_is_the_uninterrupted_one_bit_for_bit(spec, world):
    finished = world.finish(world.trainer(spec))
    whole = world.bits(finished)
    for cut in range(1, finished.task.epochs + 1):
        assert world.bits(world.resumed(spec, cut)) == whole, f"cut after epoch {cut}"


def test_the_state_is_read_by_the_loader_that_runs_no_code(spec, world):
    trainer = world.trainer(spec)
    trainer.epoch()
    data = torch.load(io.BytesIO(checkpoint.to_bytes(trainer.state())), weights_only=True)
    assert data["epoch"] == 1
    assert data["method"].keys() == trainer.method.state_dict().keys()


def test_the_global_generators_of_python_and_numpy_are_left_alone(spec, world):
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002 - only read
    world.finish(world.trainer(spec))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


# edges

EDGES = {
    "batches of two": {"batch_size": 2, "dataset": {"train_limit": 11, "val": 0.1}},
    "a batch larger than the data": {"batch_size": 512},
    "two classes": {"num_classes": 2},
    "ten classes, some absent": {"num_classes": 10, "dataset": {"train_limit": 8, "val": 0.13}},
    "no wrong label": {"noise_text": "symmetric:0"},
    "most labels wrong": {"noise_text": "symmetric:0.95"},
    "one epoch in each phase": {},
}


@pytest.mark.parametrize("edge", EDGES)
def test_numbers_stay_finite_at_the_edges(spec, world, edge):
    settings, info = dict(EDGES[edge]), registry.describe(spec)
    if "one epoch" in edge:
        settings["epochs"] = max(2, info.shortest)
    if "trusted" in info.needs and "dataset" in settings:  # a trusted sample of every class leaves none absent
        settings["dataset"] = {"trusted": 3} if "two" in edge else {"trusted": 10}
    data = world.blobs(settings.pop("num_classes", 3))
    trainer = world.finish(world.trainer(spec, data, **settings))
    assert all(torch.isfinite(value.float()).all() for value in trainer.method.state_dict().values())
    for record in trainer.history:
        assert None not in [*record["loss"], *record["scalars"].values()]
    check_payload(trainer.outcome.payload | world.CODES, trainer.config.run_id)


@pytest.mark.parametrize("size", [0.0, 1e-3, 1e4])
def test_losses_and_gradients_are_finite_for_predictions_without_and_with_full_confidence(spec, world, size, rng):
    method = world.trainer(spec).method
    if not isinstance(method, LossMethod):
        return  # its losses are not a function of logits
    for num in (1, 2, 9):
        logits = (size * torch.randn(method.num_networks, num, 3, generator=rng)).requires_grad_()
        for progress in (0.01, 0.5, 1.0):
            y = torch.randint(3, (num,), generator=rng)
            losses = method.losses(logits, world.batch(y), world.clock(progress)).losses
            (grad,) = torch.autograd.grad(losses.sum(), logits)
            assert torch.isfinite(losses).all()
            assert torch.isfinite(grad).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.filterwarnings("default")  # a GPU lacks deterministic versions of some operations
def test_no_step_of_any_pass_waits_for_the_device(spec, world, monkeypatch):
    trainer = world.trainer(spec, device=torch.device("cuda"))
    passes = trainer.method.epoch

    def watched(clock):
        for part in passes(clock):

            def step(batch, now, step=part.step):
                torch.cuda.set_sync_debug_mode("error")
                try:
                    return step(batch, now)
                finally:
                    torch.cuda.set_sync_debug_mode("default")

            yield part._replace(step=step)

    monkeypatch.setattr(trainer.method, "epoch", watched)
    world.finish(trainer)


def test_needs_are_declared_on_the_class_and_not_by_an_instance(spec):
    cls = registry.load(spec)[0]
    assert isinstance(cls.__dict__.get("needs", Needs()), Needs)
    assert "needs" not in [f.name for f in dataclasses.fields(cls)]
    assert sys.modules[cls.__module__].__doc__

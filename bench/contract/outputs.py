"""What a method hands back: steps, predictions, a record, and a state that can be stored."""

from __future__ import annotations

import io
import pickle
from unittest import mock

import torch

from bench.contract import world
from bench.contract.checks import Violation, about, generator, listed, require
from bench.contract.world import SmallTrainer
from bench.sweep.records.result import check_payload
from bench.training import checkpoint, metrics
from methods.base import Step

check = about("what it hands back")
BATCHES = 3  # at least, of the small world's epoch
FORM = (
    "see Step in methods/base.py: losses (K,), selected (K, B) bool, clean_score (K, B), relabelled (B, C), where K "
    "counts networks, B samples of the batch and C classes"
)
DIVERGED = "a loss, or a network after its last step, is NaN or infinite: look for a division and a logarithm"
Steps = list[tuple[Step, torch.Tensor]]


def recorded_steps(trainer: SmallTrainer) -> tuple[Steps, Exception | None]:
    """Every (step, index) that the method hands to the trainer in one epoch, and what ended it early."""
    steps: Steps = []
    add = metrics.Traces.add

    def note(traces: metrics.Traces, step: Step, index: torch.Tensor) -> None:
        steps.append((step, index))
        add(traces, step, index)

    with mock.patch.object(metrics.Traces, "add", note):
        try:
            trainer.epoch()
        except Exception as error:  # the method's own, which the caller raises again once it has seen the steps
            return steps, error
    return steps, None


def member(trainer: SmallTrainer) -> str:
    """The function of a method that makes its steps."""
    return "losses" if hasattr(trainer.method, "losses") else "update"


@check(
    "steps",
    "an epoch goes through; every step holds K finite losses and well-formed traces",
    fundamental=True,
)
def steps(spec: str) -> None:
    trainer = world.trainer(spec)
    found, ended = recorded_steps(trainer)
    at = member(trainer)
    for number, (step, index) in enumerate(found):
        try:
            _well_formed(step, len(index), trainer.method.num_networks, trainer.task.num_classes)
        except Violation as wrong:
            raise Violation(f"step {number} of the first epoch: {wrong.found}", wrong.change, at) from None
    if ended is not None and not _odd_scalars(found):  # which would end it too, and have a check of their own
        raise ended
    change = f"return a Step from {at} for every batch that trains a network"
    none = "" if found else f"{at}() returned None in place of a Step: "
    require(len(found) >= BATCHES, f"{none}the first epoch made {len(found)} steps of 4 batches", change, at)


def _well_formed(step: Step, size: int, num_networks: int, num_classes: int) -> None:
    shape = tuple(step.losses.shape)
    require(shape == (num_networks,), f"losses have the shape {shape}, not {(num_networks,)}", FORM)
    finite = "divide by no count that may be 0 (masked_mean), and take no logarithm of a probability that may be 0"
    require(bool(torch.isfinite(step.losses).all()), f"losses are {step.losses.tolist()}", finite)
    values = {
        **{name: getattr(step, name) for name in ("losses", "selected", "clean_score", "relabelled")},
        **{f"scalars[{name!r}]": value for name, value in (step.scalars or {}).items()},
    }
    for name, value in values.items():
        attached = isinstance(value, torch.Tensor) and value.requires_grad
        require(not attached, f"{name} still hangs on the autograd graph", "return Step(...).detached() from update")
    if step.selected is not None:
        told = f"selected is {step.selected.dtype} of the shape {tuple(step.selected.shape)}"
        right = step.selected.dtype == torch.bool and tuple(step.selected.shape) == (num_networks, size)
        require(right, f"{told}, not torch.bool of {(num_networks, size)}", f"compare, or .bool() it; {FORM}")
    if step.clean_score is not None:
        shape = tuple(step.clean_score.shape)
        require(shape == (num_networks, size), f"clean_score has the shape {shape}, not {(num_networks, size)}", FORM)
        require(bool(torch.isfinite(step.clean_score).all()), "clean_score is not finite", finite)
    if step.relabelled is not None:
        shape = tuple(step.relabelled.shape)
        require(shape == (size, num_classes), f"relabelled has the shape {shape}, not {(size, num_classes)}", FORM)
        change = "hand back distributions: divide rows by their sums, or take a softmax"
        require(bool((step.relabelled >= 0).all()), "relabelled has entries below 0", change)
        sums = step.relabelled.sum(-1)
        try:
            torch.testing.assert_close(sums, torch.ones(size), atol=1e-5, rtol=0)
        except AssertionError:
            found = f"rows of relabelled ({sums.dtype}) sum to {float(sums.min()):.6g} up to {float(sums.max()):.6g}"
            raise Violation(f"{found}, not to 1 in float32", change) from None


@check("scalars", "every scalar is one number", after=("steps",), fundamental=True)
def scalars(spec: str) -> None:
    trainer = world.trainer(spec)
    found, ended = recorded_steps(trainer)
    change = "give its mean, or one scalar a network with names that end in _1, _2"
    for name, shape in _odd_scalars(found):
        raise Violation(f"scalar {name!r} has the shape {shape}", change, member(trainer))
    if ended is not None:
        raise ended


def _odd_scalars(found: Steps) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the scalars that are more than one number."""
    told = [
        (name, tuple(torch.as_tensor(value).shape)) for step, _ in found for name, value in (step.scalars or {}).items()
    ]
    return [(name, shape) for name, shape in told if shape]


@check("state", "its state is read by the loader that runs no code", fundamental=True)
def state(spec: str) -> None:
    change = "keep tensors alone in state_dict: register_buffer for memories, and no get_extra_state with objects"
    trainer = world.trainer(spec)
    trainer.epoch()
    odd = {k: type(v).__name__ for k, v in trainer.method.state_dict().items() if not isinstance(v, torch.Tensor)}
    named = ", ".join(f"{name} ({kind})" for name, kind in odd.items())
    try:
        data = torch.load(io.BytesIO(checkpoint.to_bytes(trainer.state())), weights_only=True)
    except (pickle.PickleError, AttributeError, TypeError) as error:  # what cannot be written, or not be read
        told = named or str(error).split("\n")[0]
        raise Violation(
            f"the state holds what only running code could read: {told}", change, "get_extra_state"
        ) from None
    require(not odd, f"the state holds more than tensors: {named}", change, "get_extra_state")
    require(data["epoch"] == 1, f"after one epoch the state tells {data['epoch']}", change)
    same = data["method"].keys() == trainer.method.state_dict().keys()
    require(same, "what was read back has other names than state_dict", change, "state_dict")


@check(
    "predict",
    "predict is repeatable, changes nothing, and gives (B, C) for the same heads in every epoch",
    after=("steps",),
)
def predict(spec: str) -> None:
    trainer = world.finish(world.trainer(spec))
    method = trainer.method
    broken = [name for name, value in method.named_parameters() if not bool(torch.isfinite(value).all())]
    found = f"the run diverged: {listed(broken)} ended without finite numbers, so that predictions have none"
    require(not broken, found, DIVERGED, member(trainer))
    x = torch.randn(5, 1, 8, 8, generator=generator("predict", spec))
    before = world.weights(method)
    first, second = method.predict(x), method.predict(x)
    changed = world.changed(before, method)
    change = "let predict read the networks and nothing else: no draw, no memory, no step of an average"
    require(not changed, f"predict changed {listed(changed)}", change, "predict")
    require(first.keys() == second.keys(), f"heads {list(first)}, then {list(second)}", change, "predict")
    for head, logits in first.items():
        finite = "divide by no count that may be 0, and take no logarithm of a probability that may be 0"
        require(bool(torch.isfinite(logits).all()), f"predictions of {head} are not finite", finite, "predict")
        require(torch.equal(logits, second[head]), f"two looks of {head} at one image differ", change, "predict")
        shape, wanted = tuple(logits.shape), (5, trainer.task.num_classes)
        require(shape == wanted, f"{head} has the shape {shape}, not {wanted}", "return logits (B, C)", "predict")
    told = [list(record["heads"]) for record in trainer.history if record["heads"].keys() != first.keys()]
    require(not told, f"an epoch had the heads {told[:1]}, the last {sorted(first)}", "name them alike", "predict")
    headline = method.headline()
    change = "name heads of predict whose mean accuracy is the number of the method"
    require(bool(headline), "headline names no head", change, "headline")
    lost = sorted(set(headline) - first.keys())
    require(not lost, f"headline names {lost}, which predict does not give", change, "headline")


@check("record", "a whole run goes through, does not diverge, and its record is valid", after=("steps", "predict"))
def record(spec: str) -> None:
    trainer = world.finish(world.trainer(spec))
    try:
        check_payload(trainer.outcome.payload | world.CODES, trainer.config.run_id)
    except ValueError as error:
        raise Violation(f"the record is not valid: {error}", "mend what the message names") from error
    require(not trainer.outcome.payload["diverged"], "the run diverged", DIVERGED, member(trainer))

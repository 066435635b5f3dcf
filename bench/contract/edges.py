"""Edges: tiny batches, absent classes, all labels right or nearly all wrong, predictions without doubt."""

from __future__ import annotations

from typing import Any

import torch

from bench.contract import world
from bench.contract.checks import DoesNotApply, Violation, about, generator, listed, require
from bench.contract.outputs import member
from bench.sweep.records.result import check_payload
from methods import registry
from methods.base import LossMethod

check = about("at the edges")
EDGES: dict[str, dict[str, Any]] = {
    "batches of two": {"batch_size": 2, "dataset": {"train_limit": 11, "val": 0.1}},
    "a batch larger than the data": {"batch_size": 512},
    "two classes": {"num_classes": 2},
    "ten classes, some absent": {"num_classes": 10, "dataset": {"train_limit": 8, "val": 0.13}},
    "no wrong label": {"noise_text": "symmetric:0"},
    "most labels wrong": {"noise_text": "symmetric:0.95"},
    "one epoch in each phase": {},
}
FINITE = "divide by no count that may be 0 (masked_mean), select at least one sample, ask for no class that is absent"


@check("edges", "numbers stay finite at the edges", cases=tuple(EDGES), after=("record",))
def edges(spec: str, case: str) -> None:
    settings, info = dict(EDGES[case]), registry.describe(spec)
    if "one epoch" in case:
        settings["epochs"] = max(2, info.shortest)
    if "trusted" in info.needs and "dataset" in settings:  # a trusted sample of every class leaves none absent
        settings["dataset"] = {"trusted": 3} if "two" in case else {"trusted": 10}
    data = world.blobs(settings.pop("num_classes", 3))
    trainer = world.finish(world.trainer(spec, data, **settings))
    at = member(trainer)
    state = trainer.method.state_dict()
    odd = [name for name, value in state.items() if not bool(torch.isfinite(value.float()).all())]
    require(not odd, f"{case}: {listed(odd)} ended without finite numbers", FINITE, at)
    for record in trainer.history:
        scalars = [name for name, value in record["scalars"].items() if value is None]
        require(not scalars, f"{case}: scalar {listed(scalars)} is not finite", FINITE, at)
        require(None not in record["loss"], f"{case}: losses are not finite, or a network had none", FINITE, at)
    try:
        check_payload(trainer.outcome.payload | world.CODES, trainer.config.run_id)
    except ValueError as error:
        raise Violation(f"{case}: the record is not valid: {error}", "mend what the message names", at) from error


SIZES = {"no confidence": 0.0, "hardly any": 1e-3, "full confidence": 1e4}  # by the size of logits


@check(
    "confidence",
    "losses and gradients are finite for predictions without and with full confidence",
    cases=tuple(SIZES),
    after=("steps",),
)
def confidence(spec: str, case: str) -> None:
    method = world.trainer(spec).method
    if not isinstance(method, LossMethod):
        raise DoesNotApply("its losses are not a function of logits")
    rng = generator("confidence", spec, case)
    change = "work with log_softmax, and clamp a probability before its logarithm or its power"
    for num in (1, 2, 9):
        logits = (SIZES[case] * torch.randn(method.num_networks, num, 3, generator=rng)).requires_grad_()
        for progress in (0.01, 0.5, 1.0):
            y = torch.randint(3, (num,), generator=rng)
            losses = method.losses(logits, world.batch(y), world.clock(progress)).losses
            (grad,) = torch.autograd.grad(losses.sum(), logits)
            where = f"{case}, {num} sample{'' if num == 1 else 's'}"
            require(bool(torch.isfinite(losses).all()), f"{where}: losses are {losses.tolist()}", change, "losses")
            require(bool(torch.isfinite(grad).all()), f"{where}: a gradient is not finite", change, "losses")

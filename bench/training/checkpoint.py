"""A run's state as bytes: tensors and plain Python alone, so that the safe loader reads it."""

import copy
import io
from dataclasses import dataclass, fields
from typing import Any

import torch


@dataclass
class State:
    """Everything an interrupted run needs; random streams are derived, so no generator is in it."""

    run_id: str
    epoch: int  # epochs finished
    method: dict[str, Any]  # networks and memories
    optimizers: list[dict[str, Any]]  # in the order in which they were made
    history: list[dict[str, Any]]  # in the same file, so that weights and metrics cannot disagree
    forward_samples: int


def copied(state: State) -> State:
    """A state that training on does not change, its tensors where they were."""
    return State(**{field.name: _copied(getattr(state, field.name)) for field in fields(state)})


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        new = copy.copy(value)  # the versions that a state_dict carries beside its items go along
        new.update({key: _copied(item) for key, item in value.items()})
        return new
    if isinstance(value, list | tuple):
        return type(value)(_copied(item) for item in value)
    return value


def to_bytes(state: State) -> bytes:
    """Serialise in memory: a full disk then fails in the publishing, not in the middle of a file."""
    buffer = io.BytesIO()
    torch.save(vars(state), buffer)
    return buffer.getvalue()


def from_bytes(data: bytes, run_id: str, device: torch.device) -> State:
    """Read a state whose digest has been checked; ValueError if it belongs to another run."""
    state = State(**torch.load(io.BytesIO(data), weights_only=True, map_location=device))
    if state.run_id != run_id:
        raise ValueError(f"checkpoint of run {state.run_id} in the folder of run {run_id}")
    return state

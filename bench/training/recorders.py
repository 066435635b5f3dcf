"""Two ways to record a step and to do it again without Python: CUDA graphs, and a tape that tests use on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

Work = Callable[[], None]

CAPTURE = ("off", "auto")  # what a user may ask for
FORCED = "always"  # wherever a run computes; without a GPU it fails as a capture there might

# operations that make the host wait for a device, because what they return depends on its numbers
WAITING = frozenset(
    [
        *("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "equal"),
        *("bincount", "repeat_interleave", "_linalg_check_errors"),
    ]
)


def waits(func: Any, args: tuple[Any, ...]) -> bool:
    """Whether a dispatched operation would make the host wait for a GPU; on the CPU it can be told by its name."""
    name = func.overloadpacket.__name__
    masks = name in ("index", "index_put", "index_put_", "_index_put_impl_") and any(
        isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1]
    )
    return masks or name in WAITING


class Recorder(Protocol):
    """Records what `work` does on the device and does it again, with the same tensors at the same places."""

    executes: bool  # whether recording also does the work, or only notes it
    warm_up: int  # real steps before the first recording of a kind, in which lazily made state appears
    timed: bool  # whether replaying has to show that it is faster

    def lane(self) -> AbstractContextManager[None]:
        """Where all steps of a pass run, recorded or not."""
        ...

    def record(self, work: Work) -> Work:
        """Return what does the work again; what was recorded before is gone."""
        ...

    def drop(self) -> None:
        """Forget what was recorded, and free its memory."""
        ...

    def wait(self) -> None:
        """Wait until the device has done everything."""
        ...

    def generators(self) -> list[torch.Generator]:
        """The generators that the networks of a step may draw from."""
        ...


def recorder(capture: str, device: torch.device) -> Recorder | None:
    """The recorder for a run on `device`; None where its steps are to run as they are written."""
    return Graphs(device) if capture == FORCED or (capture == "auto" and device.type == "cuda") else None


class Graphs:
    """A CUDA graph at a time. Capturing executes nothing, and an error in it may spoil the process's CUDA state."""

    executes = False
    warm_up = 3
    timed = True

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    @contextmanager
    def lane(self) -> Iterator[None]:
        """A stream of its own, on which libraries get their workspaces before a capture needs them."""
        if self._stream is None:
            self._stream = torch.cuda.Stream(self._device)
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            yield
        torch.cuda.current_stream(self._device).wait_stream(self._stream)

    def record(self, work: Work) -> Work:
        self.drop()
        graph = torch.cuda.CUDAGraph()
        # thread_local: a thread that reads batches ahead may pin memory meanwhile
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            work()
        self._graph = graph
        return graph.replay

    def drop(self) -> None:
        if self._graph is not None:
            with suppress(RuntimeError):  # a device that has failed has said so already
                self.wait()
                self._graph.reset()
            self._graph = None

    def wait(self) -> None:
        torch.cuda.synchronize(self._device)

    def generators(self) -> list[torch.Generator]:
        index = torch.cuda.current_device() if self._device.index is None else self._device.index
        return [torch.default_generator, torch.cuda.default_generators[index]]


class Tape:
    """Stands in for graphs on the CPU: Python runs once, and the operations it called are called again."""

    executes = True
    warm_up = 1
    timed = False

    def lane(self) -> AbstractContextManager[None]:
        return nullcontext()

    def record(self, work: Work) -> Work:
        calls = _Calls()
        with calls:
            work()
        return calls.replay

    def drop(self) -> None:
        """Nothing is kept here."""

    def wait(self) -> None:
        """The CPU never runs behind."""

    def generators(self) -> list[torch.Generator]:
        return [torch.default_generator]


class _Calls(TorchDispatchMode):
    """Every operation below autograd, with the tensors it was given and the ones it gave."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if waits(func, args):
            raise RuntimeError(f"{func} waits for the device, which no recorded step can")
        out = func(*args, **(kwargs or {}))
        self._calls.append((func, args, kwargs or {}, out))
        return out

    @torch.no_grad()
    def replay(self) -> None:
        new: dict[int, Any] = {}  # id of a recorded tensor -> what it is in this replay

        def now(value: Any) -> Any:
            return new.get(id(value), value) if isinstance(value, Tensor) else value

        for func, args, kwargs, out in self._calls:
            fresh = func(*tree_map(now, args), **tree_map(now, kwargs))
            pairs = zip(tree_leaves(out), tree_leaves(fresh), strict=True)
            new |= {id(old): value for old, value in pairs if isinstance(old, Tensor)}

"""Dask: a task a run, on workers that say by a resource named GPU what they have.

A Dask worker is a process with threads, and a run takes one of them; the run itself is a process of its own. Where a
worker is lost the scheduler gives its task to another, up to as often as the cluster allows, and then we do.
"""

from __future__ import annotations

import importlib
import logging
import os
import queue
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future as Answer
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster
from distributed.client import Future

from bench.devices import visible_gpus
from bench.sweep.backends import placed
from bench.sweep.backends.engine import ClusterLost, Need, Told, first_line

JOIN_SECONDS = 30.0  # for the scheduler to answer
WORKER_SECONDS = 10.0  # for a first worker, which may have been started a moment ago
ANSWER_SECONDS = 60.0  # for scheduler and workers to answer a question
GPU = "GPU"  # the name of the resource


@contextmanager
def opened(address: str | None, need: Need) -> Iterator[DaskEngine]:
    """Join the cluster of a scheduler's address or file, or start one on this machine that ends with the sweep."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # whatever is lost, the driver tells in a line
    with ExitStack() as stack:
        try:
            if address is None:
                client = Client(stack.enter_context(_local(need)), timeout=JOIN_SECONDS)
            elif "://" in address:
                client = Client(address, timeout=JOIN_SECONDS)
            else:
                client = Client(scheduler_file=_file(address), timeout=JOIN_SECONDS)
        except OSError as error:  # a TimeoutError too
            raise ValueError(f"no Dask scheduler answers at {address}: {first_line(error)}") from error
        stack.enter_context(client)
        with suppress(TimeoutError):  # then there is no room, which the caller says
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        yield DaskEngine(client, need)


def _file(address: str) -> str:
    path = Path(address).expanduser()
    if not path.is_file():
        raise ValueError(f"--address {address}: neither an address such as tcp://host:8786 nor a scheduler file")
    return str(path)


def _local(need: Need) -> LocalCluster:
    """One worker for the whole machine: its threads only wait for the processes of the runs."""
    gpus = [] if need.gpu is False else visible_gpus()
    settled = need.settled(len(gpus))
    cores = len(os.sched_getaffinity(0))
    threads = max(1, settled.fitting(max(cores, need.threads), len(gpus)))
    resources = {GPU: len(gpus)} if gpus else {}
    quiet: dict[str, Any] = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL, "memory_limit": 0}
    return LocalCluster(n_workers=1, threads_per_worker=threads, resources=resources, **quiet)


class DaskEngine:
    """Places tasks through a client of a Dask scheduler."""

    def __init__(self, client: Client, need: Need) -> None:
        self._client = client
        workers = self._workers()
        self.need = need.settled(sum(worker["resources"].get(GPU, 0) for worker in workers.values()))
        self._ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._open: set[Future] = set()

    def room(self) -> int:
        return sum(self._room(worker) for worker in self._workers().values())

    def _room(self, worker: dict[str, Any]) -> int:
        # threads, not cores: a worker of one thread takes one run, of however many threads that is
        return self.need.fitting(worker["nthreads"] * self.need.threads, worker["resources"].get(GPU, 0))

    def _workers(self) -> dict[str, dict[str, Any]]:
        if self._client.status != "running":
            raise ClusterLost("Dask's scheduler is gone")
        workers: dict[str, dict[str, Any]] = _within(lambda: self._client.scheduler_info(n_workers=-1)["workers"])
        return workers

    def probe(self, request: str, configs: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
        """Whoever cannot import what it is sent would make every task wait for ever, without a word: so ask first."""
        name = placed.__name__
        try:
            _within(lambda: self._client.run_on_scheduler(importlib.import_module, name))
        except ImportError as error:
            raise ValueError(_cannot("scheduler", self._client.scheduler.address, error)) from error
        able = [address for address, worker in self._workers().items() if self._room(worker)]
        for address, answer in self._ask(importlib.import_module, name, workers=able).items():
            if isinstance(answer, BaseException):
                raise ValueError(_cannot("worker", address, answer))
        answers = self._ask(placed.probe, request, list(configs), workers=able)
        for address, answer in answers.items():
            if isinstance(answer, BaseException):
                raise ValueError(f"Dask's worker {address} cannot take runs: {first_line(answer)}")
        return list(answers.values())

    def _ask(self, function: Any, *arguments: Any, workers: list[str]) -> dict[str, Any]:
        """What workers answer, or the error that they raise; of those that have left the cluster meanwhile, nothing."""
        answers: dict[str, Any] = _within(
            lambda: self._client.run(function, *arguments, workers=workers, on_error="return")
        )
        left = {address for address, answer in answers.items() if isinstance(answer, OSError)} - self._workers().keys()
        return {address: answer for address, answer in answers.items() if address not in left}

    def submit(self, request: str) -> Any:
        resources = {GPU: self.need.share} if self.need.gpu else None
        key = f"run-{uuid.uuid4().hex}"
        future = self._client.submit(placed.supervise, request, key=key, resources=resources, retries=0, pure=False)
        self._open.add(future)
        future.add_done_callback(self._ended.put)
        return future

    def ended(self, timeout: float) -> list[tuple[Any, Told]]:
        found = []
        try:
            found.append(self._ended.get(timeout=timeout))
            while True:
                found.append(self._ended.get_nowait())
        except queue.Empty:
            pass
        if not found:
            self._workers()  # raises if nobody is there to tell
        self._open.difference_update(found)
        return [(future, _told(future)) for future in found]

    def cancel(self, launch: str) -> None:
        _within(lambda: self._client.cancel(list(self._open), force=True))
        self._ask(placed.kill, launch, workers=list(self._workers()))


def _cannot(kind: str, address: str, error: BaseException) -> str:
    return (
        f"Dask's {kind} {address} cannot import {placed.__name__} ({first_line(error)}): start it where this package "
        "is installed, or with PYTHONPATH naming this checkout"
    )


def _within(call: Callable[[], Any], seconds: float = ANSWER_SECONDS) -> Any:
    """What the cluster answers; ClusterLost if it is gone or, as where a worker hangs, says nothing for so long."""
    answer: Answer[Any] = Answer()

    def ask() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:  # for whoever waits
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError as error:
        raise ClusterLost(f"Dask's cluster has not answered for {seconds:.0f} s") from error
    except OSError as error:
        raise ClusterLost(f"Dask's scheduler is gone: {first_line(error)}") from error


def _told(future: Future) -> Told:
    if future.status != "finished":
        return Told.lost(future.exception() if future.status == "error" else future.status)
    try:
        return Told.of(future.result(timeout=ANSWER_SECONDS))
    except Exception as error:  # its worker has died with the answer: the run's folder tells
        return Told.lost(error)

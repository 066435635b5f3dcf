"""Ray: a task a run, by plain `ray.remote` and `ray.wait`.

Its pool of actors, which joblib would use, cannot give results one by one and hangs where it has more actors than the
cluster has room for. A task whose node dies is an error like any other.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# before Ray is imported: it would report its use, and hide the GPUs of workers that ask for none
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray.exceptions import NodeDiedError, RayError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.fingerprint import ROOT
from bench.sweep.backends import placed
from bench.sweep.backends.engine import ClusterLost, Need, Told, first_line

KNOCK_SECONDS = 10.0  # for the address to take a connection
PROBE_SECONDS = 120.0  # for a node to start a worker and answer


@contextmanager
def opened(address: str | None, need: Need) -> Iterator[RayEngine]:
    """Join the cluster at `address`, or start one on this machine that ends with the sweep."""
    runtime = {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}}
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "runtime_env": runtime}
    own: dict[str, Any] = {"include_dashboard": False, "num_cpus": max(len(os.sched_getaffinity(0)), need.threads)}
    if address is None:
        # whoever is heard on Ray's ports runs code as this user: unless it is told otherwise Ray asks for a token, and
        # would write one that lasts into the home folder, for all who can read there
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        _knock(address)
        ray.init(address or "local", **quiet, **(own if address is None else {}))
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"no Ray cluster at {address or 'this machine'}: {first_line(error)}") from error
    try:
        yield RayEngine(need)
    finally:
        ray.shutdown()


def _knock(address: str | None) -> None:
    """OSError at once where nothing listens: Ray itself would try for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()


class RayEngine:
    """Places tasks on the Ray cluster that this process has joined."""

    def __init__(self, need: Need) -> None:
        self.need = need.settled(sum(node["Resources"].get("GPU", 0.0) for node in _nodes()))
        task = ray.remote(placed.supervise)
        self._task = task.options(num_cpus=self.need.threads, num_gpus=self.need.share, max_retries=0)
        self._open: list[Any] = []

    def room(self) -> int:
        found = [node["Resources"] for node in _nodes()]
        return sum(self.need.fitting(has.get("CPU", 0.0), has.get("GPU", 0.0)) for has in found)

    def probe(self, request: str, configs: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
        task, asked = ray.remote(placed.probe), {}
        for node in _nodes():
            has = node["Resources"]
            if self.need.fitting(has.get("CPU", 0.0), has.get("GPU", 0.0)):
                there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                here = task.options(num_cpus=0, max_retries=0, scheduling_strategy=there)  # however busy it is
                asked[here.remote(request, list(configs))] = node["NodeManagerHostname"]
        answers = []
        for reference, host in asked.items():
            try:
                answers.append(ray.get(reference, timeout=PROBE_SECONDS))
            except (NodeDiedError, TaskUnschedulableError):  # it has left the cluster: others go on without it
                continue
            except RayError as error:
                raise ValueError(f"Ray's node {host} cannot take runs: {_reason(error)}") from error
        return answers

    def submit(self, request: str) -> Any:
        self._open.append(self._task.remote(request))
        return self._open[-1]

    def ended(self, timeout: float) -> list[tuple[Any, Told]]:
        if not self._open:
            return []
        try:
            ready, _ = ray.wait(self._open, num_returns=1, timeout=timeout)
            if ready:
                ready, self._open = ray.wait(self._open, num_returns=len(self._open), timeout=0)
        except RayError as error:
            raise ClusterLost(f"Ray's cluster is gone: {first_line(error)}") from error
        return [(reference, _told(reference)) for reference in ready]

    def cancel(self, launch: str) -> None:
        for reference in self._open:
            ray.cancel(reference, force=True)


def _nodes() -> list[dict[str, Any]]:
    try:
        return [node for node in ray.nodes() if node["Alive"]]
    except RayError as error:
        raise ClusterLost(f"Ray's cluster is gone: {first_line(error)}") from error


def _told(reference: Any) -> Told:
    try:
        return Told.of(ray.get(reference))
    except RayError as error:
        return Told.lost(_reason(error))


def _reason(error: RayError) -> str:
    """The last line of a remote traceback, or else Ray's own words."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if type(error).__name__.startswith("RayTaskError") and lines else first_line(error)

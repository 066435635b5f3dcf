"""Where finished runs were made, by what, when and for how long: what their records say beside the numbers."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from bench.files import canonical, parse
from bench.findings.gathering import Evidence
from bench.findings.remembering import remembered
from bench.sweep.records.store import Corrupt, Store

OF_A_RUN = ("started", "command", "pid", "number", "launch", "slot", "from_epoch", "code", "method_code")


class Made(NamedTuple):
    """How one finished run came about; None is what its record does not say."""

    environment: int | None  # a place in `Origins.environments`
    started: str | None  # of the first attempt that counts, ISO 8601 in UTC
    seconds: float | None  # of all the attempts that count
    attempts: int
    memory: float | None  # peak of the process, in MB


class Origins(NamedTuple):
    """Environments, each once, with how each run came about by its run_id."""

    environments: list[dict[str, Any]]
    runs: dict[str, Made]


def read(store: Store, found: Evidence) -> Origins:
    """Read them; what is remembered of unchanged records is not read again."""
    files = [[run_id, facts.file] for run_id, facts in found.facts.items()]
    environments, runs = remembered(["origins", files], lambda: _read(store, found))
    return Origins(environments, {run_id: Made(*made) for run_id, made in runs.items()})


def _read(store: Store, found: Evidence) -> list[Any]:
    places: dict[bytes, int] = {}
    environments: list[dict[str, Any]] = []
    runs: dict[str, list[Any]] = {}
    for run_id, facts in found.facts.items():
        provenance = _provenance(store, run_id, facts.payload)
        told = provenance.get("attempts")
        attempts = [start for start in told if isinstance(start, dict)] if isinstance(told, list) else []
        place = None
        if attempts:
            environment = {name: value for name, value in attempts[-1].items() if name not in OF_A_RUN}
            key = canonical(environment)
            if key not in places:
                places[key] = len(environments)
                environments.append(environment)
            place = places[key]
        started = next((start["started"] for start in attempts if isinstance(start.get("started"), str)), None)
        figures = [_number(provenance.get("seconds")), len(attempts), _number(provenance.get("peak_memory_mb"))]
        runs[run_id] = [place, started, *figures]
    return [environments, runs]


def _provenance(store: Store, run_id: str, payload: str) -> Mapping[str, Any]:
    """The provenance of a verified record, whose history need not be parsed for it."""
    with suppress(Corrupt, ValueError, OSError):  # changed since it was verified
        data = store.run(run_id).result_bytes() or b""
        _, found, rest = data.rpartition(b',"payload_sha256":"' + payload.encode() + b'","provenance":')
        if found:
            told = parse(rest[: rest.rindex(b',"sha256":"')])
            return told if isinstance(told, dict) else {}
    return {}


def _number(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and abs(value) <= sys.float_info.max else None


def device_of(environment: Mapping[str, Any]) -> str:
    """The device in few words, as a table has room for."""
    gpu = environment.get("gpu")
    name = gpu.get("name") if isinstance(gpu, dict) else None
    return str(name or environment.get("device") or "not recorded")

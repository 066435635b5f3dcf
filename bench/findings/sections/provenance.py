"""By which code, on which machines and with which versions the runs were made, as their records say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bench.findings.sections.subject import Subject
from bench.findings.sections.words import UNKNOWN

SHOWN = 20  # environments


def of(subject: Subject) -> dict[str, Any]:
    """`environments` with how many runs each has made, the most first; `digests` of what decides the numbers."""
    origins = subject.origins
    used = Counter(made.environment for made in origins.runs.values())
    known = [(place, count) for place, count in used.most_common() if place is not None]
    return {
        "environments": [
            {"count": count, "facts": _facts(origins.environments[place])} for place, count in known[:SHOWN]
        ],
        "more": max(0, len(known) - SHOWN),
        "unknown": used[None],
        "digests": _digests(subject),
        "began": _span(subject),
    }


def _facts(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    packages = {name: environment.get(name) for name in ("python", "torch", "numpy")} | _table(environment, "packages")
    arithmetic = _table(environment, "arithmetic")
    facts = [
        ("processor", _processor(environment, _table(environment, "cpu"))),
        ("GPU", _gpu(environment, _table(environment, "gpu"))),
        ("host", str(environment.get("host_hash") or "")),
        ("system", str(environment.get("system") or "")),
        ("versions", ", ".join(f"{name} {version}" for name, version in packages.items() if version)),
        ("arithmetic", ", ".join(f"{name} {_yes(value)}" for name, value in arithmetic.items())),
        ("commit", _commit(environment)),
    ]
    return [(name, text) for name, text in facts if text]


def _processor(environment: Mapping[str, Any], cpu: Mapping[str, Any]) -> str:
    name = cpu.get("name") or ("" if environment.get("gpu") else environment.get("device"))
    cores, kernels = cpu.get("cores"), cpu.get("kernels")
    return _joined(name, cores and f"{cores} cores", kernels and f"kernels {kernels}")


def _gpu(environment: Mapping[str, Any], gpu: Mapping[str, Any]) -> str:
    memory, driver, cudnn = (gpu.get(name) for name in ("memory_mb", "driver", "cudnn"))
    versions = {"driver": driver, "cuDNN": cudnn, "CUDA": gpu and environment.get("cuda")}
    told = [f"{name} {version}" for name, version in versions.items() if version]
    return _joined(gpu.get("name"), memory and f"{memory} MB", *told)


def _table(environment: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = environment.get(name)
    return found if isinstance(found, dict) else {}


def _joined(*parts: Any) -> str:
    return ", ".join(str(part) for part in parts if part)


def _yes(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _commit(environment: Mapping[str, Any]) -> str:
    commit = environment.get("commit")
    if not commit:
        return ""
    digests = {name: environment.get(f"{name}_sha256") for name in ("diff", "untracked")}
    changes = [f"{name} {digest}" for name, digest in digests.items() if digest]
    return f"{commit}" + (f", with changes ({', '.join(changes) or 'not of code'})" if environment.get("dirty") else "")


def _digests(subject: Subject) -> list[tuple[str, str]]:
    """What the numbers rest on, by digest."""
    found = list(subject.summaries.values())

    def every(values: Sequence[Any]) -> str:
        return ", ".join(dict.fromkeys(str(value) for value in values)) or UNKNOWN

    sets = [f"{one['config']['dataset']['name']} {one['dataset_digest']}" for one in found]
    return [
        ("data", every(sets)),
        ("harness", every([one["code"] for one in found])),
        ("protocol", every([one["config"]["protocol"] for one in found])),
        ("device", every([one["device_kind"] for one in found])),
        ("precision", every([one["config"]["train"]["precision"] for one in found])),
        ("other code than today's", f"{len(subject.found.stale)} runs"),
    ]


def _span(subject: Subject) -> str:
    began = sorted(made.started for made in subject.origins.runs.values() if made.started)
    return f"{began[0]} to {began[-1]}" if began else UNKNOWN

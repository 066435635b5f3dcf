"""By which code, on which machines and with which versions the runs were made, as their records say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bench.commands.sections.subject import Subject
from bench.commands.sections.words import UNKNOWN

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
    cpu, gpu = _table(environment, "cpu"), _table(environment, "gpu")
    arithmetic = _table(environment, "arithmetic")
    packages = {name: environment.get(name) for name in ("python", "torch", "numpy")} | _table(environment, "packages")
    facts = [
        ("processor", _joined(cpu.get("name") or environment.get("device"), cpu.get("cores") and f"{cpu['cores']} cores",
                              cpu.get("kernels") and f"kernels {cpu['kernels']}")),
        ("GPU", _joined(gpu.get("name"), gpu.get("memory_mb") and f"{gpu['memory_mb']:,} MB",
                        gpu.get("driver") and f"driver {gpu['driver']}", gpu.get("cudnn") and f"cuDNN {gpu['cudnn']}",
                        environment.get("cuda") and f"CUDA {environment['cuda']}")),
        ("host", str(environment.get("host_hash") or "")),
        ("system", str(environment.get("system") or "")),
        ("versions", ", ".join(f"{name} {version}" for name, version in packages.items() if version)),
        ("arithmetic", ", ".join(f"{name} {_yes(value)}" for name, value in arithmetic.items())),
        ("commit", _commit(environment)),
    ]  # fmt: skip
    return [(name, text) for name, text in facts if text]


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
    changes = [f"{name} {environment[f'{name}_sha256']}" for name in ("diff", "untracked")
               if environment.get(f"{name}_sha256")]  # fmt: skip
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

"""What each method is, what it was told, and with which hyper-parameters it ran here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.findings import method_card
from bench.findings.method_card import TOLD, setting_text
from bench.findings.sections.subject import Subject
from bench.sweep.planning.grid import Planned
from methods.fields import MethodInfo

SHOWN = 6  # values of one hyper-parameter


def of(subject: Subject) -> list[dict[str, Any]]:
    """Cards in the order of the table; of code from elsewhere, what the records say."""
    runs: dict[str, list[Planned]] = {}
    for run in subject.found.runs:
        runs.setdefault(run.config.method.name, []).append(run)
    return [_card(subject, name, own) for name, own in runs.items()]


def _card(subject: Subject, name: str, own: Sequence[Planned]) -> dict[str, Any]:
    info = subject.found.infos.get(name)
    told = [dict(subject.summaries[run.run_id]) for run in own if run.run_id in subject.summaries]
    needs = list(info.needs) if info else list(dict.fromkeys(need for one in told for need in one["needs"]))
    facts = _facts(method_card.as_dict(own[0].spec)) if info else [("paper", str(told[0]["paper"]) if told else "")]
    return {
        "name": name,
        "summary": info.summary if info else "",
        "facts": [(heading, text) for heading, text in facts if text],
        "deviations": list(info.card.deviations) if info and info.card else [],
        "told": [TOLD.get(need, need.replace("_", " ")) for need in needs],
        "known": info is not None,
        "parameters": _parameters(info, own),
        "code": sorted({str(one["method_code"]) for one in told}),
    }


def _facts(card: dict[str, Any]) -> list[tuple[str, str]]:
    own = card["card"] or {}
    return [
        ("paper", " · ".join(part for part in (own.get("title"), card["paper"]) if part)),
        ("networks", str(card["networks"])),
        ("computes", own.get("equations", "")),
        ("code of the authors", own.get("code", "") or ("none is known" if own else "")),
        ("defaults from", own.get("defaults", "")),
        ("per noise setting", own.get("tuned", "") or "one setting for all noise"),
    ]


def _parameters(info: MethodInfo | None, own: Sequence[Planned]) -> list[dict[str, Any]]:
    """Each hyper-parameter with its default, the value that the preset sets, and the values in these runs."""
    fields = {field.name: field for field in info.fields} if info else {}
    names = dict.fromkeys([*fields, *(name for run in own for name in run.config.method.params)])
    told = []
    for name in names:
        used = list(dict.fromkeys(setting_text(run.config.method.params.get(name)) for run in own))
        field = fields.get(name)
        default = "" if field is None or field.required else setting_text(field.default)
        preset = setting_text(own[0].defaults.get(name)) if name in own[0].defaults else default
        changed = field is not None and any(value not in (default, preset) for value in used)
        whence = "set for these runs" if changed else "by the preset" if default not in ("", used[0]) else "default"
        told.append(
            {
                **{"name": name, "meaning": field.meaning if field else "", "default": default or "–"},
                **{"used": " or ".join(used[:SHOWN]) + (" ..." if len(used) > SHOWN else ""), "changed": changed},
                "whence": whence if field is not None else "as recorded",
            }
        )
    return told

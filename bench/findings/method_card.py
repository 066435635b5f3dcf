"""The card of a method: what it is, where it comes from, what was changed, and what it must be told."""

import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from methods import registry
from methods.fields import MethodInfo

WIDTH, INDENT = 100, 14
TOLD = {
    "noise_rate": "the share of wrong labels in what it trains on",
    "noise_type": "the family of the noise",
    "transition": "the true transition matrix",
    "noisy_val": "held-out samples with noisy labels, to choose among its own intermediate results",
    "trusted": "samples with true labels (--trusted N)",
}


def as_dict(name: str) -> dict[str, Any]:
    """The card as plain types; ValueError with the nearest name for an unknown one."""
    info = registry.describe(name)
    return {
        "name": info.name,
        "summary": info.summary,
        "paper": info.paper,
        "networks": info.num_networks,
        "needs": list(info.needs),
        "fewest_epochs": info.shortest,
        "card": asdict(info.card) if info.card else None,
        "fields": [{"name": f.name, "type": f.type, "default": f.default, "meaning": f.meaning} for f in info.fields],
        "presets": info.presets,
    }


def as_text(name: str) -> str:
    """The card as a page of at most 100 columns."""
    info = registry.describe(name)
    lines = textwrap.wrap(f"{info.name}: {info.summary}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    for heading, text in _facts(info):
        for number, item in enumerate(text):
            lines += _entry(heading if number == 0 else "", item)
    lines += _hyper_parameters(info)
    lines += ["  presets     uniform: the harness's recipe of the data set, the same for every method"]
    for preset, recipe in info.presets.items():
        base, _, dataset = preset.partition(":")
        lines += _entry(
            "", f"{base}, on {dataset} also: {recipe_text(recipe)}" if dataset else f"{base}: {recipe_text(recipe)}"
        )
    return "\n".join(lines)


def _facts(info: MethodInfo) -> list[tuple[str, list[str]]]:
    """Headings and their paragraphs; a heading without any is left out."""
    card = info.card
    facts = [("paper", [info.paper] if info.paper else []), ("networks", [str(info.num_networks)])]
    if card is not None:
        facts[0] = ("paper", [part for part in (card.title, info.paper) if part])
        facts += [("computes", [card.equations]), ("code", [card.code or "no public code of the authors is known"])]
        facts += [("defaults", [card.defaults]), ("differs", [f"- {text}" for text in card.deviations])]
        facts += [("reference", [f'compat="reference" repeats {card.reference}'] if card.reference else [])]
    told = [f"† {TOLD[need]}" for need in info.needs] or ["nothing beyond the noisy labels"]
    facts += [("is told", told)]
    if card is not None:
        facts += [("per setting", [card.tuned or "one setting for all noise"])]
    if info.shortest > 1:
        facts += [("phases", [f"{info.shortest}, so a run has at least {info.shortest} epochs"])]
    return [(heading, text) for heading, text in facts if text]


def _entry(heading: str, text: str) -> list[str]:
    first = f"  {heading}".ljust(INDENT)
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * INDENT, break_on_hyphens=False)


def _hyper_parameters(info: MethodInfo) -> list[str]:
    if not info.fields:
        return _entry("set", "no hyper-parameter")
    lines = []
    for number, field in enumerate(info.fields):
        text = f"{field.name} = {_plain(field.default)}" + (f"  {field.meaning}" if field.meaning else "")
        lines += _entry("set" if number == 0 else "", text)
    return lines


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def recipe_text(recipe: Mapping[str, Any]) -> str:
    """A preset on one line: network first, tables in brackets, the method's own values last."""
    order = sorted(recipe, key=lambda key: (key == "params", list(recipe).index(key)))
    return ", ".join(f"{key} {setting_text(recipe[key])}" for key in order)


def setting_text(value: Any) -> str:
    """A value on one line: numbers short, tables in brackets."""
    if isinstance(value, Mapping):
        name = [str(value["name"])] if "name" in value else []
        return "(" + " ".join([*name, *(f"{k}={setting_text(v)}" for k, v in value.items() if k != "name")]) + ")"
    if isinstance(value, list):
        return "/".join(_plain(item) for item in value)
    return _plain(value)

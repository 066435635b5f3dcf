"""Plots that say more than the table, drawn as for a paper and put into the page as SVG."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

from bench.findings import figures
from bench.findings.sections.subject import Subject

SHOWN = {
    "critical_difference": "Mean ranks over the columns",
    "cost": "Accuracy against cost",
    "rate": "Accuracy against the noise rate",
    "sensitivity": "Accuracy against a hyper-parameter",
}
UNLESS_ASKED = ("rate", "sensitivity")  # of these kinds, only what can be drawn is worth a word
PROLOG = re.compile(r"^.*?(?=<svg\b)", re.DOTALL)
STYLE = re.compile(r"<style\b.*?</style>", re.DOTALL)  # it would hold for the whole page, whose style says the same
SIZE = re.compile(r' (width|height)="([\d.]+)pt"')
SCALE = 1.75  # pixels of the page for a point of paper
NAMED = re.compile(r'(\bid="|\burl\(#|\bhref="#)')


def of(subject: Subject) -> list[dict[str, Any]]:
    """`images` are SVG elements; where there is none, `reason` says why."""
    code = [figures.drawing_code(), metadata.version("matplotlib")]
    told = subject.remembered("drawings", lambda: [_drawn(subject, kind) for kind in SHOWN], code)
    return [one for one in told if one["images"] or one["kind"] not in UNLESS_ASKED]


def _drawn(subject: Subject, kind: str) -> dict[str, Any]:
    from bench.evidence.plots import save

    found = figures.figures_of(subject.ground, kind)
    head = {"kind": kind, "title": SHOWN[kind], "line": figures.KINDS[kind].line}
    if isinstance(found, str):
        return {**head, "images": [], "reason": found}
    texts = [save(figure, ("svg",))[".svg"].decode() for figure in found.values()]
    return {**head, "images": [inline(text, f"{kind}-{n}") for n, text in enumerate(texts)], "reason": ""}


def inline(svg: str, name: str) -> str:
    """An SVG file as an element of a page: its ids begin with `name`, so that no two drawings share one."""
    text = STYLE.sub("", PROLOG.sub("", svg))
    text = SIZE.sub(lambda found: f' {found[1]}="{SCALE * float(found[2]):.0f}"', text, count=2)
    return NAMED.sub(rf"\g<1>{name}-", text)

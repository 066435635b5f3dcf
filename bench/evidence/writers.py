"""A table as text, CSV, Markdown, LaTeX, JSON or a page: `cells` rounds numbers, once; a writer only escapes."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Callable
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bench.evidence.cells import BEST, DIVERGED, FACTS, FAILED, TIED, Block, Cell, Row, Table, Value
from bench.printable import printable

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
MEANINGS = {
    BEST: "highest mean of the column",
    TIED: "not separable from the highest mean",
    DIVERGED: "with runs that diverged",
    FAILED: "some runs failed",
}
CSV_COLUMNS = (
    *("row", "method", "params", "networks", "head", "needs", "column", "rule"),
    *("mean_percent", "sd_points", "n", "planned", "best", "tied", "diverged", "runs"),
    *("part", "failed", "value", "text", "footnote"),
)


def to_text(table: Table, width: int = 100, colour: bool = False) -> str:
    """Return the table for a terminal `width` characters wide; columns that do not fit continue in another block."""
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=colour, color_system="standard" if colour else None, highlight=False
    )
    wide = Console(file=io.StringIO(), width=10_000)  # measures what a block would like to have
    for name, value in table.header.items():
        console.print(Text(printable(f"{name:8s} {value}")))
    for block in table.blocks():
        start = 0
        while start < len(block.columns) or start == 0:
            stop = len(block.columns)
            while stop > start + 1 and wide.measure(_part(table, block, start, stop)).maximum > width:
                stop -= 1
            console.print()
            if block.title:
                console.print(Text(printable(block.title) + (" (continued)" if start else ""), "bold"))
            console.print(_part(table, block, start, stop))
            start = stop if stop > start else start + 1
    console.print()
    for note in (*table.notes, *table.numbered()):
        lines = textwrap.wrap(printable(note), max(20, width), subsequent_indent="  ")
        console.print(Text("\n".join(lines)))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _part(table: Table, block: Block, start: int, stop: int) -> RichTable:
    """The columns of a block from `start` to `stop`."""
    part = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, heading in enumerate(FACTS):
        part.add_column(Text(heading), justify="right" if i == 1 else "left", no_wrap=i > 0, overflow="fold")
    for column in block.columns[start:stop]:
        part.add_column(Text(printable(column.heading)), justify="left", no_wrap=True, overflow="fold")
    for number, row in enumerate(table.rows):
        cells = [column.cells[number] for column in block.columns[start:stop]]
        texts = [Text(printable(cell.text), "bold" if cell.strong else "") for cell in cells]
        part.add_row(*(Text(printable(fact)) for fact in row.facts), *texts)
    return part


def to_csv(table: Table) -> str:
    """Return one line per cell, in percent; text that a spreadsheet would run starts with an apostrophe."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerow  # quotes a CR, too
    write(CSV_COLUMNS)
    for at, row in enumerate(table.rows):
        facts = [row.label, row.method, row.params, row.networks_text, row.head, " ".join(row.needs)]
        for number, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
            part = table.parts[number] if table.parts else None
            where = [*facts, column, part.rule if part else table.rule]
            counts: list[int] = [cell.n, cell.planned, int(cell.best), int(cell.tied), cell.diverged]
            told = [_exact(cell.mean), _exact(cell.sd), *counts, _inert(" ".join(cell.runs))]
            write([*map(_inert, where), *told, _inert(part.name if part else ""), cell.failed, None, None, None])
        for extra in table.extras:
            value = extra.values[at]
            note = "; ".join(table.footnotes[number - 1] for number in value.notes)
            name = f"{extra.name} ({extra.unit})" if extra.unit else extra.name
            told = [*[None] * 8, _inert(name), None, _exact(value.value), _inert(value.text), _inert(note)]
            ours = [*facts, extra.column, table.rule]
            if value.notes:  # somebody else's number, of whose network, head and rule its footnote tells
                ours = [row.label, row.method, "", "", "", "", extra.column, ""]
            write([*map(_inert, ours), *told])
    return out.getvalue()


def _exact(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _inert(text: str) -> str:
    return "'" + text if text.startswith(FORMULA_STARTS) else text


def to_markdown(table: Table) -> str:
    """Return a GitHub table between the facts of the header and the notes."""
    from tabulate import tabulate

    parts = ["\n".join(f"- {name}: {_markdown(value)}" for name, value in table.header.items())]
    for block in table.blocks():
        rows = [
            [*map(_markdown, row.facts), *(_markdown_cell(column.cells[at]) for column in block.columns)]
            for at, row in enumerate(table.rows)
        ]
        headings = [_markdown(heading) for heading in (*FACTS, *(column.heading for column in block.columns))]
        parts += [f"**{_markdown(block.title)}**"] if block.title else []
        parts.append(tabulate(rows, headings, tablefmt="github", disable_numparse=True))
    parts.append("\n".join(f"- {_markdown(note)}" for note in (*table.notes, *table.numbered())))
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown(text: str) -> str:
    text = printable(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for character in "\\|*_`[]~":
        text = text.replace(character, "\\" + character)
    return text


def _markdown_cell(cell: Cell | Value) -> str:
    number = _markdown(cell.number)
    number = f"**{number}**" if cell.strong else number
    return " ".join(part for part in (number, cell.count, _markdown(cell.mark)) if part)


_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "±": r"\(\pm\)",
        "†": r"\textdagger{}",
        "·": r"\textperiodcentered{}",
        "–": "--",
        "[": "{[}",  # after \\ a bracket would be an option and a star a variant
        "]": "{]}",
        "*": "{*}",
        **{character: "\\" + character for character in "&%$#_{}"},
    }
)


_BEYOND = 0x180  # letters of Latin scripts compile everywhere; what follows has no glyph in most fonts of LaTeX


LATEX_NEEDS = r"% \usepackage{booktabs}; a table wider than the page goes into a \resizebox"


def to_latex(table: Table) -> str:
    r"""Return tabulars that need the package booktabs alone, with the notes below them.

    The best mean is bold and starred, one not separable from it bold with an equals sign.
    """
    notes = [f"{name}: {value}" for name, value in table.header.items()] + [*table.notes, *table.numbered()]
    lines = [LATEX_NEEDS, r"\begin{tabular}{@{}l@{}}"]
    for block in table.blocks():
        headings = (*FACTS, *(column.heading for column in block.columns))
        if block.title:
            lines.append(rf"\textbf{{{_latex(block.title)}}} \\")
        lines += [
            rf"\begin{{tabular}}{{lrl{'l' * len(block.columns)}}}",
            r"\toprule",
            " & ".join(map(_latex, headings)) + r" \\",
            r"\midrule",
            *(_latex_row(row, block, at) + r" \\" for at, row in enumerate(table.rows)),
            r"\bottomrule",
            r"\end{tabular} \\",
        ]
    lines += [
        r"\parbox{\linewidth}{\footnotesize\raggedright",
        *(_latex(note) + r"\par" for note in notes),
        r"} \\",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _latex_row(row: Row, block: Block, at: int) -> str:
    return " & ".join([*map(_latex, row.facts), *(_latex_cell(column.cells[at]) for column in block.columns)])


def _latex(text: str) -> str:
    told = printable(" ".join(text.split())).translate(_LATEX)
    return "".join(c if ord(c) < _BEYOND else f"{{[}}U+{ord(c):04X}{{]}}" for c in told)


def _latex_cell(cell: Cell | Value) -> str:
    number = _latex(cell.number)
    if isinstance(cell, Cell) and cell.strong:
        number = rf"\textbf{{{number}}}"
    return " ".join(part for part in (number, _latex(cell.count), _latex(cell.mark)) if part)


def to_html(table: Table) -> str:
    """Return a page of its own, which opens offline and in which all text of others is text."""
    from bench.evidence import page

    blocks = [
        {
            "title": printable(block.title),
            "headings": [printable(column.heading) for column in block.columns],
            "rows": [_html_row(row, block, at) for at, row in enumerate(table.rows)],
        }
        for block in table.blocks()
    ]
    return page.render(
        "table.html",
        scripts=("sort.js",),
        heading=printable(table.title or "Table"),
        header={name: printable(value) for name, value in table.header.items()},
        facts=FACTS,
        blocks=blocks,
        notes=[printable(note) for note in table.notes],
        footnotes=[printable(note) for note in table.footnotes],
    )


def _html_row(row: Row, block: Block, at: int) -> dict[str, object]:
    """What the template prints of a row: its facts, and of each cell its parts."""
    return {
        "facts": [printable(fact) for fact in row.facts],
        "cells": [_html_cell(column.cells[at]) for column in block.columns],
    }


def _html_cell(cell: Cell | Value) -> dict[str, object]:
    number, _, spread = printable(cell.number).partition(" ± ")
    value = cell.mean if isinstance(cell, Cell) else cell.value
    mark = cell.mark if isinstance(cell, Cell) else cell.flags
    return {
        "number": number,
        "spread": spread,
        "count": cell.count,
        "mark": mark,
        "meaning": ", ".join(MEANINGS[character] for character in mark),
        "strong": cell.strong,
        "value": "" if value is None else repr(value),
        "notes": () if isinstance(cell, Cell) else cell.notes,
    }


def to_json(table: Table) -> str:
    """Return everything the table holds: numbers unrounded, keys sorted."""
    return json.dumps(asdict(table), sort_keys=True, indent=1, allow_nan=False) + "\n"


WRITERS: dict[str, Callable[[Table], str]] = {
    "text": to_text,
    "csv": to_csv,
    "md": to_markdown,
    "tex": to_latex,
    "html": to_html,
    "json": to_json,
}

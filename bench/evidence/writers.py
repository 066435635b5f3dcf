"""A table as text, CSV, Markdown, LaTeX or JSON. Numbers are rounded once, in `cells`; a writer only escapes."""

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

from bench.evidence.cells import Cell, Table
from bench.printable import printable

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
FACTS = 3  # leading columns of a row: method, nets, head
CSV_COLUMNS = (
    *("row", "method", "params", "networks", "head", "needs", "column", "rule"),
    *("mean_percent", "sd_points", "n", "planned", "best", "tied", "diverged", "runs"),
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
    start = 0
    while start < len(table.columns) or start == 0:
        stop = len(table.columns)
        while stop > start + 1 and wide.measure(_block(table, start, stop)).maximum > width:
            stop -= 1
        console.print()
        console.print(_block(table, start, stop))
        start = stop if stop > start else start + 1
    console.print()
    for note in table.notes:
        lines = textwrap.wrap(printable(note), max(20, width), subsequent_indent="  ")
        console.print(Text("\n".join(lines)))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _block(table: Table, start: int, stop: int) -> RichTable:
    block = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, heading in enumerate(table.headings[:FACTS]):
        block.add_column(Text(heading), justify="right" if i == 1 else "left", no_wrap=i > 0, overflow="fold")
    for heading in table.columns[start:stop]:
        block.add_column(Text(printable(heading)), justify="left", no_wrap=True, overflow="fold")
    for row in table.rows:
        cells = [Text(cell.text, "bold" if cell.best or cell.tied else "") for cell in row.cells[start:stop]]
        block.add_row(Text(printable(row.marked_label)), row.networks_text, Text(printable(row.head)), *cells)
    return block


def to_csv(table: Table) -> str:
    """Return one line per cell, in percent; text that a spreadsheet would run starts with an apostrophe."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerow  # quotes a CR, too
    write(CSV_COLUMNS)
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            facts = [
                row.label,
                row.method,
                row.params,
                row.networks_text,
                row.head,
                " ".join(row.needs),
                column,
                table.rule,
            ]
            counts = [cell.n, cell.planned, int(cell.best), int(cell.tied), cell.diverged]
            write([*map(_inert, facts), _exact(cell.mean), _exact(cell.sd), *counts, _inert(" ".join(cell.runs))])
    return out.getvalue()


def _exact(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _inert(text: str) -> str:
    return "'" + text if text.startswith(FORMULA_STARTS) else text


def to_markdown(table: Table) -> str:
    """Return a GitHub table between the facts of the header and the notes."""
    from tabulate import tabulate

    rows = [
        [*(_markdown(text) for text in texts[:FACTS]), *(_markdown_cell(cell) for cell in row.cells)]
        for row, texts in zip(table.rows, table.text_rows(), strict=True)
    ]
    headings = [_markdown(heading) for heading in table.headings]
    body = tabulate(rows, headings, tablefmt="github", disable_numparse=True)
    facts = [f"- {name}: {_markdown(value)}" for name, value in table.header.items()]
    notes = [f"- {_markdown(note)}" for note in table.notes]
    return "\n".join([*facts, "", body, "", *notes]) + "\n"


def _markdown(text: str) -> str:
    text = printable(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for character in "\\|*_`[]~":
        text = text.replace(character, "\\" + character)
    return text


def _markdown_cell(cell: Cell) -> str:
    number = f"**{cell.number}**" if cell.best or cell.tied else cell.number
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


def to_latex(table: Table) -> str:
    r"""Return a tabular that needs the package booktabs alone, with the notes below it.

    The best mean is bold and starred, one not separable from it bold and underlined.
    """
    rows = [
        " & ".join([*(_latex(text) for text in texts[:FACTS]), *(_latex_cell(cell) for cell in row.cells)])
        for row, texts in zip(table.rows, table.text_rows(), strict=True)
    ]
    notes = [f"{name}: {value}" for name, value in table.header.items()] + list(table.notes)
    lines = [
        r"\begin{tabular}{@{}l@{}}",
        rf"\begin{{tabular}}{{lrl{'l' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(map(_latex, table.headings)) + r" \\",
        r"\midrule",
        *(row + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular} \\",
        r"\parbox{\linewidth}{\footnotesize\raggedright",
        *(_latex(note) + r"\par" for note in notes),
        r"} \\",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _latex(text: str) -> str:
    return printable(" ".join(text.split())).translate(_LATEX)


def _latex_cell(cell: Cell) -> str:
    number = _latex(cell.number)
    if cell.best or cell.tied:
        number = rf"\textbf{{{number}}}" if cell.best else rf"\underline{{\textbf{{{number}}}}}"
    return " ".join(part for part in (number, _latex(cell.count), _latex(cell.mark)) if part)


def to_json(table: Table) -> str:
    """Return everything the table holds: numbers unrounded, keys sorted."""
    return json.dumps(asdict(table), sort_keys=True, indent=1, allow_nan=False) + "\n"


WRITERS: dict[str, Callable[[Table], str]] = {
    "text": to_text,
    "csv": to_csv,
    "md": to_markdown,
    "tex": to_latex,
    "json": to_json,
}

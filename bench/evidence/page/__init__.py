"""Pages in one HTML file each, which open offline and load nothing: templates, style and script lie beside this file.

Names and messages in results may be anybody's text: templates escape whatever they print, and a page's policy lets it
run no script but its own.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PARSED = 'const DATA = JSON.parse(document.getElementById("data").textContent);'


def render(
    template: str,
    *,
    scripts: tuple[str, ...] = (),
    styles: tuple[str, ...] = (),
    data: object = None,
    **context: Any,
) -> str:
    """Return the page of a template that extends base.html.

    `styles`, which follow style.css, and `scripts`, run in their order, are files beside this one; `data` is any JSON
    value, which scripts find parsed as `DATA`. An unknown name in a template raises.
    """
    parsed = [PARSED] if scripts and data is not None else []
    text = "\n".join([*parsed, *(source(name) for name in scripts)])
    page: str = (
        _environment()
        .get_template(template)
        .render(
            **context,
            style="\n".join(source(name) for name in ("style.css", *styles)),
            script=text,
            script_hash=b64encode(hashlib.sha256(text.encode()).digest()).decode(),
            data=None if data is None else inert(data),
        )
    )
    return page


def inert(data: object) -> str:
    """Return JSON that can stand between script tags: no text in it ends them."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def source(name: str) -> str:
    """Return a file that lies beside this one."""
    return (HERE / name).read_text(encoding="utf-8")


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(HERE)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)

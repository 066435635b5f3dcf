"""What records say of their method, held against its source: facts told to it, networks, headline and paper."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.files import canonical
from bench.fingerprint import method_code
from bench.sharing.told import Told
from methods import reading, registry
from methods.fields import MethodInfo

SAID = ("needs", "num_networks", "headline", "paper")
LARGEST = 2**20  # bytes of a stranger's source that is read


@dataclass(frozen=True)
class Claims:
    """What a source says of the runs of its method; `headline` None where it has one of its own."""

    needs: tuple[str, ...]
    num_networks: int
    headline: tuple[str, ...] | None
    paper: str


@functools.cache
def of_ours(name: str) -> tuple[str, Claims]:
    """The code of a registered method, and what it says."""
    info = registry.describe(name)
    return method_code(info.file), _claims(info, _own_headline(info.file))


def of_enclosed(path: Path, method: str) -> Claims | None:
    """What a stranger's source says, by its text: none of it is run. None where the text alone does not tell."""
    name = method.rpartition(".")[2]
    try:
        if path.stat().st_size > LARGEST or _computes(path):
            return None
        return _claims(reading.static(method, method, path, name, {}), _own_headline(path))
    except (reading.NotStatic, ValueError, TypeError, LookupError, AttributeError, SyntaxError, RecursionError):
        return None


def faults(runs: Iterable[Told], claims: Claims) -> Iterator[str]:
    """A line for each way in which records of a method say something else than its source, naming the first run."""
    seen = set()
    for told in runs:
        for name in SAID:
            ours, theirs = getattr(claims, name), told.summary.get(name)
            if name == "headline" and ours is None:
                continue
            if _plain(name, ours) != _plain(name, theirs) and name not in seen:
                seen.add(name)
                yield f"runs/{told.run_id}: {name} is {_words(theirs)}, and {_words(ours)} by the code of {told.method}"


def unequal(runs: Iterable[Told]) -> Iterator[str]:
    """A line for each thing that runs of one method, by one code and in one setting, say in two ways."""
    first: dict[bytes, Told] = {}
    seen = set()
    for told in runs:
        other = first.setdefault(setting_of(told), told)
        for name in differing(other, told):
            if name not in seen:
                seen.add(name)
                a, b = _words(other.summary.get(name)), _words(told.summary.get(name))
                yield f"runs/{told.run_id}: {name} is {b}, and {a} in runs/{other.run_id}"


def setting_of(told: Told) -> bytes:
    """The method of a run, its code and its hyper-parameters: what they say of themselves must be the same."""
    return canonical([told.summary["method_code"], told.summary["config"]["method"]])


def differing(one: Told, other: Told) -> list[str]:
    """What two runs do not say alike."""
    return [name for name in SAID if _plain(name, one.summary.get(name)) != _plain(name, other.summary.get(name))]


def _claims(info: MethodInfo, own_headline: bool) -> Claims:
    networks = tuple(f"net{k + 1}" for k in range(info.num_networks))
    return Claims(tuple(info.needs), info.num_networks, None if own_headline else networks, info.paper)


def _own_headline(path: Path) -> bool:
    """Whether a file says what its methods report, other than that these are the networks."""
    return "headline" in path.read_text(encoding="utf-8")


def _computes(path: Path) -> bool:
    """Whether values that a class or a file begins with are computed: they may be made to grow without end."""
    tree = reading.parse(path)
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    values = [
        item.value for body in bodies for item in body if isinstance(item, ast.Assign | ast.AnnAssign) and item.value
    ]
    nodes = [node for value in values for node in ast.walk(value)]
    return any(
        isinstance(node, ast.BinOp | ast.Starred) or (isinstance(node, ast.Dict) and None in node.keys)
        for node in nodes
    )


def _plain(name: str, value: Any) -> bytes:
    """A value to be compared: the order in which needs are told does not matter, nor that of heads."""
    ordered = sorted(value) if name in ("needs", "headline") else value
    return canonical(ordered)


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "nothing"
    return repr(value) if isinstance(value, str) else str(value)

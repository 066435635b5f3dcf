"""From a parsed command back to words that mean the same, for another command or another machine."""

from __future__ import annotations

import argparse
import functools
import shlex
from collections.abc import Collection
from pathlib import Path

from bench.arguments import parser


def words(args: argparse.Namespace, verb: str, without: Collection[str] = (), *, resolve: bool = True) -> list[str]:
    """The words of `verb` that say what `args` do, as far as it has such options and they are not at their defaults.

    Paths of the results, the data and a suite's file are made absolute; without `resolve` they stay as typed, for
    readers who need not know where things lie on this machine.
    """
    found, suite = [], []
    for action in options_of(verb):
        value = getattr(args, action.dest, action.default)
        if action.dest in without or value is None or value == action.default:
            continue
        if isinstance(value, Path) and resolve:
            value = value.expanduser().resolve()
        if not action.option_strings:
            path = Path(value).expanduser()
            suite = [str(path.resolve()) if resolve and path.is_file() else value]
        elif action.nargs == 0:
            found.append(action.option_strings[-1])
        elif action.nargs == "+":
            found += [action.option_strings[-1], *map(str, value)]
        else:
            found.append(f"{action.option_strings[-1]}={value}")
    return [verb, *suite, *found]


@functools.cache
def options_of(verb: str) -> list[argparse.Action]:
    """What a verb takes, options and arguments, with their defaults."""
    (verbs,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return list(verbs.choices[verb]._actions)


def command(args: argparse.Namespace, verb: str, without: Collection[str] = (), *, resolve: bool = True) -> str:
    """The words of `verb` as a line for a shell."""
    return shlex.join(["python", "run_bench.py", *words(args, verb, without, resolve=resolve)])


def cell_command(
    args: argparse.Namespace, method: str, noise: str, seed: int | None = None, *, resolve: bool = True
) -> str:
    """What does the runs of one method and one noise as `args` do; those of one seed only, if it is given."""
    seeds = {} if seed is None else {"seeds": [str(seed)]}
    one = argparse.Namespace(**{**vars(args), "methods": [method], "noise": [noise], **seeds})
    return command(one, "run", without=("dry_run", "stale"), resolve=resolve)

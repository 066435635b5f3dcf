"""The command line: how a verb is found, and how errors end. What may be typed stands in bench/arguments/, what a verb
does in bench/commands/."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from bench.arguments import VERBS, parser
from bench.arguments.parsing import Parser
from bench.exit_codes import BROKEN_OFF, DAMAGED, DONE, REFUSED


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. A user's mistake is one line and 2, a damaged result one line and 3."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or (words[0] not in VERBS and words[0] not in ("-h", "--help")):
        words.insert(0, "run")
    args, extra = parser().parse_known_args(words)
    if extra:
        _refuse(args.verb, extra)
    try:
        command = importlib.import_module(f"bench.commands.{args.verb.replace('-', '_')}")
        code = int(command.main(args))
        sys.stdout.flush()  # here, where a reader that has left is caught
        return code
    except ValueError as error:
        print(f"run_bench.py {args.verb}: {error}", file=sys.stderr)
        return _code_of(error)
    except BrokenPipeError:  # `... | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        if error.filename is None:  # no file that a user could do something about
            raise
        print(f"run_bench.py {args.verb}: {error.filename}: {error.strerror}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:  # before or after the runs: the sweep itself ends them in order
        print("interrupted", file=sys.stderr)
        return BROKEN_OFF


def _code_of(error: ValueError) -> int:
    from bench.sweep.records.result import Corrupt  # here, as no other command is to wait for it

    return DAMAGED if isinstance(error, Corrupt) else REFUSED


def _refuse(verb: str, extra: Sequence[str]) -> NoReturn:
    actions = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    chosen: Parser = actions.choices[verb]
    chosen.error(f"unrecognized arguments: {' '.join(extra)}")

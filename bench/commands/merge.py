"""`merge`: bring finished runs of other results folders, such as those of shards, or of archives, into one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.data import places
from bench.exit_codes import DAMAGED, DONE, INCOMPLETE, INTERRUPTED
from bench.printable import printable
from bench.sharing import archive
from bench.sweep.records.store import Store
from bench.sweep.upkeep.merging import Merge, Merged, open_sources


def main(args: argparse.Namespace) -> int:
    """Merge and print; 3 if a run is damaged or came out in two ways, 1 if something else could not be merged."""
    with ExitStack() as stack:
        unpacked, refused = _unpacked(args.folders, stack)
        sources = open_sources([folder for folder, _ in unpacked], args.results)
        merge = Merge(Store(args.results), args.dry_run)
        merge.done.refused += refused
        stopped = ""
        try:
            for source, (folder, path) in zip(sources, unpacked, strict=True):
                stranger = folder != path  # an archive may come from anybody
                merge.add(source, places.check if stranger else lambda config: None)
        except KeyboardInterrupt:
            stopped = "interrupted"
        except OSError as error:  # a full disk, above all
            stopped = f"stopped: {error.filename or args.results}: {error.strerror}"
        return _said(merge.done, stopped, args, unpacked)


def _unpacked(given: Sequence[Path], stack: ExitStack) -> tuple[list[tuple[Path, Path]], list[str]]:
    """The folders to read with what they were given as, archives unpacked; and why some archives are not believed."""
    places, refused = [], []
    for path in given:
        if not path.is_file():
            places.append((path, path))
            continue
        try:
            folder, _ = stack.enter_context(archive.opened(path))
            places.append((folder, path))
        except archive.Unsound as error:
            refused.append(f"{path}: {error}")
        except OSError as error:  # no room to unpack it: nothing has been merged yet
            raise ValueError(f"{path}: cannot be unpacked: {error.strerror}") from None
    return places, refused


def _said(done: Merged, stopped: str, args: argparse.Namespace, unpacked: Sequence[tuple[Path, Path]]) -> int:
    """Print what was done, and return the exit code."""
    print(_text(done, args))
    for line in (*done.refused, *done.conflicts, *done.apart, *done.busy):
        for folder, path in unpacked:
            line = line.replace(str(folder), str(path))
        print(printable(line), file=sys.stderr)
    if stopped:
        print(f"{printable(stopped)}; the same command goes on", file=sys.stderr)
    if done.refused or done.conflicts:
        return DAMAGED
    if stopped == "interrupted":
        return INTERRUPTED
    return INCOMPLETE if stopped or done.apart or done.busy else DONE


def _text(done: Merged, args: argparse.Namespace) -> str:
    verb = "would be copied" if args.dry_run else "copied"
    counts = {
        f"runs {verb}": done.copied,
        "runs there already, with the same numbers": done.kept,
        "unfinished runs left where they are": done.unfinished,
        "refused: damaged": len(done.refused),
        "conflicts: one run, two results": len(done.conflicts),
        "runs held by a living process, left": len(done.busy),
        f"label sets {verb}": done.labels,
        f"{'suite' if done.suites == 1 else 'suites'} {verb}": done.suites,
        "entries of runs/ that are no runs, left": done.strangers,
    }
    always = (f"runs {verb}",)
    lines = [f"  {count:7,}  {kind}" for kind, count in counts.items() if count or kind in always]
    return "\n".join([f"{', '.join(map(str, args.folders))} into {args.results}:", *lines])

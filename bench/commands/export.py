"""`export`: the finished runs of a suite, with their proofs, in one archive for others."""

from __future__ import annotations

import argparse
import errno
import sys
from pathlib import Path

from bench.exit_codes import DAMAGED, DONE, INCOMPLETE
from bench.findings import everything
from bench.printable import printable
from bench.sharing import archive
from bench.sharing.exporting import Export, check_about
from bench.sweep.records.reading import without_collector
from bench.sweep.records.store import Store

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LEFT_OUT = "logs, per-sample tables and the records of attempts, which name the host"


def main(args: argparse.Namespace) -> int:
    """Write the archive; 3, and nothing is written, if a stored result or its labels are damaged."""
    about = check_about(args.name, args.by, args.link)
    out: Path = args.out
    if out.suffix != ".zip":
        raise ValueError(f"--out must be the name of a .zip file, got {str(out)!r}")
    if not out.parent.is_dir():
        raise ValueError(f"there is no folder {out.parent}")
    export = _chosen(args)
    with without_collector():
        export.look()
    if export.alarms:
        print(printable("\n".join(export.alarms)), file=sys.stderr)
        print("nothing is exported: what is damaged proves nothing (see `verify`)", file=sys.stderr)
        return DAMAGED
    if not export.finished:
        raise ValueError(f"no run of {export.suite.name!r} is done under {export.store.root}: nothing to export")
    if args.with_code:
        export.enclose()
    try:
        fresh = archive.write(out, export.files(*about), args.force)
    except OSError as error:
        if error.errno not in FULL:
            raise
        print(printable(f"stopped: {out}: {error.strerror}; nothing is left of it"), file=sys.stderr)
        return INCOMPLETE
    print(printable(_text(export, out, fresh)))
    return DONE


def _chosen(args: argparse.Namespace) -> Export:
    store = Store(args.results)
    suite, runs, corrupt = everything.selected(args, store)
    return Export(store, suite, runs, suite.rule or "last", whole=args.everything, alarms=[*corrupt.values()])


def _text(export: Export, out: Path, fresh: bool) -> str:
    labels = len({summary["noise_id"] for summary in export.summaries})
    runs = f"{len(export.finished):,} of {len(export.runs):,} runs, {labels} label sets"
    lines = [f"{export.suite.name}: {runs}", f"  left out: {LEFT_OUT}"]
    if export.left_out:
        counts = ", ".join(f"{n:,} {state}" for state, n in sorted(export.left_out.items()))
        lines.append(f"  not finished, so left out: {counts}")
    if own := sorted(export.own):
        how = "with their source" if export.sources else "by the digest of their code; --with-code encloses the source"
        lines.append(f"  methods of one's own: {', '.join(own)}, {how}")
    if places := list(dict.fromkeys(export.places)):
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        lines.append(f"  to be read in it: folders of this machine, in commands or the suite: {places[0]}{more}")
    size = f"{out.stat().st_size / 2**20:.1f} MiB"
    return "\n".join([*lines, f"written: {out} ({size})" if fresh else f"{out} ({size}) holds the same already"])

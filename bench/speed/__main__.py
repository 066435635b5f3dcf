"""`python -m bench.speed`: measure a level of the harness against what it replaces, and print ratios.

The level `noise` draws wrong labels; correctness comes first, then timing in turns.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path

import numpy as np

from bench.speed import noise

LEVELS = {"noise": noise.measure}


def main(argv: list[str]) -> int:
    """Print one line a case; with --json, write all rounds too."""
    parser = argparse.ArgumentParser(prog="python -m bench.speed", description=__doc__, allow_abbrev=False)
    parser.add_argument("--level", choices=sorted(LEVELS), default="noise")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default: 5")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the size and one round: does it work?")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    if args.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {args.rounds}")
    pairs = LEVELS[args.level](1 if args.quick else args.rounds, args.quick)
    print(f"numpy {np.__version__}, {platform.machine()}, {len(os.sched_getaffinity(0))} cores")
    for pair in pairs:
        print(pair.line())
    if args.json:
        args.json.write_text(json.dumps([pair.to_dict() for pair in pairs], indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Options that say which number of a run counts, and with which row the others are compared."""

from __future__ import annotations

import argparse


def tabling(verb: argparse.ArgumentParser) -> None:
    """Which number counts, and the baseline of a table."""
    counting(verb)
    verb.add_argument("--baseline", metavar="NAME", help="method to compare with (default: the suite's, or its first)")


def counting(verb: argparse.ArgumentParser) -> None:
    """Which epoch and which head make the number of a run."""
    verb.add_argument(
        "--rule",
        choices=("last", "last10", "noisy_val", "clean_val", "oracle"),
        help="which epoch counts (default: the suite's own rule, or last)",
    )
    verb.add_argument(
        "--head",
        default="headline",
        metavar="H",
        help="headline (mean of the networks, the default), ensemble, net1, ...",
    )

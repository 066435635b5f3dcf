"""Options that say which number of a run counts, and with which row the others are compared."""

from __future__ import annotations

import argparse


def tabling(verb: argparse.ArgumentParser) -> None:
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
    verb.add_argument("--baseline", metavar="NAME", help="method to compare with (default: the suite's, or its first)")

"""The verb `noise`."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.arguments.parsing import Parser
from bench.arguments.selecting import data_dir


def noise(verb: argparse.ArgumentParser) -> None:
    actions = verb.add_subparsers(dest="action", metavar="show|export|compare", required=True, parser_class=Parser)
    show = actions.add_parser("show", help="the noise card of a spec, or of stored labels by their noise_id")
    _spec(show)
    show.add_argument("--matrix", action="store_true", help="print the counted transition matrix too")
    show.add_argument("--heatmap", type=Path, metavar="FILE.png", help="draw that matrix")
    show.add_argument("--against", nargs="+", type=Path, metavar="FILE", help="overlap with labels of other files")
    show.add_argument("--json", action="store_true", help="the card as one JSON document")
    show.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    export = actions.add_parser("export", help="write the labels of a spec to a file")
    _spec(export)
    export.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="FILE.npz (everything), .npy (N,), .json (DivideMix's list) or .csv (label,label_noisy)",
    )
    export.add_argument("--force", action="store_true", help="write over a file that holds something else")
    compare = actions.add_parser("compare", help="hold two label files against each other")
    compare.add_argument("first", type=Path, metavar="A")
    compare.add_argument("second", type=Path, metavar="B")
    compare.add_argument("--clean", type=Path, metavar="FILE", help="true labels (default: those that A or B holds)")
    compare.add_argument("--dataset", metavar="D", help="or those of a dataset")
    data_dir(compare)


def _spec(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("spec", metavar="SPEC", help="FAMILY:RATE, such as symmetric:0.5; see `list noise`")
    verb.add_argument("--dialect", metavar="D", help="whose draw order (default: native, ours)")
    verb.add_argument("--noise-seed", type=int, default=0, metavar="N", help="default: 0")
    verb.add_argument("--dataset", metavar="D", help="take its true labels and images")
    verb.add_argument("--labels", type=Path, metavar="FILE", help="or true labels from a file")
    verb.add_argument("--num-classes", type=int, metavar="C", help="with --labels (default: the largest label + 1)")
    verb.add_argument("--images", type=Path, metavar="FILE.npy", help="with --labels: one row an image")
    data_dir(verb)

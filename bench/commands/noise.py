"""`noise`: which labels does a spec make?  Show the card, export the labels, compare two label sets."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import noise
from bench.data import datasets, noisy
from bench.data.attachments import attached, pinned
from bench.data.datasets import DatasetInfo
from bench.files import parse, publish, read_regular
from bench.sweep import grid
from noise.compare import compare, comparison_text

EXPORTS = ("npz", "json", "npy", "csv")


def main(args: argparse.Namespace) -> int:
    return {"show": show, "export": export, "compare": compared}[args.action](args)


def show(args: argparse.Namespace) -> int:
    """Print the card of a spec's labels, or of stored ones by their id."""
    if re.fullmatch(r"n[0-9a-f]{16}", args.spec):
        corruption, card = _stored(args)
    else:
        corruption, card = made(args)
    if args.json:
        print(json.dumps(card, indent=1))
    else:
        print(noise.card_text(card))
        if args.matrix:
            print(noise.matrix_text(card))
    for path in args.against or []:
        other = labels_of(path)
        print(
            f"\nagainst {path}:\n{comparison_text(compare(corruption.given, other, corruption.clean), 'this', 'that')}"
        )
    if args.heatmap:
        from bench.evidence import heatmap

        publish(args.heatmap, heatmap.png(card), replace=True)
        print(f"written: {args.heatmap}")
    return 0


def export(args: argparse.Namespace) -> int:
    """Write the labels of a spec to a file, in the form that its suffix names."""
    form = args.out.suffix.lower().removeprefix(".")
    if form not in EXPORTS:
        raise ValueError(f"--out must end in {', '.join(f'.{name}' for name in EXPORTS)}; got {args.out.name!r}")
    if not args.out.parent.is_dir():
        raise ValueError(f"--out: there is no folder {args.out.parent}")
    corruption, card = made(args)
    data = noise.to_bytes(corruption, card) if form == "npz" else noise.write_labels(corruption, form)
    if not publish(args.out, data, replace=args.force) and read_regular(args.out) != data:
        raise ValueError(f"{args.out} exists and holds something else; --force writes over it")
    print(noise.card_line(card))
    print(f"written: {args.out}")
    return 0


def compared(args: argparse.Namespace) -> int:
    """Compare two label files."""
    first, second = labels_of(args.first), labels_of(args.second)
    clean = None
    if args.clean:
        clean = labels_of(args.clean)
    elif args.dataset:
        clean = datasets.load(args.dataset, args.data_dir).train_labels
    else:
        clean = _clean_inside(args.first)
    found = compare(first, second, clean)
    print(f"A  {args.first}  {noise.noise_id(first)}\nB  {args.second}  {noise.noise_id(second)}")
    print(comparison_text(found))
    return 0


def made(args: argparse.Namespace) -> tuple[noise.Corruption, dict[str, Any]]:
    """The labels that the words of a command line mean, and their card."""
    text = args.spec + (f":dialect={args.dialect}" if args.dialect else "")
    if args.dataset and args.labels:
        raise ValueError("give --dataset or --labels, not both")
    if args.dataset:
        spec = grid.resolved(text, datasets.info(args.dataset, args.data_dir))
        dataset = datasets.load(args.dataset, args.data_dir)
        original = replace(spec, options={**noise.NoiseSpec.parse(text).options})
        corruption = replace(noisy.draw(dataset, original, args.noise_seed, args.data_dir), spec=spec)
        return corruption, noise.card(corruption, dataset=dataset.info.name, digest=dataset.info.digest)
    if not args.labels:
        raise ValueError("the noise of what? name true labels by --dataset, or --labels FILE with --num-classes")
    return _of_file(noise.NoiseSpec.parse(text), args)


def _of_file(spec: noise.NoiseSpec, args: argparse.Namespace) -> tuple[noise.Corruption, dict[str, Any]]:
    labels = labels_of(args.labels)
    classes = args.num_classes or int(labels.max()) + 1
    images = None
    if args.images:
        images = np.load(args.images, mmap_mode="r", allow_pickle=False)
    info = DatasetInfo(
        *(args.labels.stem, classes, len(labels), 0, (1, 1, 1), 255, (0.0,), (1.0,), (), "", "none", ""),
    )
    corruption = noise.corrupt(
        labels, images, classes, spec, args.noise_seed, attached=attached(spec, info, args.data_dir)
    )
    corruption = replace(corruption, spec=pinned(spec))
    return corruption, noise.card(corruption, dataset=args.labels.name)


def labels_of(path: Path) -> np.ndarray:
    """The labels in a file of any form that is known."""
    from bench.data import label_files

    try:
        found = label_files.load(read_regular(path), path.name)
    except FileNotFoundError:
        raise ValueError(f"there is no file {path}") from None
    if found.given is None:
        raise ValueError(f"{path} tells which images are foreign, and no labels")
    return found.given


def _clean_inside(path: Path) -> np.ndarray | None:
    from bench.data import label_files

    return label_files.load(read_regular(path), path.name).clean


def _stored(args: argparse.Namespace) -> tuple[noise.Corruption, dict[str, Any]]:
    folder = args.results / "noise"
    try:
        corruption, _ = noise.from_bytes(read_regular(folder / f"{args.spec}.npz"), args.spec)
        card = parse(read_regular(folder / f"{args.spec}.json"))
    except FileNotFoundError:
        raise ValueError(f"no labels {args.spec} under {folder}; they are stored when a run is started") from None
    if not isinstance(card, dict):
        raise ValueError(f"{folder / args.spec}.json: damaged")
    return corruption, card

"""`noise`: which labels does a spec make?  Show the card, export the labels, compare two label sets."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import noise
from bench.data import datasets, noisy
from bench.data.attachments import attached, pinned
from bench.data.datasets import DatasetInfo
from bench.exit_codes import DONE
from bench.files import parse, publish, read_regular
from bench.sweep.planning import grid
from noise.compare import compare, comparison_text
from noise.draws import Labels
from noise.formats import LabelFile

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
        other = file_of(path)
        found = compare(
            corruption.given, labels_in(other, path), corruption.clean, _foreign_of(corruption), _foreign_of(other)
        )
        print(f"\nagainst {path}:\n{comparison_text(found, 'this', 'that')}")
    if args.heatmap:
        from bench.evidence import heatmap

        publish(args.heatmap, heatmap.png(card), replace=True)
        print(f"written: {args.heatmap}")
    return DONE


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
    return DONE


def compared(args: argparse.Namespace) -> int:
    """Compare two label files."""
    files = [file_of(path) for path in (args.first, args.second)]
    first, second = (labels_in(file, path) for file, path in zip(files, (args.first, args.second), strict=True))
    clean = next((file.clean for file in files if file.clean is not None), None)
    if args.clean:
        clean = labels_of(args.clean)
    elif args.dataset:
        clean = datasets.load(args.dataset, args.data_dir).train_labels
    for letter, path, file, labels in zip("AB", (args.first, args.second), files, (first, second), strict=True):
        print(f"{letter}  {path}  {noise.noise_id(labels, file.is_ood, file.source_index)}")
    print(comparison_text(compare(first, second, clean, _foreign_of(files[0]), _foreign_of(files[1]))))
    return DONE


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
    classes = int(labels.max()) + 1 if args.num_classes is None else args.num_classes
    images = _images(args.images) if args.images else None
    info = DatasetInfo(
        *(args.labels.stem, classes, len(labels), 0, (1, 1, 1), 255, (0.0,), (1.0,), (), "", "none", ""),
    )
    corruption = noise.corrupt(
        labels, images, classes, spec, args.noise_seed, attached=attached(spec, info, args.data_dir)
    )
    corruption = replace(corruption, spec=pinned(spec))
    return corruption, noise.card(corruption, dataset=args.labels.name)


def file_of(path: Path) -> LabelFile:
    """What a label file of any form that is known says."""
    from bench.data import label_files

    try:
        return label_files.load(read_regular(path), path.name)
    except FileNotFoundError:
        raise ValueError(f"there is no file {path}") from None


def labels_in(found: LabelFile, path: Path) -> Labels:
    """The labels of a file; ValueError if it has none."""
    if found.given is None:
        raise ValueError(f"{path} tells which images are foreign, and no labels")
    return found.given


def labels_of(path: Path) -> Labels:
    """The labels in a file of any form that is known."""
    return labels_in(file_of(path), path)


def _foreign_of(labels: LabelFile | noise.Corruption) -> Labels | None:
    """Which foreign image each sample is, -1 for none; a foreign image that is its own is one, too."""
    if labels.is_ood is None or labels.source_index is None:
        return None
    return np.where(labels.is_ood, np.maximum(labels.source_index, 0), -1)


def _images(path: Path) -> NDArray[Any]:
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError, ArithmeticError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "no array of numbers"
        raise ValueError(f"--images {path}: {why}") from None
    if not isinstance(images, np.ndarray):
        raise ValueError(f"--images {path}: an .npy file with one row an image is wanted")
    return images


def _stored(args: argparse.Namespace) -> tuple[noise.Corruption, dict[str, Any]]:
    folder = args.results / "noise"
    try:
        names = [noisy.stored_name(args.spec, truth) for truth in (True, False)]
        name = next((name for name in names if (folder / f"{name}.npz").is_file()), names[0])
        corruption, _ = noise.from_bytes(read_regular(folder / f"{name}.npz"), args.spec)
        card = parse(read_regular(folder / f"{name}.json"))
    except FileNotFoundError:
        raise ValueError(f"no labels {args.spec} under {folder}; they are stored when a run is started") from None
    if not isinstance(card, dict):
        raise ValueError(f"{folder / args.spec}.json: damaged")
    return corruption, card

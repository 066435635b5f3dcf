"""What the labels of the runs really contain, counted on those that are stored beside the records."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import noise
from bench.data.noisy import split_of, stored_name
from bench.files import read_regular, sha256
from bench.findings.gathering import Evidence
from bench.findings.remembering import remembered
from bench.names import few
from bench.sweep.records.reading import Facts
from bench.sweep.records.store import Store

if TYPE_CHECKING:
    from bench.config import RunConfig

IDS_SHOWN = 10


def lines(store: Store, found: Evidence) -> list[str]:
    """What the labels of each column really contain, from the stored labels, with the id of every seed."""
    said = []
    several = len({run.config.dataset.name for run in found.runs}) > 1
    for label, runs in by_column(found).items():
        ids = few([f"{config.noise.seed} {facts.noise_id}" for config, facts in runs], IDS_SHOWN)
        try:
            stored = [read(store, facts.noise_id, facts.truth) for _, facts in runs]
            settings = [config.to_dict() for config, _ in runs]
            inputs = [[one["dataset"], one["noise"], sha256(data)] for one, data in zip(settings, stored, strict=True)]
            names = [facts.noise_id for _, facts in runs]
            told = list(zip(settings, names, stored, strict=True))
            line = remembered(["noise", inputs], functools.partial(_line, told), str)
            said.append(f"{settings[0]['dataset']['name']} · {line}" if several else line)
        except (FileNotFoundError, ValueError) as error:  # the numbers stand without it; the page says so
            said.append(f"{label}: the stored labels are not readable ({error})")
        said.append(f"by noise seed: {ids}")
    return said


def by_column(found: Evidence) -> dict[str, list[tuple[RunConfig, Facts]]]:
    """A finished run for each noise seed of each column, by the column's label, in the order of the seeds."""
    columns: dict[str, dict[int, tuple[RunConfig, Facts]]] = {}
    labels = found.column_of
    for run in found.runs:
        if (facts := found.facts.get(run.run_id)) is not None:
            columns.setdefault(labels[run.run_id], {}).setdefault(run.config.noise.seed, (run.config, facts))
    return {label: [runs for _, runs in sorted(seeds.items())] for label, seeds in columns.items()}


def _line(told: list[tuple[dict[str, Any], str, bytes]]) -> str:
    """One column's labels, given as settings of a run, noise_id and stored bytes for each seed."""
    cards = [card_from(config, noise_id, data) for config, noise_id, data in told]
    rates = [card["effective"] for card in cards]
    spread = f"; effective {min(rates):.3f} to {max(rates):.3f} over the seeds" if len(set(rates)) > 1 else ""
    return noise.card_line(cards[0]) + spread


def card_of(store: Store, payload: dict[str, Any]) -> dict[str, Any]:
    """The card of a run's labels, counted on what it trained on."""
    truth = payload["totals"]["train_wrong"] is not None
    return card_from(payload["config"], payload["noise_id"], read(store, payload["noise_id"], truth))


def read(store: Store, noise_id: str, truth: bool) -> bytes:
    """The file of the labels with an id, which may be stored with or without the true ones."""
    return read_regular(store.noise / f"{stored_name(noise_id, truth)}.npz")


def card_from(config: dict[str, Any], noise_id: str, stored: bytes) -> dict[str, Any]:
    """The card of labels stored under an id. Equal labels of two recipes share one file: the config tells which."""
    labels, _ = noise.from_bytes(stored, noise_id)
    seed = config["noise"]["seed"]
    spec = noise.NoiseSpec.from_dict({name: value for name, value in config["noise"].items() if name != "seed"})
    labels = replace(labels, spec=spec, seed=seed)
    parts = split_of(labels, config["dataset"], seed)
    data = config["dataset"]
    return noise.card(labels, dataset=data["name"], digest=data["digest"], train_index=parts.train_index)

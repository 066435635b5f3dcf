"""A folder of submissions: found, checked one by one, then held against each other."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bench.files import canonical
from bench.sharing import claims
from bench.sharing.checking import Checked, check
from bench.sharing.protocol import Protocol
from bench.sharing.submission import MANIFEST
from bench.sharing.told import Told

NAMED = 3  # of many


@dataclass
class Entries:
    """All submissions of a folder; `conflicts` name runs that came out in two ways."""

    checked: list[Checked] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)

    @cached_property
    def labels(self) -> dict[str, str]:
        """What each is called, by its place: its title, and its place as well where two have one title."""
        found = {one.place: one.title for one in self.checked}
        while len(set(found.values())) < len(found):  # a title may be made to look like another's with its place
            counts = Counter(found.values())
            found = {place: f"{text} ({place})" if counts[text] > 1 else text for place, text in found.items()}
        return found


def find(folder: Path) -> list[tuple[Path, str]]:
    """Every archive and every unpacked submission in a folder, in any depth, with its place in it, sorted.

    Links are not followed, and hidden folders not looked into; ValueError if nothing is there.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    found = []
    for where, folders, names in os.walk(folder):
        if MANIFEST in names:
            found.append(Path(where))
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(where, name) for name in names if name.endswith(".zip")]
    if not found:
        raise ValueError(f"{folder} holds no submission: neither an archive of `export` nor an unpacked one")
    return sorted(((path, str(path.relative_to(folder))) for path in found), key=lambda pair: pair[1])


def check_all(folder: Path, asked: Sequence[Protocol] | None, data_dir: Path | None) -> Entries:
    """Check every submission of a folder, then the labels that they met and the runs that they share."""
    entries = Entries()
    for path, place in find(folder):
        if path.is_symlink():
            entries.checked.append(Checked(place, faults=["is a link, which is not followed"]))
        else:
            entries.checked.append(check(path, place, asked, data_dir))
    _same_labels(entries)
    _same_runs(entries)
    _same_claims(entries)
    return entries


def _same_labels(entries: Entries) -> None:
    """Refuse who met other wrong labels than everybody else for the same data, noise and noise seed.

    Labels that were drawn again stand. Where nobody could, what most distinct sets of results met does: copies of one
    count once. Where two sides are equally many, nobody can tell, and both are refused.
    """
    met: dict[bytes, dict[str, dict[str, list[Told]]]] = {}
    for one in entries.checked:
        for told in one.runs if not one.faults else ():
            config = told.summary["config"]
            setting = canonical([config["dataset"]["name"], config["dataset"]["digest"], config["noise"]])
            met.setdefault(setting, {}).setdefault(told.summary["noise_id"], {}).setdefault(one.place, []).append(told)
    by_place = {one.place: one for one in entries.checked}
    wrong: dict[str, list[str]] = {}
    for ids in met.values():
        winners = _standing(ids, {place for place, one in by_place.items() if not one.unchecked})
        for noise_id, places in ids.items():
            if len(ids) > 1 and (len(winners) > 1 or noise_id not in winners):
                others = ", ".join(sorted(set(ids) - {noise_id})[:NAMED])
                for place, (told, *_) in places.items():
                    seed = told.summary["config"]["noise"]["seed"]
                    text = f"runs/{told.run_id} met other wrong labels ({noise_id}) than others ({others}) for the same"
                    wrong.setdefault(place, []).append(f"{text} noise and noise seed {seed}")
    for place, reasons in wrong.items():
        by_place[place].faults += reasons[:NAMED]


def _standing(ids: dict[str, dict[str, list[Told]]], drawn: set[str]) -> list[str]:
    """The labels that stand, of those that places met; `drawn` are the places whose labels were drawn again."""
    if again := [noise_id for noise_id, places in ids.items() if drawn & places.keys()]:
        return again
    votes = {
        noise_id: len({frozenset(told.payload for told in some) for some in places.values()})
        for noise_id, places in ids.items()
    }
    return [noise_id for noise_id, n in votes.items() if n == max(votes.values())]


def _same_runs(entries: Entries) -> None:
    """Name runs that stand in two submissions with different numbers, as they may on two kinds of machine."""
    first: dict[str, tuple[Checked, Told]] = {}
    differing: dict[tuple[str, str, str], list[str]] = {}
    labels = entries.labels
    for one in entries.checked:
        for told in one.runs if not one.faults else ():
            other, known = first.setdefault(told.run_id, (one, told))
            if other is not one and known.payload != told.payload:
                differing.setdefault((labels[other.place], labels[one.place], told.method), []).append(told.run_id)
    for (a, b, method), ids in differing.items():
        more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
        entries.conflicts.append(f"{method}: {a} and {b} found other numbers in the same run: {ids[0]}{more}")


def _same_claims(entries: Entries) -> None:
    """Note where two submissions report a method of one code and setting by other heads, or say else of it."""
    first: dict[bytes, tuple[Checked, Told]] = {}
    for one in entries.checked:
        for told in one.runs if not one.faults else ():
            other, known = first.setdefault(claims.setting_of(told), (one, told))
            for name in claims.differing(known, told) if other is not one else ():
                line = f"{told.method}: {name} is not the same here as in {entries.labels[other.place]}"
                if line not in one.notes:
                    one.notes.append(line)

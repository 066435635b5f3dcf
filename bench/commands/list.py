"""`list`: what can be named in a suite or on the command line. Nothing is imported but numpy."""

import argparse
import json
from typing import Any

from bench.exit_codes import DONE


def main(args: argparse.Namespace) -> int:
    if args.card is not None:
        from bench.findings import method_card

        if args.what != "methods":
            raise ValueError(f"--card is for `list methods`, got {args.what!r}")
        if args.markdown:
            raise ValueError("--card and --markdown are two different pages: give one of them")
        print(json.dumps(method_card.as_dict(args.card), indent=1) if args.json else method_card.as_text(args.card))
        return DONE
    entries = {"methods": methods, "noise": noise, "datasets": datasets, "networks": networks, "suites": suites}[
        args.what
    ]()
    if args.markdown and args.what not in ("noise", "methods"):
        raise ValueError(f"--markdown is for `list noise` and `list methods`, got {args.what!r}")
    if args.markdown:
        print(noise_markdown(entries) if args.what == "noise" else methods_markdown(entries))
        return DONE
    if args.json:
        print(json.dumps(entries, indent=1))
        return DONE
    for entry in entries:
        print(entry["name"] + ("  " + entry["summary"] if entry.get("summary") else ""))
        for line in entry.get("lines", []):
            print(f"    {line}")
    return DONE


def methods() -> list[dict[str, Any]]:
    from methods import registry

    entries = []
    for name in registry.available():
        info = registry.describe(name)
        facts = [
            f"{info.num_networks} network" + ("s" if info.num_networks > 1 else ""),
            info.paper or "no paper: the control",
        ]
        facts += [f"told {', '.join(info.needs)}"] if info.needs else []
        facts += [f"presets {', '.join(['uniform', *(p for p in info.presets if ':' not in p)])}"]
        fields = [f"{f.name} = {f.default!r}" + (f"    {f.meaning}" if f.meaning else "") for f in info.fields]
        defaults = {f.name: f.default for f in info.fields}
        entries.append(
            {
                "name": name,
                "summary": info.summary,
                "lines": ["; ".join(facts), *fields],
                "defaults": defaults,
                "needs": info.needs,
                "paper": info.paper,
                "networks": info.num_networks,
                "tuned": info.card.tuned if info.card else "",
                "compat": bool(info.card and info.card.reference),
            }
        )
    return entries


def methods_markdown(entries: list[dict[str, Any]]) -> str:
    """The methods as a table: what each is told, and what its users tune per noise setting."""
    rows = ["| method | what it does | paper | nets | told | tuned per noise setting |", "|---|---|---|---|---|---|"]
    for entry in entries:
        told = ", ".join(need.replace("_", " ") for need in entry["needs"]) or "–"
        cells = [f"`{entry['name']}`", entry["summary"], entry["paper"] or "–", str(entry["networks"]), told]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in [*cells, entry["tuned"] or "–"]) + " |")
    return "\n".join(rows)


def noise() -> list[dict[str, Any]]:
    import noise as package

    entries = []
    for name in package.available():
        about = package.describe(name)
        lines = [f"write {about['example']}"]
        lines += [
            f"{dialect}: {facts['definition']} ({facts['used_by']})" for dialect, facts in about["dialects"].items()
        ]
        lines += [f"maps: {', '.join(about['maps'])}"] if about["maps"] else []
        lines += [f"option {key} = {value!r}" for key, value in about["options"].items()]
        entries.append({"name": name, "summary": about["definition"], "lines": lines, **about})
    return entries


def noise_markdown(entries: list[dict[str, Any]]) -> str:
    """The families and dialects as a table: who flips to what, how much comes out wrong, and who says so."""
    rows = [
        "| noise | dialect | who flips to what | wrong in the end | counts | drawn by | used by | source |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for entry in entries:
        for name, facts in entry["dialects"].items():
            cells = [
                f"`{entry['example']}`" if name == "native" or len(entry["dialects"]) == 1 else "",
                f"`{name}`",
                facts["formula"],
                facts["effective"],
                facts["flips"],
                facts["generator"],
                facts["used_by"],
                facts["source"],
            ]
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def datasets() -> list[dict[str, Any]]:
    from bench.data import datasets as known

    entries = []
    for name in known.available():
        try:
            info = known.info(name)
        except known.MissingDataError:  # a set of files, which tell its facts, and which are not here
            where = known.examine(name).where
            entries.append(
                {"name": name, "summary": "", "lines": ["not in the data folder", f"get it {where}"], "digest": None}
            )
            continue
        channels, high, wide = info.shape
        sizes = f"{info.train_size:,} for training, {info.test_size:,} for testing, {high}x{wide}x{channels}"
        files = "files: " + (", ".join(info.files) or "none, they come with a dependency")
        lines = [f"{info.num_classes} classes, {sizes}", info.source, files]
        entries.append({"name": name, "summary": "", "lines": lines, "digest": info.digest})
    return entries


def networks() -> list[dict[str, Any]]:
    from bench.training.catalog import NETWORKS

    return [{"name": name, "summary": summary} for name, summary in NETWORKS.items()]


def suites() -> list[dict[str, Any]]:
    from bench.data.datasets import MissingDataError
    from bench.sweep.planning import grid

    entries = []
    for name in grid.available():
        suite = grid.load(name)
        entry = {"name": name, "summary": suite.title, "dataset": suite.dataset, "published": suite.published or None}
        try:
            runs = len(grid.plan(suite))
        except MissingDataError:  # a set of files, which tell its facts, and which are not here
            runs = len(suite.noise) * len(suite.methods) * len(suite.seeds)
        table = [f"against the published table {suite.published}: see `repro`"] if suite.published else []
        lines = ["; ".join([f"{runs} runs on {suite.dataset}, preset {suite.preset}", *table])]
        entries.append({**entry, "runs": runs, "lines": lines})
    return entries

"""`show`: all about one run, for a person, or the stored record as it is."""

import argparse
import json
import textwrap
from typing import Any

import noise
from bench.commands.derived import card_of
from bench.evidence import diagnostics
from bench.sweep.store import Corrupt, RunFolder, Store


def main(args: argparse.Namespace) -> int:
    store = Store(args.results)
    ids = [run_id for run_id in store.run_ids() if run_id.startswith(args.run_id)]
    if len(ids) != 1:
        what = "no run" if not ids else f"{len(ids)} runs"
        raise ValueError(f"{what} under {args.results} with an id that starts with {args.run_id!r}")
    folder = store.run(ids[0])
    try:
        result = folder.result()
        config = folder.config()
    except Corrupt as error:
        print(f"damaged: {error}")
        return 3
    if args.json:
        print(
            json.dumps(
                {"payload": result.payload, "provenance": result.provenance} if result else {"config": config}, indent=1
            )
        )
        return 0
    print(f"{folder.run_id}  {folder.state().lower()}  {folder.path}")
    if config:
        print(_settings(config))
    if result:
        print("\n".join([*_history(result.payload), *_diagnostics(result.payload)]))
        print(_card(store, result.payload))
        print(f"  code     {result.payload['code']}, trained in {result.provenance.get('seconds', 0):.1f} s")
        tables = sorted((folder.path / "samples").glob("epoch-*"))
        if tables:
            print(f"  samples  {len(tables)} per-sample tables, the last is {tables[-1]}")
    print(_attempts(folder))
    return 0


def _settings(config: dict[str, Any]) -> str:
    lines = []
    for part in ("dataset", "noise", "method", "train"):
        values = ", ".join(
            f"{key}={json.dumps(value)}" for key, value in config[part].items() if value not in ({}, None)
        )
        lines.append(f"  {part:8s} {values}")
    return "\n".join([*lines, f"  seed     {config['seed']}, protocol {config['protocol']}"])


def _history(payload: dict[str, Any]) -> list[str]:
    totals = payload["totals"]
    wrong = f"{totals['train']:,} training labels, nobody knows how many are wrong"
    if totals["train_wrong"] is not None:
        wrong = f"{totals['train_wrong']:,} of {totals['train']:,} training labels wrong"
    if totals.get("train_foreign"):
        wrong += f", {totals['train_foreign']:,} foreign images"
    lines = [f"  labels   {payload['noise_id']}: {wrong}"]
    for number in sorted({0, len(payload["history"]) // 2, len(payload["history"]) - 1}):
        epoch = payload["history"][number]
        heads = ", ".join(
            f"{head} {100 * counts['test'] / totals['test']:.2f} %" for head, counts in sorted(epoch["heads"].items())
        )
        lines.append(f"  epoch {number + 1:3d}/{len(payload['history'])}: test {heads}")
    return lines


def _diagnostics(payload: dict[str, Any]) -> list[str]:
    """One or two lines for each head of the last epoch, and one about new labels: of what the record holds."""
    lines = []
    heads = {head: diagnostics.of_head(payload, payload["history"][-1], head) for head in sorted(payload["heads"])}
    for head, found in heads.items():
        fits = _named(found, "fits right labels", "right_fit", "wrong ones", "wrong_fit", "recovers", "wrong_recovered")
        loss = "" if found["nll"] is None else f"nll {found['nll']:.3f}"
        chosen = _named(found, "selected", "selected", "precision", "precision", "recall", "recall")
        order = "" if found["auc"] is None else f"AUC of clean score {found['auc']:.3f}"
        for name, parts in ((head, (fits, _named(found, "calibration error", "ece"), loss)), ("", (chosen, order))):
            if any(parts):
                lines.append(f"  {name:8s} {'; '.join(filter(None, parts))}")
    mended = _named(found, "corrects wrong labels", "corrected", "breaks right ones", "broken")
    matrix = payload["history"][-1].get("transition")
    return lines + ([f"  new      {mended}"] if mended else []) + ([_matrix(matrix)] if matrix else [])


def _matrix(found: dict[str, float | None]) -> str:
    """How an estimated transition matrix compares with that of the noise."""
    words = {"diagonal": "mean diagonal", "condition": "condition number", "error": "L1 error of a row"}
    known = [f"{text} {value:.3g}" for key, text in words.items() if (value := found[key]) is not None]
    return f"  matrix   {', '.join(known)}"


def _named(found: diagnostics.Diagnosis, *words: str) -> str:
    """Shares in percent after what they are shares of, given as text and key in turn; unknown ones are left out."""
    pairs = zip(words[::2], words[1::2], strict=True)
    return ", ".join(f"{text} {100 * share:.1f} %" for text, key in pairs if (share := found[key]) is not None)


def _card(store: Store, payload: dict[str, Any]) -> str:
    try:
        return textwrap.indent(noise.card_text(card_of(store, payload)), "  ")
    except (FileNotFoundError, ValueError) as error:  # the record stands without it
        return f"  the stored labels are not readable: {error}"


def _attempts(folder: RunFolder) -> str:
    lines = []
    for start, end in folder.attempts():
        how = "unended" if end is None else f"{end.get('class')} {end.get('message', '')}".strip()
        known = [start[name] for name in ("slot", "device") if start.get(name)]
        known += [f"torch {start['torch']}"] if start.get("torch") else []
        where = f"{start.get('host')} ({', '.join(known)})"
        lines.append(f"  attempt {start.get('number')} on {where}: {how}")
        if end and end.get("traceback"):
            lines.append(str(end["traceback"]).rstrip())
    return "\n".join(lines)

"""`show`: all about one run, for a person, or the stored record as it is."""

import argparse
import json
import os
import textwrap
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import noise
from bench.evidence import diagnostics
from bench.exit_codes import DAMAGED, DONE
from bench.files import read_regular
from bench.findings.stored_labels import card_of
from bench.printable import printable
from bench.sweep.records.store import Corrupt, RunFolder, State, Store
from bench.sweep.run.heartbeat import epochs_of

TAIL = 12  # lines of a log, and of a traceback
LOG_END = 1 << 14  # bytes of a log that are looked at
ATTEMPTS = 6  # the last ones
DIFFERENCES = ("diff_sha256", "untracked_sha256")


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
        print(printable("\n".join([f"damaged: {error}", *_remarks(folder)])))
        return DAMAGED
    state, attempts = folder.state(), folder.attempts()
    if args.json:
        unfinished = {"state": state, "config": config, "attempts": [{"start": a, "end": b} for a, b in attempts]}
        record = {"payload": result.payload, "provenance": result.provenance} if result else unfinished
        print(json.dumps(record, indent=1))
        return DONE
    lines = [f"{folder.run_id}  {state.lower()}  {folder.path}"]
    lines += [_settings(config)] if config else []
    if result:
        lines += [*_history(result.payload), *_diagnostics(result.payload), _card(store, result.payload)]
        took = _time(result.provenance, len(result.payload["history"]))
        lines.append(f"  code     {result.payload['code']}, trained in {took}")
        if tables := sorted((folder.path / "samples").glob("epoch-*")):
            lines.append(f"  samples  {len(tables)} per-sample tables, the last is {tables[-1]}")
    elif config and state in (State.RUNNING, State.INTERRUPTED, State.FAILED):
        done = epochs_of(folder) if state is State.RUNNING else folder.epochs_done()
        lines.append(f"  epochs   {done} of {config['train']['epochs']} done")
    lines += [*_provenance(attempts[-1][0]), *_attempts(attempts)] if attempts else []
    lines += _remarks(folder)
    if state is State.FAILED:
        lines += _log(folder)
    print(printable("\n".join(lines)))
    return DONE


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


def _provenance(start: Mapping[str, Any]) -> list[str]:
    """Where and by what the last attempt was made, as far as its record tells: older ones tell less."""
    cpu, gpu, did = start.get("cpu") or {}, start.get("gpu") or {}, start.get("arithmetic") or {}
    kernels = f" ({cpu['kernels']}, {cpu.get('cores')} cores)" if cpu.get("kernels") else ""
    where = [f"{cpu.get('name', start.get('device'))}{kernels}"]
    if gpu:
        known = {"driver": gpu.get("driver"), "CUDA": start.get("cuda"), "cuDNN": gpu.get("cudnn")}
        where.append(f"{gpu.get('name')} ({', '.join(f'{word} {value}' for word, value in known.items() if value)})")
    versions = {name: start.get(name) for name in ("python", "torch", "numpy")} | (start.get("packages") or {})
    lines = [
        f"  made on  {', '.join(where)}",
        f"  by       {', '.join(f'{name} {version}' for name, version in versions.items() if version)}",
    ]
    if did:
        lines.append("  with     " + ", ".join(f"{name} {text}" for name, text in did.items()).replace("True", "yes"))
    if start.get("commit"):
        changes = [f"{name.removesuffix('_sha256')} {start[name][:8]}" for name in DIFFERENCES if start.get(name)]
        dirty = f", with changes ({', '.join(changes) or 'not code'})" if start.get("dirty") else ""
        lines.append(f"  commit   {start['commit'][:12]}{dirty}")
    if command := start.get("command"):
        lines.append(f"  command  {textwrap.shorten(' '.join(map(str, command)), 400, placeholder=' ...')}")
    return lines


def _attempts(attempts: list[tuple[dict[str, Any], dict[str, Any] | None]]) -> list[str]:
    lines = [f"  {len(attempts) - ATTEMPTS} attempts before"] if len(attempts) > ATTEMPTS else []
    for start, end in attempts[-ATTEMPTS:]:
        how = "unended" if end is None else f"{end.get('class')} {end.get('message', '')}".strip()
        known = [start[name] for name in ("slot", "device") if start.get(name)]
        known += [f"torch {start['torch']}"] if start.get("torch") else []
        where = f"{start.get('host')} ({', '.join(known)})"
        began = f", {start['started']}" if start.get("started") else ""
        lines.append(f"  attempt {start.get('number')} on {where}{began}: {how}")
    last = attempts[-1][1]
    if last and last.get("traceback"):
        lines += str(last["traceback"]).rstrip().splitlines()[-TAIL:]
    return lines


def _remarks(folder: RunFolder) -> list[str]:
    """What is beside the run that should not be there: files set aside, and numbers that a second finisher found."""
    lines = [f"  ALARM    a second finisher found other numbers: {path}" for path in folder.conflicts()]
    with suppress(FileNotFoundError, NotADirectoryError):
        aside = sorted(name.rpartition(".")[0] for name in os.listdir(folder.path / "quarantine"))
        if aside:
            lines.append(f"  aside    {len(aside)} damaged or outdated files in quarantine: {', '.join(aside[:4])}")
    return lines


def _log(folder: RunFolder) -> list[str]:
    path = folder.path / "log.txt"
    try:
        text = read_regular(path)[-LOG_END:].decode("utf-8", errors="replace")
    except (OSError, ValueError):  # none, or no regular file
        return []
    return [f"  the last lines of {path}:", *(f"    {line}" for line in text.rstrip().splitlines()[-TAIL:])]


def _time(provenance: Mapping[str, Any], epochs: int) -> str:
    """What a run took, or its last part, where it went on from a checkpoint."""
    last = provenance.get("epochs_this_attempt", epochs)
    part = f" (the last {last} of {epochs} epochs)" if last != epochs else ""
    return f"{provenance.get('seconds', 0):.1f} s{part}"

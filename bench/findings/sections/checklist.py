"""The questions of the machine learning reproducibility checklist, answered from the records alone.

After Pineau et al., "Improving Reproducibility in Machine Learning Research", JMLR 2021.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from bench.evidence.records import RULES
from bench.evidence.statistics import ALPHA
from bench.findings.sections.origins import device_of
from bench.findings.sections.subject import Subject
from bench.findings.sections.words import UNKNOWN
from bench.sweep.planning.grid import Planned
from bench.sweep.records.store import FINISHED

ELSEWHERE = f"{UNKNOWN}: for the text that quotes these numbers to say"
LISTED = 12


def of(subject: Subject) -> list[dict[str, str]]:
    """Questions with their answers, in the order of a paper: data, method, runs, statistics, compute, code."""
    asked = [*_data(subject), *_method(subject), *_runs(subject), *_statistics(subject), *_compute(subject)]
    asked += _code(subject)
    return [{"question": question, "answer": answer} for question, answer in asked]


def _every(values: Iterable[Any]) -> str:
    texts = list(dict.fromkeys(str(value) for value in values))
    more = f" and {len(texts) - LISTED} more" if len(texts) > LISTED else ""
    return ", ".join(texts[:LISTED]) + more if texts else UNKNOWN


def _data(subject: Subject) -> list[tuple[str, str]]:
    found, header = subject.summaries.values(), subject.table.header
    noise = {summary["noise_id"] for summary in found}
    digests = {summary["dataset_digest"] for summary in found}
    held = {run.config.dataset.val for run in subject.found.runs}
    cut = [
        f"{name} {value}"
        for run in subject.found.runs
        for name, value in (("train", run.config.dataset.train_limit), ("test", run.config.dataset.test_limit))
        if value is not None
    ]
    excluded = f"only the first or drawn samples were used: {_every(cut)}" if cut else "none by these settings"
    return [
        ("Data set, and how many samples each part has", f"{header['dataset']}: {header['samples']}"),
        ("Which version of the data", f"digest {_every(sorted(digests))}"),
        (
            "How the parts were made",
            f"a share of {_every(sorted(held))} of the training set is held out with its "
            "noisy labels, drawn by the noise seed; the test set is that of the data set, the same for every run",
        ),
        ("Data left out", excluded),
        (
            "Wrong labels",
            f"{len(noise)} sets, the same for every method of a column and seed; their ids, rates and "
            "matrices are under Noise",
        ),
    ]


def _changed(run: Planned) -> bool:
    return any(run.config.method.params.get(name) != value for name, value in run.defaults.items())


def _method(subject: Subject) -> list[tuple[str, str]]:
    runs, infos = subject.found.runs, subject.found.infos
    presets = _every(run.config.train.preset for run in runs)
    changed = {run.config.method.name for run in runs if _changed(run)}
    tuned = [name for name, info in infos.items() if info.card and info.card.tuned]
    told: dict[str, list[str]] = {}
    for row in subject.table.rows:
        for need in row.needs:
            told.setdefault(need.replace("_", " "), []).append(row.label)
    texts = [f"{need} ({', '.join(labels)})" for need, labels in told.items()]
    others = f"; set for these runs: {', '.join(sorted(changed))}" if changed else ""
    per = f"; the papers choose settings of these per noise setting, here one serves all: {_every(tuned)}"
    return [
        ("Mathematical description of each method", "its paper and equations are under Methods"),
        ("What methods are told beyond the noisy labels", "; ".join(texts) or "nothing"),
        ("All hyper-parameters", "listed under Methods, and in config.json of every run"),
        ("How hyper-parameters were chosen", f"preset {presets}{others}. Which search came before that is {UNKNOWN}"),
        ("Tuned per setting", "not by this harness" + (per if tuned else "")),
        ("Networks, epochs", f"{subject.table.header['network']}; {subject.table.header['epochs']} epochs"),
    ]


def _runs(subject: Subject) -> list[tuple[str, str]]:
    runs, counts = subject.found.runs, subject.counts
    sizes = Counter((run.config.method.name, subject.columns[run.run_id]) for run in runs).values()
    finished = sum(counts.get(state, 0) for state in FINISHED)
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    few, many = min(sizes), max(sizes)
    return [
        ("Number of runs", f"{len(subject.states)} planned, {finished} with a number ({told})"),
        ("Runs of each cell", f"{few}" if few == many else f"{few} to {many}"),
        (
            "Random seeds",
            f"{subject.table.header['seeds']}; a seed decides the weights, the order of the batches and "
            "all augmentation, a noise seed the wrong labels and what is held out",
        ),
        ("Runs left out", "none: every planned run is counted, or named under Failures"),
    ]


def _statistics(subject: Subject) -> list[tuple[str, str]]:
    rule = subject.rule
    return [
        ("Definition of the number", f"{RULES[rule]}; head: {subject.args.head}"),
        ("Central tendency and spread", "mean and sample standard deviation (n - 1) over runs"),
        (
            "Test",
            f"paired t over shared seeds, two-sided, Holm's correction over all pairs of a column, p > {ALPHA} is "
            "not separable; against the baseline, Holm over the other rows",
        ),
        ("What that test can find", next((note for note in subject.table.notes if note.startswith("n = ")), UNKNOWN)),
        (
            "Clean labels used for selection",
            "yes: every number was chosen with them"
            if rule == "clean_val"
            else "yes, on the test set: an oracle"
            if rule == "oracle"
            else "no",
        ),
    ]


def _compute(subject: Subject) -> list[tuple[str, str]]:
    made = [one for one in subject.origins.runs.values() if one.seconds is not None]
    hours = sum(one.seconds or 0.0 for one in made) / 3600
    devices = Counter(
        device_of(subject.origins.environments[one.environment]) for one in made if one.environment is not None
    )
    lacking = len(subject.summaries) - len(made)
    also = f"; of {lacking} runs it is not recorded" if lacking else ""
    kinds = "; ".join(f"{count} runs on {name}" for name, count in devices.most_common(LISTED))
    return [
        ("Computing infrastructure", kinds or UNKNOWN),
        ("Time", (f"{hours:.2f} hours of runs, one after the other" if made else UNKNOWN) + also),
        ("Energy", UNKNOWN),
    ]


def _code(subject: Subject) -> list[tuple[str, str]]:
    told = [one for one in subject.origins.environments if one.get("commit")]
    commits = [str(one["commit"])[:12] + (" with changes" if one.get("dirty") else "") for one in told]
    return [
        ("Version of the code", f"commit {_every(commits)}" if commits else UNKNOWN),
        ("Dependencies", "versions are under Provenance"),
        ("Commands that make the results again", "under How to run it again"),
        ("Where the code may be had, and under which licence", ELSEWHERE),
    ]

"""What is said below the answer: how to read the numbers, and what a reader must know of the runs behind them."""

from __future__ import annotations

from collections import Counter

from bench.evidence.cells import DAGGER
from bench.evidence.contests import family
from bench.evidence.records import HEADLINE, RULES
from bench.evidence.remarks import dependent
from bench.evidence.statistics import ALPHA, limits_text
from bench.findings import notes
from bench.findings.comparison.answer import Answer
from bench.names import few


def of(answer: Answer) -> list[str]:
    """How the numbers are to be read, and whatever a reader must know of the runs behind them."""
    tests = family(answer.contests)
    counts = Counter(duel.test.n for contest in answer.contests for duel in contest.duels if duel.pairs)
    head = "mean over a method's networks" if answer.head == HEADLINE else f"head {answer.head}"
    told = [f"number: {RULES[answer.rule]}, in %; {head}"]
    if counts:
        corrected = f", after Holm's correction over all {tests} comparisons" if tests > 1 else ""
        told.append(
            "difference: ours minus theirs in points, paired by seed, noise seed and wrong labels; interval: of the "
            f"paired t test, each by itself; p: of that test{corrected}; better and worse: p <= {ALPHA}"
        )
        told.append(limits_text(counts.most_common(1)[0][0], tests))
        told += dependent(answer.grouping)
    if answer.images:
        told.append("new seeds and new images: 95 %, by t, for other seeds and other test images; on the wide side")
    if answer.no_images:
        told.append(f"no interval over new images: {answer.no_images}")
    if any(cost.runs for cost in answer.costs.values()):
        told += answer.cost_notes
    return [*told, *_rows(answer), *answer.grouping.notes, *_gaps(answer), *notes.of(answer.found)]


def _rows(answer: Answer) -> list[str]:
    """What the methods are told, and whose settings their papers tune."""
    rows = list({row.label: row for contest in answer.contests for row in (contest.ours, contest.theirs)}.values())
    told = {
        row.label: ", ".join(need.replace("_", " ") for need in needs) for row in rows if (needs := answer.needs(row))
    }
    said = []
    if told:
        each = "; ".join(f"{label}: {needs}" for label, needs in told.items())
        said.append(f"{DAGGER} told more than the noisy labels: {each}")
    infos = answer.found.infos
    tuned = {
        row.method: info.card.tuned
        for row in rows
        if (info := infos.get(row.method)) is not None and info.card is not None and info.card.tuned
    }
    if tuned:
        said.append(f"papers choose settings of these per noise setting, here one serves all: {', '.join(tuned)}")
    return said


def _gaps(answer: Answer) -> list[str]:
    """Planned runs that are not there, failed or diverged, and finished ones without a partner."""
    found = answer.found
    planned = [run.run_id for run in found.runs]
    failed = [run_id for run_id in planned if run_id in found.failed]
    waiting = [run_id for run_id in planned if run_id not in found.facts and run_id not in found.failed]
    diverged = [run_id for run_id, facts in found.facts.items() if facts.told["diverged"]]
    said = []
    if failed:
        reasons = few([f"{run_id} ({found.failed[run_id]})" for run_id in failed])
        said.append(f"failed: {len(failed)} of {len(planned)} runs: {reasons}")
    if waiting:
        said.append(f"not run: {len(waiting)} of {len(planned)} runs: {few(waiting)}")
    if diverged:
        said.append(f"diverged, counted as they ended: {len(diverged)} of {len(found.facts)} runs: {few(diverged)}")
    for contest in answer.contests:
        if alone := {duel.column: duel.alone for duel in contest.duels if duel.alone}:
            where = ", ".join(f"{column}: {count}" for column, count in alone.items())
            said.append(
                f"{contest.ours.label} against {contest.theirs.label}: runs without a partner left out ({where})"
            )
    return said

"""What a table says below itself of how its runs came about, beside what the records' numbers say."""

from __future__ import annotations

from bench.findings.gathering import Evidence

NAMED = 4  # of many environments, or runs


def of(found: Evidence) -> list[str]:
    """The notes that apply, none in a plain case."""
    return [*_preset(found), *_stale(found), *_environments(found)]


def _preset(found: Evidence) -> list[str]:
    """The hyper-parameters that the preset sets in place of a method's defaults."""
    said = {}
    for run in {run.config.method.name: run for run in found.runs if run.config.method.name in found.infos}.values():
        own = {field.name: field.default for field in found.infos[run.config.method.name].fields}
        other = [f"{name}={value}" for name, value in run.defaults.items() if value != own[name]]
        if other:
            said[run.config.method.name] = f"{run.config.method.name} ({', '.join(other)})"
    presets = dict.fromkeys(run.config.train.preset for run in found.runs)
    return [f"set by the preset {', '.join(presets)}: {', '.join(said.values())}"] if said else []


def _stale(found: Evidence) -> list[str]:
    names = sorted({run.config.method.name for run in found.runs if run.run_id in found.stale})
    text = f"{len(found.stale)} runs were made by other code than today's: {', '.join(names)}"
    return [f"{text} (run --stale rerun trains them again)"] if names else []


def _environments(found: Evidence) -> list[str]:
    """Where runs were not all computed by the same versions on the same kind of device: these may round otherwise."""
    ended: dict[str, list[str]] = {}
    changed = []
    for run_id, facts in found.facts.items():
        if facts.made:
            ended.setdefault(facts.made[-1], []).append(run_id)
        if len(facts.made) > 1:
            changed.append(run_id)
    notes = []
    if len(ended) > 1:
        kinds = sorted(ended, key=lambda text: -len(ended[text]))
        text = "; ".join(f"{len(ended[kind])} by {kind}" for kind in kinds[:NAMED])
        more = f"; and {len(kinds) - NAMED} more" if len(kinds) > NAMED else ""
        notes.append(f"runs were computed in {len(kinds)} environments, which may round differently: {text}{more}")
    if changed:
        some = ", ".join(changed[:NAMED]) + (" ..." if len(changed) > NAMED else "")
        notes.append(f"{len(changed)} runs went on in another environment than they were begun in: {some}")
    return notes

"""Published numbers beside ours: which of them answer a cell of a table, in what they differ, and what may be said.

A number without its network, noise, split, epochs and selection rule is not comparable with anything: each reference
carries them, and where they are not those of our cell, or not told, there is a difference in points and no verdict.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from bench.data import datasets
from bench.evidence.statistics import ALPHA, welch_from_summary
from bench.fingerprint import ROOT
from bench.names import unknown
from noise import NoiseSpec, family_of

FOLDER = ROOT / "results" / "published"
NOT_STATED = "not stated"
KIND_TEXTS = {
    "authors": "by the method's authors",
    "third-party": "run again by others",
    "second-hand": "at second hand, quoted by others",
}
KINDS = tuple(KIND_TEXTS)
RULES = {
    "last": "last",
    "last10": "last ten",
    "noisy_val": "noisy validation",
    "clean_val": "clean validation",
    "oracle": "best on test",
}
SAME_EPOCHS = 0.01  # 30,000 iterations are 153.6 epochs, and some code counts to 199
STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class Reference:
    """A published number, in percent, with all that it hangs on; "" and None are for what its source does not tell."""

    table: str
    method: str  # our name; "" where we do not have it
    label: str  # as printed
    dataset: str
    noise: str  # as a suite writes it
    noise_definition: str
    realised_rate: float | None
    value: float
    spread: float | None  # sample standard deviation over runs
    n: int | None
    network: str  # our name, which says the stem too
    epochs: float | None
    split: str  # samples trained on / held out
    rule: str
    head: str  # "ensemble", or "" where it is not told or there is one network
    hyperparameters: str  # name=value, as `--set` has them
    kind: str
    source: str
    note: str
    printed: str = field(default="", compare=False)  # the value with its digits

    @property
    def number(self) -> str:
        """Return value and spread as printed."""
        return self.printed if self.spread is None else f"{self.printed} ± {self.spread:.2f}"

    @property
    def count(self) -> str:
        return f"n = {self.n}" if self.n is not None else "n not stated"

    @property
    def protocol(self) -> str:
        """Return what must stand beside the number: network, noise, split, epochs, rule, runs."""
        epochs = f"{self.epochs:g} epochs" if self.epochs is not None else "epochs not stated"
        told = {"network": self.network, "noise": self.noise_definition, "split": self.split, "rule": self.rule}
        known = [f"{name} {value or NOT_STATED}" for name, value in told.items()]
        spread = "" if self.spread is not None else ", no spread"
        return "; ".join([*known, epochs, self.count + spread])

    @property
    def settings(self) -> dict[str, Any]:
        """Return the hyper-parameters by name, as JSON values."""
        return {name: _value(text) for name, _, text in (part.partition("=") for part in self.hyperparameters.split())}


@dataclass(frozen=True)
class Setting:
    """A cell of ours, under the rule and head that are asked for."""

    method: str
    dataset: str
    noise: str
    network: str
    epochs: int
    split: str
    rule: str  # a name of bench.evidence.records.RULES
    n: int
    params: Mapping[str, Any]  # hyper-parameters, and settings of the training as optimizer.lr
    head: str = "headline"
    networks: int = 1

    @classmethod
    def of(cls, config: Mapping[str, Any], train_size: int, **rest: Any) -> Setting:
        """The setting of a run's configuration; `train_size` counts the data set's training images."""
        data, train = config["dataset"], config["train"]
        total = data["train_limit"] or train_size
        held_out = round(data["val"] * total)
        spec = NoiseSpec.from_dict({name: value for name, value in config["noise"].items() if name != "seed"})
        params = {
            **{f"{table}.{k}": v for table in ("optimizer", "schedule") for k, v in train[table].items()},
            **config["method"]["params"],
        }
        return cls(
            method=config["method"]["name"],
            dataset=data["name"],
            noise=str(spec),
            network=train["network"],
            epochs=train["epochs"],
            split=split_text(total - held_out - data.get("trusted", 0), held_out),
            params=params,
            **rest,
        )


@dataclass(frozen=True)
class Match:
    """A reference for a cell of ours: in what the protocols differ, and what else a reader should know."""

    reference: Reference
    differs: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def comparable(self) -> bool:
        return not self.differs


@dataclass(frozen=True)
class Verdict:
    """What may be said of ours against a published number; `difference` is ours minus theirs, in points."""

    outcome: str  # "not run", "not comparable", "no spread", "inside", "lower" or "higher"
    text: str
    difference: float | None = None
    p: float | None = None


def load(folder: Path | None = None) -> list[Reference]:
    """Every published number under results/published, in the order of its files.

    Raises ValueError, naming file and line, for a cell that lacks what it must have.
    """
    folder = folder or FOLDER
    paths = sorted(folder.glob("*.csv"))
    if not paths:
        raise ValueError(f"no published numbers in {folder}: they come with a checkout of the repository")
    return [reference for path in paths for reference in _read(path)]


def of_table(references: Iterable[Reference], table: str) -> list[Reference]:
    """The references of a published table; ValueError with the nearest name if there is no such table."""
    references = list(references)
    found = [reference for reference in references if reference.table == table]
    if not found:
        raise unknown("published table", table, sorted({reference.table for reference in references}))
    return found


def _read(path: Path) -> list[Reference]:
    names = [f.name for f in fields(Reference) if f.name != "printed"]
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        if rows.fieldnames != names:
            raise ValueError(f"{path}: the columns must be {','.join(names)}")
        found = []
        for row in rows:
            try:
                found.append(_reference(row))
            except (ValueError, TypeError) as error:  # TypeError: a row with too few or too many values
                raise ValueError(f"{path}, line {rows.line_num}: {error}") from error
    return found


def _reference(row: dict[str, str]) -> Reference:
    for name in ("table", "label", "dataset", "noise", "noise_definition", "value", "rule", "kind", "source"):
        if not row[name].strip():
            raise ValueError(f"{name} is empty; a number without it is not a reference")
    told: dict[str, Any] = {**row, "value": float(row["value"]), "n": int(row["n"]) if row["n"] else None}
    told |= {name: _number(row, name) for name in ("realised_rate", "spread", "epochs")}
    reference = Reference(**told, printed=row["value"])
    if not 0 <= reference.value <= 100:
        raise ValueError(f"value must be a percentage, got {row['value']}")
    if reference.n is not None and reference.n < 1:
        raise ValueError(f"n must be at least 1, got {reference.n}")
    if reference.head not in ("", "ensemble"):
        raise unknown("head", reference.head, ("ensemble",))
    if reference.kind not in KINDS:
        raise unknown("kind", reference.kind, KINDS)
    if reference.rule not in (*RULES.values(), NOT_STATED):
        raise unknown("rule", reference.rule, (*RULES.values(), NOT_STATED))
    NoiseSpec.parse(reference.noise)
    return reference


def _number(row: dict[str, str], name: str) -> float | None:
    if not row[name]:
        return None
    value = float(row[name])
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number of at least 0, got {row[name]}")
    return value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # a bare word
        return text


def matching(references: Iterable[Reference], setting: Setting) -> list[Match]:
    """The references for a cell of ours, those that differ least first.

    They are of the same method, data set, kind of noise and rate asked for; all else is compared and told.
    """
    asked = _asked(setting.noise)
    found = [
        Match(reference, _differences(reference, setting), _remarks(reference, setting))
        for reference in references
        if (reference.method, reference.dataset) == (setting.method, setting.dataset)
        and _asked(reference.noise) == asked
    ]
    return sorted(found, key=lambda match: len(match.differs))


def rule_of(reference: Reference, otherwise: str = "last") -> str:
    """Our name of the rule behind a reference, or `otherwise` where its source does not tell."""
    return next((ours for ours, theirs in RULES.items() if theirs == reference.rule), otherwise)


def split_text(train: int, held_out: int) -> str:
    """Samples trained on and held out, as in 50k or 45k/5k."""
    return _thousands(train) + (f"/{_thousands(held_out)}" if held_out else "")


def _thousands(count: int) -> str:
    if count < 1000:
        return str(count)
    return f"{count / 1e6:g}m" if count % 1_000_000 == 0 else f"{count / 1e3:g}k"


@cache
def _asked(noise: str) -> tuple[str, float | None, str]:
    """What is asked for, whoever draws it: family, rate, and the words of a family without a rate."""
    spec = NoiseSpec.parse(noise)
    leading = family_of(spec.family).leading
    return spec.family, spec.rate, str(spec.options.get(leading, "")) if spec.rate is None and leading else ""


@cache
def definition(noise: str, dataset: str) -> str:
    """What a noise spec means on a data set, the same for all dialects that mean the same: as "exclusive exact"."""
    spec = NoiseSpec.parse(noise)
    family = family_of(spec.family)
    dialect = family.dialects[spec.dialect]
    flips = spec.flips if dialect.ours else dialect.flips
    chosen = spec.map or (datasets.info(dataset).asymmetric if family.maps else None)
    if f"{chosen}: per sample" in flips or ("elsewhere per sample" in flips and chosen != "cifar10"):
        flips = "iid"  # code that draws one data set's noise in another way
    elif "chained" in flips:
        flips = "exact, class by class on labels already changed"
    elif flips.startswith(("exact", "total")):
        flips = "exact"
    words = [dialect.convention, flips] if dialect.convention != flips else [flips]
    options = {name: value for name, value in spec.options.items() if value != family.option_defaults().get(name)}
    leading = {family.leading} if spec.rate is None else set()
    return " ".join(
        [*words, *([f"map {chosen}"] if chosen else []), *(f"{k}={v}" for k, v in options.items() if k not in leading)]
    )


def _differences(reference: Reference, setting: Setting) -> tuple[str, ...]:
    found = []
    if reference.network != setting.network:
        found.append(_against("network", reference.network, setting.network))
    if reference.noise_definition == NOT_STATED:
        found.append("noise definition (not stated)")
    else:
        theirs, ours = definition(reference.noise, reference.dataset), definition(setting.noise, setting.dataset)
        if theirs != ours:
            found.append(_against("noise", reference.noise_definition, ours))
    if reference.split != setting.split:
        found.append(_against("split", reference.split, setting.split))
    if reference.epochs is None or abs(reference.epochs - setting.epochs) > SAME_EPOCHS * reference.epochs:
        theirs = "" if reference.epochs is None else f"{reference.epochs:g}"
        found.append(_against("epochs", theirs, str(setting.epochs)))
    if reference.rule != RULES[setting.rule]:
        found.append(_against("rule", reference.rule, RULES[setting.rule]))
    if reference.head and setting.networks > 1 and reference.head != setting.head:
        found.append(_against("head", reference.head, setting.head))
    for name, value in reference.settings.items():
        ours_value = setting.params.get(name)
        if ours_value != value:
            found.append(_against(name, _text(value), "none here" if ours_value is None else _text(ours_value)))
    return tuple(found)


def _against(what: str, theirs: str, ours: str) -> str:
    return f"{what} ({NOT_STATED if theirs in ('', NOT_STATED) else theirs} against {ours})"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else json.dumps(value)


def _remarks(reference: Reference, setting: Setting) -> tuple[str, ...]:
    found = []
    if reference.n != setting.n:
        found.append(_against("n", "" if reference.n is None else str(reference.n), str(setting.n)))
    if setting.networks > 1 and not reference.head:
        found.append(f"which head of {setting.networks} networks is printed is not stated, ours is {setting.head}")
    return (*found, *([reference.note] if reference.note else []))


def verdict(mean: float | None, sd: float | None, n: int, match: Match) -> Verdict:
    """Judge our mean and sample sd, in percent, over n runs; nothing is judged where protocols differ."""
    reference = match.reference
    if mean is None or not n:
        return Verdict("not run", "not run")
    difference = mean - reference.value
    if match.differs:
        return Verdict("not comparable", f"not comparable: differs in {', '.join(match.differs)}", difference)
    test = welch_from_summary(mean, sd, n, reference.value, reference.spread, reference.n)
    if test.p is not None:
        told = f"Welch's t, p = {test.p:.2g}, n = {n} and {reference.n}"
        if test.p > ALPHA:
            return Verdict("inside", f"not separable ({told})", difference, test.p)
        return Verdict(*_side(difference, told), difference, test.p)
    if sd is None or sd == 0:
        return Verdict("no spread", f"no verdict: {'one run has' if n == 1 else 'our runs have'} no spread", difference)
    bound = STANDARD_ERRORS * sd / math.sqrt(n)
    told = f"±{STANDARD_ERRORS:g} standard errors of ours, {bound:.2f}; by our spread alone, theirs is not given"
    if abs(difference) <= bound:
        return Verdict("inside", f"inside {told}", difference)
    return Verdict(*_side(difference, f"outside {told}"), difference)


def _side(difference: float, told: str) -> tuple[str, str]:
    outcome = "lower" if difference < 0 else "higher"
    return outcome, f"{outcome} than published ({told})"


def nearest(matches: Iterable[Match]) -> list[Match]:
    """Of references that their source prints for several hyper-parameters, those with the most of ours; all others."""
    grouped: dict[tuple[str, ...], list[Match]] = {}
    for match in matches:
        reference = match.reference
        grouped.setdefault((reference.table, reference.kind, reference.network, reference.rule), []).append(match)
    kept = []
    for group in grouped.values():
        fewest = min(_foreign(match) for match in group)
        kept += [match for match in group if _foreign(match) == fewest]
    return kept


def _foreign(match: Match) -> int:
    """How many hyper-parameters are others than ours."""
    return sum(text.startswith(f"{name} (") for name in match.reference.settings for text in match.differs)

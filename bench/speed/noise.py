"""Wrong labels: ours against the loop over samples that published code runs.

The peers are written after the algorithms of bhanML/Co-teaching (`noisify`) and xiaoboxia/Part-dependent-label-noise.
What can be equal is checked before anything is timed: PTD label by label, the others in their counts.
"""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import noise
from bench.fingerprint import ROOT
from bench.speed.options import CheckFailed, Options, Report
from bench.speed.pairs import Pair, in_turns, measured
from noise.instance import flip_rates

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Case:
    """A spec on so many samples, classes and pixels."""

    name: str
    spec: str
    samples: int
    classes: int
    pixels: int = 0

    def data(self) -> tuple[Labels, NDArray[np.uint8] | None]:
        """Return labels and, for noise that looks at them, images, from a generator of their own."""
        rng = np.random.default_rng(0)
        labels = rng.integers(0, self.classes, self.samples)
        images = rng.integers(0, 256, (self.samples, self.pixels), dtype=np.uint8) if self.pixels else None
        return labels, images


CASES = (
    Case("symmetric, 1,000,000 labels, 100 classes", "symmetric:0.4", 1_000_000, 100),
    Case("pairflip, 1,000,000 labels, 100 classes", "pairflip:0.4", 1_000_000, 100),
    Case("asymmetric, 1,000,000 labels, 100 classes", "asymmetric:0.4:map=superclass_next", 1_000_000, 100),
    Case("PTD, 50,000 images of 3,072 pixels, 10 classes", "instance:0.4:dialect=ptd", 50_000, 10, 3072),
)


def measure(options: Options) -> Report:
    """Time every case; `quick` takes a hundredth of the samples, to see that it works."""
    cases = [replace(case, samples=case.samples // 100) if options.quick else case for case in CASES]
    return Report.of([_measured(number, case, options.rounds, options.quick) for number, case in enumerate(cases)])


def _measured(number: int, case: Case, rounds: int, quick: bool) -> Pair:
    spec, (labels, images) = noise.NoiseSpec.parse(case.spec), case.data()

    def ours() -> Labels:
        return noise.corrupt(labels, images, case.classes, spec, 1).given

    def peer() -> Labels:
        if images is not None:
            return ptd_loop(labels, images, case.classes, spec.rate or 0.0, seed=1)
        transition = noise.corrupt(labels, None, case.classes, spec, 1).transition
        assert transition is not None
        return multinomial_loop(labels, transition, seed=1)

    _check(case, labels, ours(), peer())
    # the check was the warm-up of both
    times = in_turns({"ours": lambda: measured(ours), "peer": lambda: measured(peer)}, rounds, warm_ups=0)
    own, theirs = (tuple(cost.wall for cost in times[side]) for side in ("ours", "peer"))
    return Pair(case.name, own, theirs, peak_mib=_peak(number, quick))


def _check(case: Case, labels: Labels, ours: Labels, peer: Labels) -> None:
    if case.pixels:
        if not np.array_equal(ours, peer):
            raise CheckFailed(f"{case.name}: labels differ from the loop's at {np.flatnonzero(ours != peer)[:5]}")
        return
    rates = [(made != labels).mean() for made in (ours, peer)]
    if abs(rates[0] - rates[1]) > 5 * np.sqrt(0.25 / case.samples):
        raise CheckFailed(f"{case.name}: wrong shares {rates[0]:.4f} and {rates[1]:.4f} are no draws of one definition")


def multinomial_loop(labels: Labels, transition: NDArray[np.float64], seed: int) -> Labels:
    """One multinomial draw a sample."""
    state = np.random.RandomState(seed)
    given = labels.copy()
    for index in range(len(labels)):
        flipped = state.multinomial(1, transition[labels[index]], 1)[0]
        given[index] = np.where(flipped == 1)[0][0]
    return given


def ptd_loop(labels: Labels, images: NDArray[np.uint8], classes: int, rate: float, seed: int) -> Labels:
    """One projection and one softmax an image, then one choice."""
    state = np.random.RandomState(seed)
    rates = flip_rates(state.random_sample(len(labels)), rate, 0.1, 1.0)
    weights = state.randn(classes, images.shape[1], classes).astype(np.float32)
    chances = []
    for index, label in enumerate(labels):
        scores = images[index].astype(np.float32) @ weights[label]
        scores[label] = -np.inf
        scores = np.exp(scores - scores.max())
        chance = rates[index] * (scores / scores.sum())
        chance[label] += 1 - rates[index]
        chances.append(chance)
    return np.array([state.choice(classes, p=chance / chance.sum()) for chance in chances])


def _peak(number: int, quick: bool) -> float:
    """Return how far one call of ours raises the peak memory of a fresh process, in MiB."""
    command = [sys.executable, "-m", "bench.speed.noise", str(number), str(int(quick))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _alone(case: Case) -> float:
    labels, images = case.data()
    spec = noise.NoiseSpec.parse(case.spec)

    def work(part: slice) -> None:
        noise.corrupt(labels[part], None if images is None else images[part], case.classes, spec, 1)

    work(slice(0, 10 * case.classes))  # imports and buffers that every process pays
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak so far, which making the data left
    before = _peak_so_far()
    work(slice(None))
    return max(0.0, (_peak_so_far() - before) / 1024)  # below 0 where the kernel took pages away meanwhile


def _peak_so_far() -> int:
    """Return the most memory this process has held, in KiB, as the kernel counts it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    chosen, is_quick = CASES[int(sys.argv[1])], sys.argv[2] == "1"
    print(_alone(replace(chosen, samples=chosen.samples // 100) if is_quick else chosen))

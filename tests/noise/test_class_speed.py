"""Class-conditional noise of large data: neither time nor memory grows with samples times classes."""

import time
import tracemalloc

import numpy as np
import pytest

from noise import NoiseSpec, corrupt
from noise.draws import by_class

SAMPLES = 200_000
NATIVE = (
    "symmetric:0.4",
    "symmetric:0.4:dialect=inclusive",
    "pairflip:0.4",
    "tridiagonal:0.4",
    "asymmetric:0.4:map=flip",
)
CHOICES = ("symmetric:0.4:dialect=mwnet", "asymmetric:0.4:dialect=mwnet:map=flip")


def cpu_time(spec: NoiseSpec, labels: np.ndarray, classes: int) -> float:
    """The least of three, so that a busy machine does not count."""
    times = []
    for _ in range(3):
        start = time.process_time()
        corrupt(labels, None, classes, spec, 0)
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize("text", NATIVE)
def test_a_thousand_classes_take_about_as_long_as_ten(text):
    spec, rng = NoiseSpec.parse(text), np.random.default_rng(0)
    few, many = (cpu_time(spec, rng.integers(0, classes, SAMPLES), classes) for classes in (10, 1000))
    assert many < 5 * few + 0.1


def test_samples_are_sorted_by_class_and_not_looked_for_class_by_class():
    rng, times = np.random.default_rng(0), []
    for classes in (10, 20_000):
        labels = rng.integers(0, classes, SAMPLES)
        start = time.process_time()
        by_class(labels, classes)
        times.append(time.process_time() - start)
    assert times[1] < 10 * times[0] + 0.2  # a look at all labels for every class takes more than a second


@pytest.mark.parametrize("text", [*NATIVE, *CHOICES])
def test_memory_is_some_numbers_a_sample_however_many_classes(text):
    labels, spec = np.arange(SAMPLES) % 100, NoiseSpec.parse(text)
    corrupt(labels[:2000], None, 100, spec, 0)  # what is imported and cached once
    tracemalloc.start()
    corrupt(labels, None, 100, spec, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 9 * 8 * SAMPLES  # a row of a hundred chances for every sample would be 800 bytes

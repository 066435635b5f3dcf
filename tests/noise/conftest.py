"""Labels and images that the noise tests share; none needs a file."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def toy10():
    """2000 labels of 10 classes, 200 each."""
    labels = (np.arange(2000) * 7 + 3) % 10
    labels.setflags(write=False)
    return labels


@pytest.fixture(scope="session")
def toy10_rows():
    """One row of 48 pixel values per label of toy10."""
    rows = np.random.RandomState(7).randint(0, 256, (2000, 48)).astype("float32")
    rows.setflags(write=False)
    return rows

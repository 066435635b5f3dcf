"""Clusters that a sweep may be placed on; each engine is imported only when it is asked for."""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.sweep.backends.engine import Engine, Need

ENGINES = {"ray": ("ray", "Ray"), "dask": ("distributed", "Dask")}  # what is imported, and its name in words


def opened(name: str, address: str | None, need: Need) -> AbstractContextManager[Engine]:
    """The engine of a cluster that runs at `address`, or of one that is started here and ends with the sweep.

    ValueError in one line where the extra is not installed, no cluster answers, or it has no room for a run.
    """
    package, title = ENGINES[name]
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        command = f'pip install -e ".[{name}]" -c constraints.txt'
        raise ValueError(f"--backend {name} needs {title} ({error.name} is not installed): {command}") from None
    module = importlib.import_module(f"{__name__}.on_{name}")
    engine: AbstractContextManager[Engine] = module.opened(address, need)
    return engine

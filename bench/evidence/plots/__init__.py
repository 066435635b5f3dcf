"""Figures from the records of runs, built on matplotlib's `Figure` without pyplot.

A plot that the records do not allow raises `Nothing` with the reason in one line.
"""

from bench.evidence.plots.canvas import Nothing, save
from bench.evidence.plots.costs import cost
from bench.evidence.plots.difference import critical_difference
from bench.evidence.plots.epochs import accuracy_over_epochs, diagnostics, memorisation, selection
from bench.evidence.plots.looks import RC, style_of
from bench.evidence.plots.rates import rate
from bench.evidence.plots.settings import sensitivity

__all__ = [
    "RC",
    "Nothing",
    "accuracy_over_epochs",
    "cost",
    "critical_difference",
    "diagnostics",
    "memorisation",
    "rate",
    "save",
    "selection",
    "sensitivity",
    "style_of",
]

"""The contract that every method keeps: checks that need no test runner and say what they found and what to change.

One file a theme; importing this package registers all of them.
"""

from bench.contract import identity, outputs, repetition, knowledge, learning, edges, waiting  # noqa: F401, I001 - in the order in which a method is looked at
from bench.contract.checks import CHECKS, Check, DoesNotApply, Violation

__all__ = ["CHECKS", "Check", "DoesNotApply", "Violation"]

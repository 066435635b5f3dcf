"""The contract that every method keeps: checks that need no test runner and say what they found and what to change.

They find what is done by mistake. They are no proof against a method that means to cheat: it runs in the process of the
trainer, and whoever is to believe its numbers has to read its file.

One file a theme; importing this package registers all of them.
"""

# in the order in which a method is looked at: a check may wait for earlier ones
from bench.contract import identity, outputs, repetition, knowledge, learning, edges, waiting  # noqa: F401, I001
from bench.contract.checks import CHECKS, Check, DoesNotApply, Violation

__all__ = ["CHECKS", "Check", "DoesNotApply", "Violation"]

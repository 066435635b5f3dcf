"""Methods that break one rule each: what their class adds to an honest one, and the check that must notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Broken:
    """`body` goes into a class derived from `base`; `check` must fail with all of `said` in its message.

    `line` is in the line of the file that is named.
    """

    check: str
    body: str
    said: tuple[str, ...]
    line: str = "def losses"
    base: str = "LossMethod"
    before: str = ""


HEAD = '''"""A method with a mistake, after arXiv:1804.06872."""

import gc
import os
import random
import sys
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from methods import Batch, Clock, LossMethod, Method, Needs, Pass, Step
from methods.losses import cross_entropy
from methods.selection import masked_mean
{before}

@dataclass(eq=False)
class Mine({base}):
    """Do almost what is right."""

    num_networks: ClassVar[int] = 2
'''
UPDATE = """
    def update(self, batch, clock):
        loss = torch.stack([cross_entropy(net(batch.x).log_softmax(-1), batch.y).mean() for net in self.nets])
        self.learn(loss.sum())
        return Step(loss).detached()
"""


def function(head: str, *lines: str) -> str:
    """A function of the class."""
    return "\n".join([f"\n    def {head}:", *(f"        {line}" for line in lines), ""])


def losses(*first: str, behind: str = "") -> str:
    """Honest losses, but for the lines that come `first` and what stands `behind` the mean."""
    returned = f"return Step(cross_entropy(logits.log_softmax(-1), batch.y).mean(-1){behind})"
    return function("losses(self, logits, batch, clock)", *first, returned)


def setup(*lines: str) -> str:
    """A setup that does more."""
    return function("setup(self, task)", "super().setup(task)", *lines)


def source(broken: Broken) -> str:
    """The text of its file."""
    return HEAD.format(before=broken.before, base=broken.base) + broken.body


LOSSES = losses()

BROKEN = {
    "draws as it is made": Broken(
        "construction",
        LOSSES + function("__post_init__(self)", "super().__post_init__()", "self.start = torch.rand(3)"),
        ("construction drew from torch", "do nothing but store in the constructor"),
        "def __post_init__",
    ),
    "a file that it opens in secret": Broken(
        "construction",
        LOSSES
        + function(
            "__post_init__(self)",
            "super().__post_init__()",
            "try:",
            "    open(__file__).close()",
            "except Exception:",
            "    pass",
        ),
        ("construction opened a file", "read files in setup, or not at all"),
        "open(__file__).close()",
    ),
    "a file that it opens by its descriptor": Broken(
        "construction",
        LOSSES + function("__post_init__(self)", "super().__post_init__()", "os.close(os.open(__file__, os.O_RDONLY))"),
        ("construction opened a file",),
        "os.close(os.open(__file__, os.O_RDONLY))",
    ),
    "equal to every other": Broken(
        "identity",
        LOSSES
        + """
    def __eq__(self, other):
        return isinstance(other, Mine)

    __hash__ = nn.Module.__hash__
""",
        ("two methods of the same settings are equal", "@dataclass(eq=False) and no __eq__"),
        "def __eq__",
    ),
    "a method that cites nothing": Broken(
        "source",
        LOSSES,
        ("`paper` is empty, and no paper is cited", "paper: ClassVar[str]"),
        "class Mine(LossMethod)",
        before="\n__doc__ = 'A method with a mistake.'\n",
    ),
    "a file that says nothing of itself": Broken(
        "declaration",
        '    paper: ClassVar[str] = "none: a mistake"\n' + LOSSES,
        ("its module has no docstring", "name the method and its paper at the top of the file"),
        "class Mine(LossMethod)",
        before="\n__doc__ = None\n",
    ),
    "settings that it swallows": Broken(
        "refusal",
        LOSSES + function("__init__(self, **others)", "self.__post_init__()"),
        ("the class, given zzz: nothing was raised", "swallow no others"),
        "def __init__",
    ),
    "a preset of a network that nobody has": Broken(
        "presets",
        "    presets: ClassVar[dict] = {'mine': {'network': 'resnet9000'}}\n" + LOSSES,
        ("preset 'mine': unknown network 'resnet9000'", "mend the entry of `presets`"),
        "class Mine(LossMethod)",
    ),
    "a field without a meaning": Broken(
        "description",
        "    drop: float = 0.4\n" + LOSSES,
        ("nothing is said of drop", "write what a hyper-parameter means behind its default"),
        "class Mine(LossMethod)",
    ),
    "a value without a type": Broken(
        "description",
        "    drop = 0.4\n" + LOSSES,
        (
            "`drop = 0.4` has no annotation, so it is no hyper-parameter",
            "write `drop: float = 0.4`; a constant is ClassVar[float]",
        ),
        "drop = 0.4",
    ),
    "a hyper-parameter that torch has": Broken(
        "shadows",
        "    half: float = 0.5  # of something\n" + LOSSES,
        ("nn.Module has half already", "another name"),
        "class Mine(LossMethod)",
    ),
    "losses of the wrong shape": Broken(
        "steps",
        LOSSES.replace(".mean(-1)", ""),
        ("Step.losses must have the shape (2,), got (2, 16)", "what it handed over"),
    ),
    "losses without a gradient": Broken(
        "steps",
        losses(behind=".detach()"),
        ("losses() must return losses that carry a gradient, detached nowhere on their way from the logits",),
    ),
    "an update without a gradient": Broken(
        "steps",
        UPDATE.replace("self.learn(loss.sum())", "self.learn(loss.sum().detach())"),
        ("update() must learn from losses that carry a gradient",),
        "self.learn(loss.sum().detach())",
        base="Method",
    ),
    "losses that return nothing": Broken(
        "steps",
        LOSSES.replace("return ", ""),
        ("losses() returned None in place of a Step", "end it in `return Step(...)`"),
    ),
    "an update that returns nothing": Broken(
        "steps",
        UPDATE.replace("return ", ""),
        ("update() returned None in place of a Step: the first epoch made 0 steps", "return a Step from update"),
        "def update",
        base="Method",
    ),
    "losses that are no step": Broken(
        "steps",
        LOSSES.replace("Step(", "("),
        ("losses() returned a Tensor in place of a Step",),
    ),
    "a name that nobody has": Broken(
        "steps",
        LOSSES.replace("cross_entropy(", "cross_entrpy("),
        ("NameError: name 'cross_entrpy' is not defined; did you mean 'cross_entropy'?",),
        "cross_entrpy(",
    ),
    "losses that are not finite": Broken(
        "steps",
        losses(behind=" / (batch.y < 0).sum()"),
        ("step 0 of the first epoch: losses are [inf, inf]", "masked_mean"),
    ),
    "losses on the graph": Broken(
        "steps",
        UPDATE.replace(".detached()", ""),
        ("losses still hangs on the autograd graph", "return Step(...).detached() from update"),
        "def update",
        base="Method",
    ),
    "an excuse of its own": Broken(
        "steps",
        "    excuse: ClassVar[type] = DoesNotApply\n" + losses('raise self.excuse("not today")'),
        ("it raised DoesNotApply: not today", "the contract alone decides"),
        'raise self.excuse("not today")',
        before="from bench.contract import DoesNotApply\n",
    ),
    "a loss that leaves all numbers later on": Broken(
        "record",
        losses(behind=" + (0.0 if clock.epoch < 1 else float('inf'))"),
        ("the run diverged", "look for a division and a logarithm"),
    ),
    "predictions that record gradients": Broken(
        "looking",
        LOSSES + function("predict(self, x)", "with torch.enable_grad():", "    return super().predict(x)"),
        ("without gradients, head ['net1'] still records them", "without switching gradients on"),
        "def predict",
    ),
    "a selection in numbers": Broken(
        "steps",
        losses(behind=", selected=torch.ones(2, len(batch.y))"),
        ("selected is torch.float32 of the shape (2, 16), not torch.bool", ".bool()"),
    ),
    "an undeclared need": Broken(
        "steps",
        losses(behind=" * (1 - self.task.noise_rate)"),
        ("UndeclaredNeed: task.noise_rate was not declared: add needs = Needs(noise_rate=True)",),
        "self.task.noise_rate",
    ),
    "an error of its own": Broken(
        "steps",
        losses("missing = self.nothing"),
        ("AttributeError: 'Mine' object has no attribute 'nothing'", "mend the line named"),
        "missing = self.nothing",
    ),
    "code in its state": Broken(
        "state",
        LOSSES + setup("self.notes = Notes()"),
        ("the state holds what only running code could read: notes._extra_state (Notes)", "register_buffer"),
        "class Mine(LossMethod)",
        before="""

class Notes(nn.Module):
    def get_extra_state(self):
        return self.__class__()
""",
    ),
    "a scalar for each sample": Broken(
        "scalars",
        losses(behind=", scalars={'size': torch.ones(2)}"),
        ("scalar 'size' has the shape (2,)", "give its mean"),
    ),
    "predict that learns": Broken(
        "predict",
        LOSSES
        + function(
            "predict(self, x)",
            "with torch.no_grad():",
            "    next(self.nets[0].parameters()).add_(0.001)",
            "return super().predict(x)",
        ),
        ("predict changed nets.0.", "let predict read the networks and nothing else"),
        "def predict",
    ),
    "predictions that are no numbers": Broken(
        "predict",
        LOSSES + function("predict(self, x)", "return {head: z / 0 * 0 for head, z in super().predict(x).items()}"),
        ("predictions of net1 are not finite", "divide by no count that may be 0"),
        "def predict",
    ),
    "a gradient that leaves all numbers later on": Broken(
        "predict",
        losses("logits = logits * (1.0 if clock.epoch < 1 else float('nan'))"),
        ("the run diverged: nets.0.", "so that predictions have none", "look for a division and a logarithm"),
    ),
    "a headline that is no head": Broken(
        "predict",
        LOSSES + function("headline(self)", "return ['best']"),
        ("headline names ['best'], which predict does not give",),
        "def headline",
    ),
    "a fact that it grants itself": Broken(
        "undeclared",
        LOSSES + setup("task.needs = Needs(noise_type=True)", 'task._facts["noise_type"] = "symmetric"'),
        ("task.noise_type was not refused: nothing was raised", "read facts through self.task alone"),
        "def setup",
    ),
    "the runner at hand": Broken(
        "references",
        LOSSES + function("on_phase(self, clock)", 'self.runner = [sys._getframe(1).f_locals["self"]]'),
        ("after an epoch self.runner[0].data leads to clean labels", "keep nothing of the runner"),
    ),
    "a view of the clean labels": Broken(
        "references",
        LOSSES
        + function(
            "on_phase(self, clock)", 'self.view = sys._getframe(1).f_locals["self"].data.clean["train"].numpy()[::2]'
        ),
        ("after an epoch self.view leads to clean labels", "keep nothing of the runner"),
    ),
    "a look at the clean labels": Broken(
        "clean-labels",
        losses(
            "frame = sys._getframe()",
            'while frame and "traces" not in frame.f_locals:',
            "    frame = frame.f_back",
            'y = frame.f_locals["self"].data.clean["train"][batch.index] if frame else batch.y',
        ).replace("batch.y).mean", "y).mean"),
        ("with clean labels reversed", "looks at labels it must not see"),
    ),
    "a network that is left out": Broken(
        "training",
        UPDATE + setup("self.optimizer = task.make_optimizer(self.nets[0].parameters())"),
        ("network 2 did not learn", "give its parameters to the optimiser"),
        "def update",
        base="Method",
    ),
    "a gradient to the other network": Broken(
        "gradients",
        LOSSES.replace("logits.log_softmax(-1)", "(logits + 0.1 * logits.flip(0)).log_softmax(-1)"),
        ("loss 1 sends a gradient to network 2", "detach what it takes from the others"),
    ),
    "a memory by place": Broken(
        "memory",
        losses("self.memory[: len(batch.y)] = logits.detach()[0]")
        + setup('self.register_buffer("memory", torch.zeros(task.num_train, task.num_classes))'),
        ("one batch in two orders left memory differently", "self.memory[batch.index] = ..."),
    ),
    "a draw from everybody's generator": Broken(
        "generators",
        losses("weight = np.random.rand() + random.random()", behind=" * weight"),
        ("a run drew from random, numpy.random", "self.task.rng(stream, clock)"),
    ),
    "a memory of the process": Broken(
        "repetition",
        losses("SEEN.append(1)", behind=" * len(SEEN)"),
        ("a second run of one seed differs in", "keep nothing in the module, the class or a global"),
        before="\nSEEN = []\n",
    ),
    "a memory outside of its state": Broken(
        "resumption",
        losses("self.seen += 1", behind=" * (1 + self.seen)") + setup("self.seen = 0"),
        ("cut after epoch 1 and resumed", "keep what a later epoch needs in buffers"),
        "def setup",
    ),
    "a class that must be there": Broken(
        "edges",
        losses(behind=" * self.rarity")
        + setup("self.rarity = (1 / task.labels().bincount(minlength=task.num_classes)).mean()"),
        ("ten classes, some absent: ", "ask for no class that is absent"),
    ),
    "a logarithm of nothing": Broken(
        "confidence",
        LOSSES.replace(
            "cross_entropy(logits.log_softmax(-1), batch.y)",
            "-logits.softmax(-1).gather(-1, batch.y.expand(2, -1)[..., None]).squeeze(-1).log()",
        ),
        ("full confidence, ", "clamp a probability before its logarithm"),
    ),
    "a step that waits": Broken(
        "waits",
        losses("large = logits.abs().max().item() > 100"),
        ("a step asks the device for numbers: item", "masked_mean"),
        "logits.abs().max().item()",
    ),
}

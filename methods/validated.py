"""The best weights so far, by held-out samples with noisy labels: what papers call early stopping."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from methods.base import Batch, Clock, Pass, Task


class Best(nn.Module):
    """A copy of a network at the epoch whose predictions fitted the validation labels best, and what it predicts.

    `predicted` holds probabilities (N, C) of the training split, from which a transition matrix is estimated.
    """

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.network = task.make_network(0).requires_grad_(False)
        self.score = nn.Buffer(torch.full((), -1.0, device=task.device))  # share of labels predicted, in [0, 1]
        self.hits = nn.Buffer(torch.zeros((), device=task.device))
        self.predicted = nn.Buffer(torch.zeros(task.num_train, task.num_classes, device=task.device))

    def passes(self, task: Task, network: nn.Module, transition: Tensor | None = None) -> Iterator[Pass]:
        """The pass that scores `network` on the validation split; what is better than before is kept after it.

        With a transition matrix (C, C) the prediction is that of the observed label, T^T p.
        """
        self.hits.zero_()

        def count(batch: Batch, clock: Clock) -> None:
            p = network(batch.x).softmax(-1)
            p = p if transition is None else p @ transition
            self.hits.add_((p.argmax(-1) == batch.y).sum())

        yield Pass(task.loader(("plain",), split="val", shuffle=False), count, train=False, name="validate")
        score = self.hits / len(task.labels("val"))
        if bool(score > self.score):
            self.score.copy_(score)
            self.network.load_state_dict(network.state_dict())

    def predictions(self, task: Task, network: nn.Module) -> Iterator[Pass]:
        """Make `network` the best one and let it predict the whole training split; then `predicted` holds it."""
        self.recall(network)

        def look(batch: Batch, clock: Clock) -> None:
            self.predicted[batch.index] = network(batch.x).softmax(-1)

        yield Pass(task.loader(("plain",), shuffle=False), look, train=False, name="estimate")

    def recall(self, network: nn.Module) -> None:
        """Give `network` the best weights, and start to compare anew."""
        network.load_state_dict(self.network.state_dict())
        self.score.fill_(-1.0)

"""Transition matrices T[i, j] = P(given j | true i) that several families share; rows sum to one."""

import numpy as np

from noise.draws import Floats


def exclusive(rate: float, num_classes: int) -> Floats:
    """Return the (C, C) matrix with 1 - rate on the diagonal and the rest of each row shared by the other classes."""
    matrix = np.full((num_classes, num_classes), rate / (num_classes - 1))
    np.fill_diagonal(matrix, 1 - rate)
    return matrix


def inclusive(rate: float, num_classes: int) -> Floats:
    """Return the (C, C) matrix of a flip that picks any class, the true one too."""
    return (1 - rate) * np.eye(num_classes) + rate / num_classes


def next_class(rate: float, num_classes: int) -> Floats:
    """Return the (C, C) matrix that moves `rate` of every class to the class after it."""
    eye = np.eye(num_classes)
    return (1 - rate) * eye + rate * np.roll(eye, 1, axis=1)


def neighbours(rate: float, num_classes: int) -> Floats:
    """Return the (C, C) matrix that moves half of `rate` to each circular neighbour; of two classes both are one."""
    eye = np.eye(num_classes)
    return (1 - rate) * eye + rate / 2 * np.roll(eye, 1, axis=1) + rate / 2 * np.roll(eye, -1, axis=1)

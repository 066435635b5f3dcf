"""Noise that depends on the class alone: our own draw, and the loop over samples that most released code runs."""

import numpy as np

from noise.base import Request
from noise.draws import Floats, flip_by_class, multinomial_loop, native_generator
from noise.families import Drawn


def flipped(request: Request, matrix: Floats, rate: float) -> Drawn:
    """Draw natively from a (C, C) matrix that makes the share `rate` of every class wrong."""
    spec = request.spec
    rng = native_generator(request.seed, spec.family, spec.map, {}, request.clean)
    given = flip_by_class(rng, request.clean, matrix, np.full(request.num_classes, rate), spec.flips)
    return Drawn(given, rate, matrix)


def sampled(request: Request, matrix: Floats, *notes: str) -> Drawn:
    """Draw sample by sample from a (C, C) matrix that makes the rate asked for wrong in every class."""
    given = multinomial_loop(np.random.RandomState(request.seed), request.clean, matrix)
    return Drawn(given, request.rate, matrix, notes=notes)

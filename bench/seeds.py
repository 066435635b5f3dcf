"""Seeds are derived from names, never carried: resuming a run needs no generator state."""

import hashlib

import numpy as np


def derive(seed: int, *parts: str | int) -> int:
    """Return the 63-bit seed of the stream that `parts` name, for a non-negative run or noise seed.

    A part is a stream's name, an epoch, a step or a digest. Equal arguments give equal seeds on every machine;
    different parts give streams that numpy's SeedSequence keeps apart.
    """
    words: list[int] = []
    for part in parts:
        number = part if isinstance(part, int) else int.from_bytes(hashlib.sha256(part.encode()).digest()[:8], "little")
        words += [number & 0xFFFFFFFF, number >> 32]  # spawn_key takes 32-bit words
    state = np.random.SeedSequence(seed, spawn_key=tuple(words)).generate_state(1, np.uint64)[0]
    return int(state >> np.uint64(1))

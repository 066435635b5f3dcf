"""The process of a run that notes when its first training step begins, and ends there.

A target of the fork server in place of the run's own, whose `main` it calls: what a run imports, reads and builds
before its first step is all there.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from bench.sweep.job import Exit


def main(argv: list[str]) -> int:
    """Begin the job in argv[1]; write the time of the first step, by the machine's monotonic clock, to file argv[0]."""
    stamp, *job = argv
    from bench.sweep.run import worker  # the costly part of a run's own start
    from methods import registry

    create = registry.create

    def stamped(spec: str, **params: Any) -> Any:
        method = create(spec, **params)
        inner = method.epoch

        def epoch(clock: Any) -> Iterator[Any]:
            for part in inner(clock):
                yield part._replace(step=_note(Path(stamp)))

        method.__dict__["epoch"] = epoch  # in front of the class's own
        return method

    registry.create = stamped
    worker.main(job)
    return Exit.ERROR  # it had no step


def _note(stamp: Path) -> Any:
    def step(batch: Any, clock: Any) -> NoReturn:
        now = time.monotonic()
        stamp.write_text(repr(now), encoding="ascii")
        os._exit(Exit.OK)

    return step

"""Leasing slots to runs: no device holds more at once than it is asked to, in this launch or in all of a host."""

import contextlib
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future

from bench.devices import Slot
from bench.sweep.supervision.claims import Claims

LOOK_SECONDS = 1.0  # between two looks whether another launcher has left a GPU, or the sweep has ended


class Leases:
    """Hands each slot to one holder at a time, in the order of asking; a device may be held to fewer than it has."""

    def __init__(
        self, places: Sequence[Slot], limits: Mapping[str, int] | None = None, claims: Claims | None = None
    ) -> None:
        """`limits` says how many slots of a device, by its name, may be held at once: at first; others, all.

        With `claims` a slot that another launcher of this host holds is not handed out.
        """
        self._places = list(places)
        self._most = Counter(slot.name for slot in places)  # that a device may ever have again
        self._limits = {**self._most, **(limits or {})}
        self._total = len(self._places)  # that may be held at once of all devices together
        self._claims = claims
        self._held: set[Slot] = set()
        self._used: dict[Slot, float] = dict.fromkeys(places, 0.0)
        self._counted = time.monotonic()
        self._waiting: deque[Future[Slot]] = deque()
        self._said = False  # that others hold all there is
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def lease(self, over: Callable[[], bool] = lambda: False) -> Iterator[Slot | None]:
        """Hold a slot, waiting for one to become free; None once `over`, if there was none until then."""
        turn: Future[Slot] = Future()
        with self._lock:
            self._waiting.append(turn)
            self._hand_out()
        slot = self._wait(turn, over)
        try:
            yield slot
        finally:
            if slot is not None:
                with self._lock:
                    self._count_time()
                    self._held.discard(slot)
                    if self._claims is not None:
                        self._claims.give_back(slot)
                    self._hand_out()

    def _wait(self, turn: Future[Slot], over: Callable[[], bool]) -> Slot | None:
        while True:
            with contextlib.suppress(TimeoutError):
                return turn.result(LOOK_SECONDS)
            with self._lock:
                if over() and not turn.done():
                    self._waiting.remove(turn)
                    return None
                self._hand_out()
                if not self._held and not turn.done() and not self._said:
                    self._said = True
                    names = ", ".join(dict.fromkeys(slot.name for slot in self._places))
                    print(f"waiting: other launchers on this machine hold {names}", file=sys.stderr)

    def held(self, device: str) -> int:
        """How many slots of a device, by its name, are held."""
        with self._lock:
            return self._count()[device]

    def used(self, slot: Slot) -> float:
        """Seconds of its device that a slot has had so far: of a second among n holders, 1/n."""
        with self._lock:
            self._count_time()
            return self._used[slot]

    def allow(self, device: str, number: int) -> int:
        """Let `number` slots of a device be held at once, if it may have so many; return how many it has now.

        What is held stays so: with fewer slots than holders, the next one waits longer.
        """
        with self._lock:
            self._limits[device] = min(max(1, number), self._most[device])
            self._hand_out()
            return self._limits[device]

    def lower(self, device: str) -> int:
        """Take a slot from a device for good, but never its last; return how many it has now."""
        with self._lock:
            if self._limits[device] > 1:
                self._most[device] = self._limits[device] = self._limits[device] - 1
            return self._limits[device]

    def fewer(self) -> int | None:
        """Let one slot less be held of all together, for good; return how many, None if there is but one."""
        with self._lock:
            now = min(self._total, sum(self._limits.values()))
            if now <= 1:
                return None
            self._total = now - 1
            return self._total

    def retire(self, device: str) -> None:
        """Hand out no slot of a device any more."""
        with self._lock:
            self._most[device] = self._limits[device] = 0

    def _count_time(self) -> None:
        """Share the time since the last call among those who held slots in it."""
        now, count = time.monotonic(), self._count()
        for slot in self._held:
            self._used[slot] += (now - self._counted) / count[slot.name]
        self._counted = now

    def _count(self) -> Counter[str]:
        return Counter(slot.name for slot in self._held)

    def _hand_out(self) -> None:
        """Give what is free to whoever has waited longest, from the device with the fewest runs."""
        self._count_time()
        while self._waiting and len(self._held) < self._total:
            count = self._count()
            free = [s for s in self._places if s not in self._held and count[s.name] < self._limits[s.name]]
            free.sort(key=lambda s: count[s.name])
            slot = next((s for s in free if self._claims is None or self._claims.take(s)), None)
            if slot is None:
                return
            self._held.add(slot)
            self._waiting.popleft().set_result(slot)

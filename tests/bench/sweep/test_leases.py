"""No two runs hold one slot at once, of this launch or of another on the same machine."""

import threading
import time

import pytest

from bench.devices import Slot
from bench.sweep.supervision import leases as leasing
from bench.sweep.supervision.leases import Leases


def test_no_slot_is_ever_held_twice_at_once_and_none_is_lost():
    places = [Slot("0", 0), Slot("0", 1), Slot("1", 0)]
    leases, held, clashes, most = Leases(places), set(), [], []
    guard = threading.Lock()

    def take() -> None:
        for _ in range(40):
            with leases.lease() as slot:
                with guard:
                    clashes.extend([slot] if slot in held else [])
                    held.add(slot)
                    most.append(len(held))
                time.sleep(0.0002)
                with guard:
                    held.discard(slot)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clashes == []
    assert max(most) == 3


def test_a_slot_comes_back_when_its_holder_fails():
    leases = Leases([Slot(None, 0)])
    for _ in range(3):
        with pytest.raises(RuntimeError, match="it fails"), leases.lease():
            raise RuntimeError("it fails")
    with leases.lease() as slot:
        assert slot == Slot(None, 0)


class Holder:
    """A thread that takes a slot and keeps it until told."""

    def __init__(self, leases: Leases) -> None:
        self.slot: Slot | None = None
        self.got, self.leave = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.take, args=(leases,))
        self.thread.start()

    def take(self, leases: Leases) -> None:
        with leases.lease() as self.slot:
            self.got.set()
            self.leave.wait(20)

    def end(self) -> None:
        self.leave.set()
        self.thread.join()


def queued(leases: Leases, count: int) -> list[Holder]:
    """Holders who ask one after the other."""
    holders = []
    for _ in range(count):
        asked = len(leases._waiting) + len(leases._held)
        holders.append(Holder(leases))
        while len(leases._waiting) + len(leases._held) == asked:
            time.sleep(0.001)
    return holders


def test_a_device_opens_and_closes_slots_while_runs_hold_some_and_who_waits_longest_is_next():
    leases = Leases([Slot("0", number) for number in range(4)], {"cuda:0": 1})
    first, second, third, fourth = queued(leases, 4)
    assert [holder.got.is_set() for holder in (first, second, third, fourth)] == [True, False, False, False]
    assert leases.allow("cuda:0", 3) == 3
    assert second.got.wait(5)
    assert third.got.wait(5)
    assert not fourth.got.is_set()
    assert leases.held("cuda:0") == 3
    assert leases.lower("cuda:0") == 2
    first.end()
    assert not fourth.got.wait(0.05)  # two are held, as many as there may be
    second.end()
    assert fourth.got.wait(5)
    third.end()
    fourth.end()
    assert leases.allow("cuda:0", 4) == 2  # lowered for good
    assert leases.lower("cuda:0") == 1
    assert leases.lower("cuda:0") == 1
    assert leases.allow("cuda:0", 0) == 1
    assert leases.held("cuda:0") == 0


def test_the_time_of_a_device_is_shared_among_those_who_hold_slots_of_it(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(leasing.time, "monotonic", lambda: now[0])
    first, second, other = Slot("0", 0), Slot("0", 1), Slot("1", 0)
    leases = Leases([first, other, second])
    with leases.lease():  # "0"
        now[0] += 6
        with leases.lease(), leases.lease():  # "1", then "0" too
            now[0] += 8
            assert leases.used(first) == 6 + 8 / 2
        now[0] += 2
    now[0] += 50
    assert [leases.used(slot) for slot in (first, second, other)] == [12.0, 4.0, 8.0]


def test_runs_go_to_the_device_with_the_fewest():
    leases = Leases([Slot(gpu, number) for gpu in ("0", "1") for number in range(2)])
    holders = queued(leases, 3)
    assert [holder.slot.gpu for holder in holders] == ["0", "1", "0"]
    for holder in holders:
        holder.end()


def test_with_fewer_slots_over_all_devices_whoever_holds_one_keeps_it_and_the_next_waits():
    leases = Leases([Slot("0", 0), Slot("1", 0), Slot("1", 1)])
    first, second, third = queued(leases, 3)
    assert leases.fewer() == 2
    (fourth,) = queued(leases, 1)
    first.end()
    assert not fourth.got.wait(0.05)
    second.end()
    assert fourth.got.wait(5)
    assert leases.fewer() == 1
    assert leases.fewer() is None
    third.end()
    fourth.end()
    (last,) = queued(leases, 1)
    assert last.got.wait(5)
    last.end()


def test_no_slot_of_a_retired_device_is_handed_out_and_nothing_brings_it_back():
    leases = Leases([Slot("0", 0), Slot("0", 1), Slot("1", 0)])
    leases.retire("cuda:0")
    assert (leases.allow("cuda:0", 2), leases.lower("cuda:0")) == (0, 0)
    first, second = queued(leases, 2)
    assert first.got.wait(5)
    assert first.slot == Slot("1", 0)
    assert not second.got.wait(0.05)
    first.end()
    assert second.got.wait(5)
    second.end()
    assert leases.fewer() is None

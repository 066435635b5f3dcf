"""Which places for runs there are, and that no two runs hold one place at once."""

import threading
import time

import pytest

from bench.sweep import devices
from bench.sweep.devices import Gpu, Leases, Slot, describe_gpu, slots, visible_gpus


@pytest.fixture
def machine(monkeypatch):
    """A machine with these GPUs and cores."""

    def make(gpus: list[str], cores: int = 8) -> None:
        monkeypatch.setattr(devices, "visible_gpus", lambda: gpus)
        monkeypatch.setattr(devices.os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)

    return make


def names(places: list[Slot]) -> list[str]:
    return [place.name for place in places]


def test_auto_takes_every_gpu_and_the_cpu_only_where_there_is_none(machine):
    machine(["0", "1"])
    assert names(slots("auto", None, 1)) == ["cuda:0", "cuda:1"]
    machine([], cores=3)
    assert names(slots("auto", None, 1)) == ["cpu"] * 3


def test_the_cpu_has_a_slot_for_every_so_many_cores_as_a_run_has_threads(machine):
    machine(["0"], cores=8)
    assert len(slots("cpu", None, 3)) == 2
    assert len(slots("cpu", None, 16)) == 1
    assert len(slots("cpu", 5, 16)) == 5


def test_a_gpu_holds_two_runs_only_if_asked_to_share(machine):
    machine(["0", "1"])
    assert names(slots("cuda:1", None, 1)) == ["cuda:1"]
    assert names(slots("cuda:0,0", None, 1)) == ["cuda:0"]
    assert names(slots("cuda", 2, 1)) == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert len(set(slots("cuda", 2, 1))) == 4


@pytest.mark.parametrize(
    ("gpus", "asked", "per_device", "message"),
    [
        (["0"], "cuda:0,3", None, "--devices cuda:0,3: this machine has cuda:0"),
        ([], "cuda", None, "--devices cuda: this machine has no GPU"),
        (["0"], "cudafoo", None, "--devices takes auto, cpu or cuda:0,1; got 'cudafoo'"),
        (["0"], "gpu", None, "--devices takes auto, cpu or cuda:0,1; got 'gpu'"),
        (["0"], "auto", 0, "--per-device must be at least 1, got 0"),
    ],
)
def test_devices_that_are_not_there_are_refused(machine, gpus, asked, per_device, message):
    machine(gpus)
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        slots(asked, per_device, 1)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("value", "gpus"),
    [("", []), ("-1", []), ("0", ["0"]), ("1, 3", ["1", "3"]), ("GPU-8a,GPU-9b", ["GPU-8a", "GPU-9b"])],
)
def test_what_the_environment_shows_is_what_there_is(monkeypatch, value, gpus):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus() == gpus


def test_gpus_are_counted_by_nvidia_smi_and_not_by_torch(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == []
    tool.write_text('#!/bin/sh\necho 0\necho 1\n[ "$1 $2" = "--query-gpu=index --format=csv,noheader,nounits" ]\n')
    tool.chmod(0o755)
    assert visible_gpus() == ["0", "1"]
    tool.write_text("#!/bin/sh\necho NVIDIA-SMI has failed\nexit 9\n")
    assert visible_gpus() == []


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


def test_a_gpu_tells_its_name_and_memory_by_nvidia_smi_or_nothing_at_all(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert describe_gpu("0") is None
    asked = '[ "$1 $3" = "--query-gpu=name,memory.free,memory.total --id=GPU-8a" ] || exit 9'
    tool.write_text(f"#!/bin/sh\n{asked}\necho NVIDIA H100 80GB HBM3, 80995, 81559\n")
    tool.chmod(0o755)
    assert describe_gpu("GPU-8a") == Gpu("NVIDIA H100 80GB HBM3", 80995.0, 81559.0)
    assert describe_gpu("GPU-9b") is None
    tool.write_text("#!/bin/sh\necho Odd, [N/A], [N/A]\n")
    assert describe_gpu("GPU-8a") is None


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
    monkeypatch.setattr(devices.time, "monotonic", lambda: now[0])
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

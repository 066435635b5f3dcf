"""Which places for runs there are."""

import pytest

from bench import devices
from bench.devices import Gpu, Slot, describe_gpu, slots, visible_gpus


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

"""What a machine is taken to be good at, by its flags and by what nvidia-smi says."""

import os
import platform
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bench import hardware
from bench.config import TrainConfig
from bench.devices import Slot
from bench.hardware import Choice, check, choose, processor

CPU, GPU = Slot(None, 0), Slot("0", 0)
TF32 = TrainConfig("cnn9", precision="tf32")
COMPILED = TrainConfig("cnn9", compile=True)


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch):
    """A machine without GPU whose processor has these flags."""

    def write(flags: str, name: str = "model name\t: A CPU @ 2.0GHz\n") -> None:
        path = tmp_path / f"cpuinfo {len(list(tmp_path.iterdir()))}"
        core = f"processor\t: 0\n{name}flags\t\t: fpu {flags} aes\nbogomips\t: 4890.81\n\n"
        path.write_text(core + core.replace(flags, "other"))
        monkeypatch.setattr(hardware, "CPUINFO", path)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return write


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    """A machine whose nvidia-smi tells of these GPUs, in lines "index, uuid, compute capability"."""

    def tell(*lines: str, visible: str | None = None, code: int = 0) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        echo = "\n".join(f"echo '{line}'" for line in lines)
        tool = folder / "nvidia-smi"
        tool.write_text(
            f'#!/bin/sh\ncase "$1" in\n--query-gpu=index) for n in 0 1; do echo $n; done;;\n'
            f"--query-gpu=index,uuid,compute_cap) {echo or ':'}\nexit {code};;\n*) exit 9;;\nesac\n"
        )
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(folder))
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return tell


@pytest.mark.parametrize(
    ("flags", "chosen"),
    [
        ("avx2 avx512f avx512_bf16 amx_bf16 amx_tile amx_int8", "bf16"),
        ("avx2 avx512f avx512_bf16 amx_tile", "float32"),  # tiles of integers alone
        ("avx2 avx512f avx512_bf16 amx_bf16", "float32"),
        ("avx2 avx512f avx512_bf16", "float32"),  # which only equals float32
        ("avx2", "float32"),
    ],
)
def test_bf16_is_chosen_on_a_cpu_with_amx_alone(cpuinfo, flags, chosen):
    cpuinfo(flags)
    assert choose() == choose("cpu") == Choice(chosen, f"this CPU has {'' if chosen == 'bf16' else 'no '}AMX")
    assert processor().flags == set(flags.split()) - {"amx_int8"}


def test_a_processor_is_known_by_its_first_core_and_read_once(cpuinfo):
    cpuinfo("avx2")
    assert processor().name == "A CPU @ 2.0GHz"
    hardware.CPUINFO.unlink()
    assert processor().flags == {"avx2"}


def test_where_a_processor_has_no_name_or_no_file_the_machine_gives_one(cpuinfo, monkeypatch, tmp_path):
    cpuinfo("asimd", name="")
    assert (processor().name, processor().flags) == (platform.machine(), set())
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "nowhere")
    assert (processor().name, processor().amx) == (platform.machine(), False)


def test_the_flags_of_this_machine_are_those_that_linux_lists():
    if not Path("/proc/cpuinfo").is_file():
        pytest.skip("this is not Linux")
    words = set(Path("/proc/cpuinfo").read_text().split())
    assert processor().flags == words & set(hardware.FLAGS)


@pytest.mark.parametrize(
    ("lines", "visible", "devices", "chosen"),
    [
        (["0, GPU-aa, 9.0", "1, GPU-bb, 8.0"], None, "auto", ("bf16", "8.0")),
        (["0, GPU-aa, 9.0", "1, GPU-bb, 7.5"], None, "auto", ("float32", "7.5")),  # the runs go to both
        (["0, GPU-aa, 9.0", "1, GPU-bb, 7.5"], None, "cuda:0", ("bf16", "9.0")),
        (["0, GPU-aa, 9.0", "1, GPU-bb, 7.5"], "1", "auto", ("float32", "7.5")),
        (["0, GPU-aa, 9.0", "1, GPU-bb, 7.5"], "GPU-a", "auto", ("bf16", "9.0")),
        (["0, GPU-aa, 9.0", "1, GPU-bb, 8.0"], "MIG-cc", "auto", ("bf16", "8.0")),  # of which GPU, is not said
        (["0, GPU-aa, 10.0"], "0", "auto", ("bf16", "10.0")),
    ],
)
def test_bf16_is_chosen_where_every_gpu_of_the_runs_has_tensor_cores_for_it(gpus, lines, visible, devices, chosen):
    gpus(*lines, visible=visible)
    assert choose(devices) == (chosen[0], f"this GPU has compute capability {chosen[1]}")


def test_a_cpu_that_is_asked_for_decides_beside_the_best_of_gpus(cpuinfo, gpus):
    cpuinfo("avx2")
    gpus("0, GPU-aa, 9.0")
    assert choose("cpu") == Choice("float32", "this CPU has no AMX")


@pytest.mark.parametrize(
    ("lines", "code"),
    [(["0, GPU-aa, [N/A]"], 0), (["Field compute_cap is not valid"], 2), (["No devices were found"], 0)],
)
def test_a_gpu_of_which_nothing_is_known_computes_in_float32(gpus, lines, code):
    gpus(*lines, visible="0", code=code)
    assert choose() == Choice("float32", "nvidia-smi does not tell what this GPU can do")


def test_without_nvidia_smi_a_visible_gpu_computes_in_float32(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert choose().precision == "float32"


def test_devices_that_are_not_there_are_refused(cpuinfo):
    cpuinfo("avx2")
    with pytest.raises(ValueError, match="--devices cuda:1: this machine has no GPU"):
        choose("cuda:1")


def test_tf32_is_refused_where_nothing_computes_it(gpus):
    gpus("0, GPU-aa, 8.0", "1, GPU-bb, 7.5")
    check([TF32], [GPU])
    with pytest.raises(ValueError, match=r"^precision tf32 is a format of NVIDIA GPUs, .* to the CPU: take float32$"):
        check([TrainConfig("cnn9"), TF32], [CPU])
    with pytest.raises(ValueError, match=r"^precision tf32 needs compute capability 8\.0, and this GPU has 7\.5$"):
        check([TF32], [GPU, Slot("1", 0)])
    check([TrainConfig("cnn9", precision="bf16")], [CPU, GPU])


def test_compiling_on_the_cpu_needs_a_compiler(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"^compile=true needs a C\+\+ compiler on the CPU, and '.*' is not found: "):
        check([COMPILED], [CPU])
    check([TrainConfig("cnn9")], [CPU])
    check([COMPILED], [GPU])
    own = tmp_path / "my-c++"
    own.touch(0o755)
    monkeypatch.setenv("CXX", str(own))
    check([COMPILED], [CPU])


def test_hardware_is_asked_without_torch():
    code = "import sys; from bench import hardware; hardware.choose('cpu'); sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(hardware.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0

"""Every attempt says by what it was computed, in a real run, and none of it is in the payload."""

from __future__ import annotations

import json
import socket
from importlib import metadata

import pytest
import torch

from bench.sweep.job import Job
from bench.sweep.records import provenance
from bench.sweep.records.store import Store

NEEDED = {"started", "host", "host_hash", "pid", "device", "python", "torch", "numpy", "cuda", "packages", "system"}
NEEDED |= {"cpu", "gpu", "arithmetic", "number", "launch", "code", "method_code", "device_kind", "from_epoch"}


def test_g18_every_attempt_is_recorded_in_full_and_a_result_names_no_host(plan, launch, tmp_path):
    (run,) = plan(order="signal 9", at=2)
    launch([run])
    folder = Store(tmp_path / "results").run(run.run_id)
    result = folder.result()
    starts = [start for start, _ in folder.attempts()]
    assert [start["number"] for start in starts] == [1, 2]
    for start in starts:
        assert start.keys() >= NEEDED
        assert start["packages"]["scipy"] == metadata.version("scipy")
        assert start["cpu"]["kernels"] == torch.backends.cpu.get_cpu_capability()
        assert start["cpu"]["cores"] >= 1
        assert start["arithmetic"] == {"precision": "float32", "deterministic": True, "threads": 1}
        assert (start["gpu"], start["host"]) == (None, socket.gethostname())
        assert len(start["host_hash"]) == 16
    assert [start["from_epoch"] for start in starts] == [0, 2]
    kept = result.provenance["attempts"]
    assert [{**one, "host": socket.gethostname()} for one in kept] == starts
    assert socket.gethostname() not in kept[0].values()
    told = json.dumps(result.payload)
    assert not [name for name in ("host_hash", "kernels", "started", "packages") if f'"{name}"' in told]


def test_f36_a_finished_run_is_seven_files(plan, launch, tmp_path):
    launch(plan("ce", epochs=1))
    files = [path.name for path in (tmp_path / "results" / "runs").rglob("*") if path.is_file()]
    assert len(files) == 7, sorted(files)


def test_the_name_of_a_machine_cannot_be_read_off_its_hash(tmp_path, monkeypatch):
    seen = set()
    for content in (b"one\n", b"two\n", None):
        monkeypatch.setattr(provenance, "MACHINE", tmp_path / "id")
        (tmp_path / "id").unlink(missing_ok=True)
        if content is not None:
            (tmp_path / "id").write_bytes(content)
        seen.add(provenance.host_hash())
        assert provenance.host_hash() in seen
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC 12",
            "535.104.05",
        ),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs)", "570.86.15"),
        ("something else", None),
        (None, None),
    ],
)
def test_the_driver_is_the_kernel_modules(tmp_path, monkeypatch, text, number):
    monkeypatch.setattr(provenance, "DRIVER", tmp_path / "version")
    if text is not None:
        (tmp_path / "version").write_text(text)
    assert provenance.driver() == number


def test_a_package_that_is_not_there_is_left_out(monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "no-such-package"))
    assert provenance.versions() == {"numpy": metadata.version("numpy")}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_recorded_with_driver_cudnn_and_capability(plan):
    (run,) = plan("ce")
    gpu = provenance.environment(Job(run.config.to_dict(), run.spec, "results", None, "cuda:0"))["gpu"]
    assert gpu["name"] == torch.cuda.get_device_name(0)
    assert gpu["driver"] == provenance.driver()
    assert gpu["driver"] is not None
    assert gpu["cudnn"] == torch.backends.cudnn.version()
    assert gpu["memory_mb"] > 1000
    assert gpu["capability"].count(".") == 1

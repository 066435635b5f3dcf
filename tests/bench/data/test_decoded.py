"""The cache of decoded images: room, failures, and two processes that want it."""

import contextlib
import errno
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from bench.data import datasets, decoded
from bench.data.datasets import Dataset
from bench.data.images import Geometry, ImageFiles
from bench.fingerprint import ROOT

ONE = 12 * 12 * 3  # bytes of a decoded image


def files_of(folder: Path, part: str, count: int) -> ImageFiles:
    names = [f"{part}/{number}.png" for number in range(count)]
    (folder / part).mkdir(exist_ok=True)
    for number, name in enumerate(names):
        if not (folder / name).exists():
            pixels = np.random.default_rng(number).integers(0, 256, (15, 18, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name)
    return ImageFiles(folder, names, Geometry(12, 12), key=part)


def dataset_of(folder: Path) -> Dataset:
    train, test = files_of(folder, "train", 20), files_of(folder, "test", 5)
    return Dataset(replace(datasets.info("cifar10"), name="photos"), train, np.arange(20), test, np.arange(5))


def leave_free(monkeypatch: pytest.MonkeyPatch, images: int) -> None:
    usage = SimpleNamespace(free=decoded.SPARE + images * ONE)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)


def pixel_files(folder: Path) -> list[Path]:
    return list(folder.glob(".lnbench/decoded/*/*"))


def test_room_for_all_parts_is_looked_for_before_the_first(tmp_path, monkeypatch):
    told: list[str] = []
    leave_free(monkeypatch, 24)
    with pytest.raises(ValueError, match=r"train, test: decoded images need 0\.0 GiB, .* has 0\.3 free"):
        decoded.decode(dataset_of(tmp_path), tmp_path, told.append)
    assert told == pixel_files(tmp_path) == []
    leave_free(monkeypatch, 25)
    decoded.decode(dataset_of(tmp_path), tmp_path, told.append)
    assert [line.split(" images")[0] for line in told] == ["train: 20 of 20", "test: 5 of 5"]


def test_what_is_decoded_needs_no_room_and_what_a_killed_build_left_is_room(tmp_path, monkeypatch):
    data = dataset_of(tmp_path)
    decoded.decode(data, tmp_path, lambda line: None)
    leave_free(monkeypatch, -1)
    told: list[str] = []
    decoded.decode(data, tmp_path, told.append)
    assert [line.split(",")[0] for line in told] == ["train: decoded already", "test: decoded already"]
    home = decoded.folder_of(data.test_images, tmp_path)
    (home / "complete.json").unlink()
    (home / "pixels.u8").write_bytes(bytes(3 * ONE))
    leave_free(monkeypatch, 1)
    with pytest.raises(ValueError, match=r"^test: decoded images need"):
        decoded.decode(data, tmp_path, told.append)
    leave_free(monkeypatch, 2)
    decoded.decode(data, tmp_path, told.append)
    assert np.array_equal(decoded.best(data.test_images, tmp_path)[np.arange(5)], data.test_images[np.arange(5)])


def test_a_build_that_fails_gives_its_room_back(tmp_path, monkeypatch):
    monkeypatch.setattr(decoded, "CHUNK", 4)
    data = dataset_of(tmp_path)
    (tmp_path / "train/9.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"9\.png cannot be read"):
        decoded.decode(data, tmp_path, lambda line: None)
    assert pixel_files(tmp_path) == []


def test_a_disk_that_is_full_after_all_is_told_in_one_line(tmp_path, monkeypatch):
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(decoded, "publish", refuse)
    with pytest.raises(ValueError, match=r"decoded images cannot be written to .*decoded: No space left on device"):
        decoded.decode(dataset_of(tmp_path), tmp_path, lambda line: None)
    assert pixel_files(tmp_path) == []


def test_who_finds_another_at_work_says_so_and_waits(tmp_path):
    data, told = dataset_of(tmp_path), []
    home = decoded.folder_of(data.train_images, tmp_path)
    home.parent.mkdir(parents=True)
    with (home.parent / f"{home.name}.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def listen(line: str) -> None:
            told.append(line)
            fcntl.flock(other, fcntl.LOCK_UN)

        decoded.decode(data, tmp_path, listen)
    assert told[0] == "train: another process decodes these images, waiting for it"
    assert told[1].startswith("train: 20 of 20 images")


BUILD = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import test_decoded
from bench.data import decoded, images
fast = images.decode
def slow(path, geometry):
    time.sleep(float(sys.argv[2]))
    return fast(path, geometry)
images.decode = slow
decoded.CHUNK = 2
folder = Path(sys.argv[1])
print("ready", flush=True)
decoded.decode(test_decoded.dataset_of(folder), folder, lambda line: print(line, flush=True))
"""


@contextlib.contextmanager
def building(folder: Path, delay: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", BUILD, str(folder), str(delay), str(Path(__file__).parent)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_who_waits_for_a_build_that_is_killed_makes_it_whole(tmp_path):
    data = dataset_of(tmp_path)
    home = decoded.folder_of(data.train_images, tmp_path)
    with building(tmp_path, 60) as first:
        while not (home / "pixels.u8").exists():
            assert first.poll() is None
            select.select([], [], [], 0.01)
        with building(tmp_path, 0) as second:
            assert second.stdout is not None
            assert "waiting" in second.stdout.readline()
            first.send_signal(signal.SIGKILL)
            first.wait()
            told, errors = second.communicate(timeout=60)
            assert second.returncode == 0, errors
            assert told.startswith("train: 20 of 20 images")
    for files in (data.train_images, data.test_images):
        mapped = decoded.best(files, tmp_path)
        assert isinstance(mapped, np.memmap)
        assert np.array_equal(mapped[np.arange(len(files))], files[np.arange(len(files))])


def test_another_decoder_has_another_cache(tmp_path, monkeypatch):
    import PIL

    files = files_of(tmp_path, "train", 2)
    home = decoded.folder_of(files, tmp_path)
    monkeypatch.setattr(PIL, "__version__", "0.0")
    assert decoded.folder_of(files, tmp_path) != home

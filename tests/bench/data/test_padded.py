"""Padded copies on disk: mapped by all, changed by none, made once, and never believed where they might be wrong."""

import fcntl
import json
import os
import select
import shutil
import signal
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bench import cli
from bench.data import datasets, padded, shared
from bench.data.datasets import Dataset
from bench.data.loader import form_of
from bench.data.padded import COMPLETE, FOLDER, Form
from bench.data.shared import SharedImages
from bench.data.store import Store, pad

CPU = torch.device("cpu")
FORM = Form(4, False, True)
SIZE = 24 * 40 * 40 * 3


@pytest.fixture
def home(tiny_source, monkeypatch) -> Path:
    """The data folder of a cifar10 of 20 and 4 images, which are worth a copy."""
    monkeypatch.setattr(shared, "WORTH", 0)
    monkeypatch.setattr(padded, "CHUNK", 8)
    return tiny_source[1]


def ready(home: Path, augment: str = "crop_flip", channels_last: bool = True) -> Dataset:
    return shared.load("cifar10", home, partial(form_of, augment=augment, channels_last=channels_last), pad)


def mapped(home: Path) -> np.ndarray:
    """The padded training images as a process maps them anew."""
    images = ready(home).train_images
    assert isinstance(images, SharedImages)
    assert images.stored is not None
    return np.frombuffer(images.stored, np.uint8).reshape(20, 40, 40, 3)


def expected(home: Path) -> np.ndarray:
    images = datasets.load("cifar10", home).train_images
    return np.pad(images, [(0, 0), (4, 4), (4, 4), (0, 0)])


def copy_in(home: Path) -> Path:
    (found,) = (home / FOLDER).glob("*/")
    return found


def child(work: Callable[[], object]) -> int:
    """Do some work in a process of its own, which ends with 0 if it came to its end."""
    number = os.fork()
    if number == 0:  # no pytest in here
        code = 1
        try:
            signal.alarm(60)
            torch.set_num_threads(1)  # those of the parent are not there to help
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return number


def ended(number: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def test_the_second_run_reads_no_official_file_and_gets_the_same(home, monkeypatch):
    first = ready(home)
    official = datasets.load("cifar10", home)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", _only_ours(Path.read_bytes))
        second = ready(home)
        images = Store.of(second.train_images, FORM, CPU).pixels.numpy()
    assert np.array_equal(images, expected(home))
    for data in (first, second):
        assert isinstance(data.train_images, SharedImages)
        assert data.info == official.info
        assert np.array_equal(data.train_labels, official.train_labels)
        assert np.array_equal(data.test_labels, official.test_labels)
        assert data.train_labels.dtype == np.int64


def _only_ours(read: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
    def checked(path: Path) -> bytes:
        assert ".lnbench" in path.parts, f"{path} was read"
        return read(path)

    return checked


def test_who_asks_for_pixels_has_the_official_files_read(home):
    ready(home)
    again, official = ready(home), datasets.load("cifar10", home)
    rows = np.array([3, 0, 19])
    assert np.array_equal(again.train_images[rows], official.train_images[rows])
    assert np.array_equal(np.asarray(again.test_images), official.test_images)
    assert (len(again.train_images), again.test_images.shape) == (20, (4, 32, 32, 3))


def test_who_asks_for_a_copy_of_the_pixels_gets_one_and_who_refuses_one_gets_the_pixels(home):
    images = ready(home).train_images
    source = np.asarray(images)
    assert np.shares_memory(np.array(images, copy=None), source)
    assert np.shares_memory(np.array(images, copy=False), source)
    assert not np.shares_memory(np.array(images, copy=True), source)
    assert np.array(images, np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="copy"):
        np.asarray(images, np.float32, copy=False)


def test_two_versions_of_the_code_keep_a_copy_each(home, monkeypatch):
    mapped(home)
    made = builds(monkeypatch)
    with monkeypatch.context() as later:
        later.setattr(padded, "VERSION", padded.VERSION + 1)
        mapped(home)
        assert len(made) == 1
    mapped(home)
    assert len(made) == 1


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("augment", ["none", "crop_flip", "crop_flip_reflect"])
def test_a_copy_of_each_form_holds_what_padding_gives(home, augment, channels_last):
    form, official = form_of(datasets.info("cifar10"), augment, channels_last), datasets.load("cifar10", home)
    for _ in range(2):
        data = ready(home, augment, channels_last)
        for images, plain in ((data.train_images, official.train_images), (data.test_images, official.test_images)):
            mode = "reflect" if form.reflect else "constant"
            wanted = np.pad(plain, [(0, 0), *[(form.padding, form.padding)] * 2, (0, 0)], mode=mode)
            found = Store.of(images, form, CPU).pixels
            assert np.array_equal(found if channels_last else found.permute(0, 2, 3, 1), wanted)
    assert copy_in(home).name == f"cifar10-{official.info.digest[:12]}-{form}-v{padded.VERSION}"


def test_a_small_set_leaves_nothing_behind(tiny_source):
    data = ready(tiny_source[1])
    assert isinstance(data.train_images, np.ndarray)
    assert not (tiny_source[1] / FOLDER).exists()


def test_a_set_without_official_files_is_kept_in_memory(home):
    load = partial(shared.load, "digits", home, partial(form_of, augment="none", channels_last=True), pad)
    assert isinstance(load().train_images, np.ndarray)
    assert not (home / FOLDER).exists()


def test_writing_into_what_is_mapped_reaches_no_file_and_no_other_process(home):
    pixels = Store.of(ready(home).train_images, FORM, CPU).pixels
    before = (copy_in(home) / "train.u8").read_bytes()
    pixels.fill_(9)
    assert (copy_in(home) / "train.u8").read_bytes() == before
    assert ended(child(lambda: np.testing.assert_array_equal(mapped(home), expected(home)))) == 0


def mapping(path: Path) -> dict[str, int]:
    """What /proc/self/smaps says of the mapping of a file, in KiB."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    next(line for line in lines if line.endswith(str(path)))
    found = {}
    for line in lines:
        name, _, rest = line.partition(":")
        if not rest.endswith(" kB"):
            break
        found[name] = int(rest.split()[0])
    return found


def test_two_processes_hold_one_copy_in_memory(home):
    wanted = expected(home)
    mapped(home)
    (told, tell), (held, hold) = os.pipe(), os.pipe()

    def other() -> None:
        pixels = mapped(home)
        assert np.array_equal(pixels, wanted)
        os.write(tell, b"x")
        select.select([held], [], [], 60)
        assert len(pixels) == 20

    number = child(other)
    assert select.select([told], [], [], 60)[0]
    pixels = mapped(home)
    assert np.array_equal(pixels, wanted)
    memory = mapping(copy_in(home) / "train.u8")
    os.write(hold, b"x")
    assert ended(number) == 0
    pages = -(-20 * 40 * 40 * 3 // 4096) * 4
    assert memory["Rss"] == memory["Shared_Clean"] == pages
    assert memory["Pss"] <= pages // 2 + 1
    for end in (told, tell, held, hold):
        os.close(end)


def killed(home: Path, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a copy and be killed on the way."""
    chunks = iter(range(2))

    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def some(images: np.ndarray, form: Form) -> np.ndarray:
        if next(chunks, None) is None:
            die()
        return pad(images, form)

    if moment != "between two chunks":
        monkeypatch.setattr(padded, moment, die)
    padding = some if moment == "between two chunks" else pad
    shared.load("cifar10", home, partial(form_of, augment="crop_flip", channels_last=True), padding)


@pytest.mark.parametrize("moment", ["between two chunks", "publish", "_mapped"])
def test_a_copy_that_was_killed_on_the_way_is_made_again(home, moment, monkeypatch):
    assert ended(child(lambda: killed(home, moment, monkeypatch))) == -signal.SIGKILL
    assert (copy_in(home) / COMPLETE).exists() is (moment == "_mapped")
    assert np.array_equal(mapped(home), expected(home))
    assert (copy_in(home) / COMPLETE).exists()


def test_of_two_processes_that_want_a_copy_one_makes_it_and_one_waits(home, monkeypatch):
    real, count = padded.Copy._write, home / "count"

    def slow(*args: object) -> None:
        with count.open("a") as file:
            file.write("x")
        time.sleep(0.3)
        real(*args)

    monkeypatch.setattr(padded.Copy, "_write", slow)
    children = [child(lambda: np.testing.assert_array_equal(mapped(home), expected(home))) for _ in range(3)]
    assert [ended(number) for number in children] == [0, 0, 0]
    assert count.read_text() == "x"


def test_a_copy_that_vanishes_while_it_is_opened_is_made_again(home, monkeypatch):
    mapped(home)
    real, gone = padded._mapped, []

    def vanish(path: Path, said: dict) -> object:
        if not gone:
            gone.append(path)
            shutil.rmtree(path.parent)
        return real(path, said)

    monkeypatch.setattr(padded, "_mapped", vanish)
    assert np.array_equal(mapped(home), expected(home))
    assert len(gone) == 1


def _append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def _overwrite(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("damage", [_append, _cut, _touch, _overwrite, Path.unlink])
@pytest.mark.parametrize("file", ["train.u8", "test.u8", "labels.i64", COMPLETE])
def test_a_damaged_copy_is_made_again(home, file, damage, monkeypatch):
    labels = ready(home).train_labels
    made = builds(monkeypatch)
    damage(copy_in(home) / file)
    assert np.array_equal(mapped(home), expected(home))
    assert np.array_equal(ready(home).train_labels, labels)
    unseen = damage is _touch and file in (COMPLETE, "labels.i64")  # these are read as a whole, and so verified
    assert len(made) == (0 if unseen else 1)


def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The copies that are made from now on."""
    made, real = [], padded.Copy._write

    def counted(copy: padded.Copy, *args: object) -> None:
        made.append(copy.home)
        real(copy, *args)

    monkeypatch.setattr(padded.Copy, "_write", counted)
    return made


@pytest.mark.parametrize("said", ["[]", "{}", "null", '{"version": 1}', "{", "\x00"])
def test_a_note_that_says_nothing_is_not_believed(home, said):
    mapped(home)
    (copy_in(home) / COMPLETE).write_text(said)
    assert np.array_equal(mapped(home), expected(home))


@pytest.mark.parametrize("change", [{"version": 0}, {"digest": "0" * 64}, {"form": "4-mirrored-nhwc"}, {"sources": {}}])
def test_a_copy_of_something_else_is_not_believed(home, change, monkeypatch):
    mapped(home)
    note, made = copy_in(home) / COMPLETE, builds(monkeypatch)
    note.write_text(json.dumps(json.loads(note.read_bytes()) | change))
    assert np.array_equal(mapped(home), expected(home))
    assert len(made) == 1


def test_pixels_of_another_number_than_the_set_has_are_not_believed(home, monkeypatch):
    mapped(home)
    path, made = copy_in(home), builds(monkeypatch)
    with (path / "test.u8").open("ab") as file:
        file.write(b"x")
    told = json.loads((path / COMPLETE).read_bytes())
    told["files"]["test.u8"]["stamp"] = padded.stamp(path / "test.u8")
    (path / COMPLETE).write_text(json.dumps(told))
    assert np.array_equal(mapped(home), expected(home))
    assert len(made) == 1


def test_official_files_that_were_touched_are_read_and_verified_again(home, monkeypatch):
    mapped(home)
    made = builds(monkeypatch)
    mapped(home)
    assert made == []
    _touch(home / datasets.info("cifar10").files[2])
    assert np.array_equal(mapped(home), expected(home))
    mapped(home)
    assert made == [copy_in(home)]


def test_official_files_that_are_others_now_are_refused_whatever_was_copied(home):
    mapped(home)
    path = home / datasets.info("cifar10").files[2]
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="data_batch_3"):
        ready(home)
    path.unlink()
    with pytest.raises(datasets.MissingDataError, match=r"no cifar-10-batches-py/data_batch_3"):
        ready(home)


def test_a_digest_that_is_not_the_pinned_one_is_refused_and_leaves_no_copy(home, monkeypatch):
    monkeypatch.setattr(datasets, "digest_of", lambda arrays: "0" * 64)
    with pytest.raises(ValueError, match="digest of labels and pixels is 000"):
        ready(home)
    assert not list((home / FOLDER).glob("*/"))


def own(home: Path, capsys: pytest.CaptureFixture[str], why: str) -> None:
    """A run gets its images, tells once that they are its own, and leaves nothing half-made behind."""
    for _ in range(2):
        data = ready(home)
        assert isinstance(data.train_images, SharedImages)
        assert data.train_images.stored is None
        assert np.array_equal(Store.of(data.train_images, FORM, CPU).pixels, expected(home))
        assert np.array_equal(data.train_labels, datasets.load("cifar10", home).train_labels)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("images are not shared with other runs: no copy in ")
        assert why in line
    assert not list((home / FOLDER).glob("*/"))


def test_a_full_disk_costs_memory_and_one_line(home, capsys, monkeypatch):
    room = SimpleNamespace(free=padded.SPARE + SIZE - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: room)
    own(home, capsys, "No space left on device")
    room.free += 1
    assert np.array_equal(mapped(home), expected(home))


def test_a_disk_that_fills_while_it_is_written_costs_no_more(home, capsys, monkeypatch):
    monkeypatch.setattr(os, "fsync", _no_room)
    own(home, capsys, "No space left on device")


def _no_room(fd: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_folder_that_cannot_be_written_costs_no_more(home, capsys):
    (home / ".lnbench").write_bytes(b"")  # to the owner of everything no folder is read-only
    own(home, capsys, "Not a directory")


def test_a_file_system_without_locks_costs_no_more(home, capsys, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    own(home, capsys, "No locks available")


def test_a_copy_is_used_where_nothing_can_be_written(home, monkeypatch):
    mapped(home)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert np.array_equal(mapped(home), expected(home))


def doctor(home: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    return cli.main(["doctor", "cifar10", "--data-dir", str(home)]), capsys.readouterr().out


def test_the_doctor_tells_what_copies_take_and_whether_they_are_whole(home, capsys):
    assert "removed" not in doctor(home, capsys)[1]
    mapped(home)
    path = copy_in(home)
    code, out = doctor(home, capsys)
    assert (code, f"0 MiB in {path}: images as runs map them; it can be removed" in out) == (0, True)
    before = padded.stamp(path / "train.u8")
    with (path / "train.u8").open("r+b") as file:  # rotten: neither size nor time tell
        file.seek(5000)
        file.write(b"\xff\x01")
    os.utime(path / "train.u8", ns=(before[1], before[1]))
    assert padded.stamp(path / "train.u8") == before
    code, out = doctor(home, capsys)
    assert (code, f"BROKEN   {path / 'train.u8'} is damaged; remove {path}, and a run makes it anew" in out) == (
        2,
        True,
    )
    (path / COMPLETE).unlink()
    code, out = doctor(home, capsys)
    assert (code, f"{path}: a copy that is being made or was never finished" in out) == (0, True)

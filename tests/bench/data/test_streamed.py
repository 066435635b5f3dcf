"""Streaming: read ahead but not far, the same draws as in memory, and epochs of a balanced size."""

import gc
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data import datasets, decoded, streamed
from bench.data.datasets import Dataset, DatasetInfo
from bench.data.images import Geometry, ImageFiles
from bench.data.loader import Resident, Samples
from bench.data.streamed import Streamed
from bench.seeds import derive

INFO = replace(datasets.info("cifar10"), num_classes=3, shape=(3, 6, 6), margin=2)
PASS = {"shuffle": True, "seed": 5, "stream": "m", "drop_single": True}


class Shelf:
    """Images that remember what was read of them, and that somebody may be waiting for."""

    def __init__(self, count: int, broken: int | None = None) -> None:
        self.pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        self.reads: list[list[int]] = []
        self.broken = broken
        self.came = threading.Condition()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.pixels.shape

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        with self.came:
            self.reads.append(rows.tolist())
            self.came.notify_all()
        if self.broken in rows:
            raise ValueError(f"image {self.broken} cannot be read: torn")
        return self.pixels[rows]

    def wait_for(self, reads: int) -> None:
        with self.came:
            assert self.came.wait_for(lambda: len(self.reads) >= reads, timeout=30)


def stream(shelf: Shelf, info: DatasetInfo = INFO, augment: str = "crop_flip") -> Streamed:
    rows = np.arange(len(shelf))[::-1].copy()
    return Streamed(shelf, rows, np.arange(len(shelf)) % 3, info, "cpu", False, augment)


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_the_next_batches_are_read_while_one_is_used_but_no_more():
    shelf = Shelf(40)
    batches = iter(stream(shelf).plain(4))
    for taken in range(1, 11):
        next(batches)
        wanted = min(10, taken + streamed.AHEAD - 1)
        shelf.wait_for(wanted)
        assert len(shelf.reads) <= taken + streamed.AHEAD
    assert next(batches, None) is None
    assert sorted(shelf.reads, reverse=True) == [list(range(39 - start, 35 - start, -1)) for start in range(0, 40, 4)]
    assert readers() == []


def test_no_thread_runs_before_a_pass_or_after_it_was_dropped():
    loader = stream(Shelf(40))
    batches = loader.batches(batch_size=4, epoch=0, **PASS)
    assert readers() == []
    iterator = iter(batches)
    next(iterator)
    assert len(readers()) == streamed.AHEAD
    del iterator
    gc.collect()
    assert readers() == []


def test_a_batch_before_the_torn_image_comes_and_then_the_error():
    batches = iter(stream(Shelf(12, broken=5)).plain(4))  # row 5 is at position 6
    assert next(batches).index.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="image 5 cannot be read: torn"):
        next(batches)
    assert readers() == []


def test_a_pass_over_nothing_reads_nothing():
    shelf = Shelf(12)
    batches = stream(shelf).batches(batch_size=4, subset=torch.tensor([], dtype=torch.int64), epoch=0, **PASS)
    assert (len(batches), list(batches), shelf.reads) == (0, [], [])


def test_a_pass_can_be_had_twice_and_two_at_once():
    loader = stream(Shelf(12))
    batches = loader.batches(batch_size=5, epoch=0, **PASS)
    pairs = list(zip(batches, batches, strict=True))
    assert len(pairs) == 3
    assert all(torch.equal(first.x, second.x) for first, second in pairs)


def test_images_and_labels_of_unequal_number_are_refused():
    with pytest.raises(ValueError, match="cifar10: 3 images, but 2 labels"):
        Streamed(Shelf(5), np.arange(3), np.arange(2), INFO, "cpu", False, "none")


def folder_of(folder: Path, count: int = 9) -> Dataset:
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 25, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    files = ImageFiles(folder, [f"{number}.png" for number in range(count)], Geometry(8, 8), key="k")
    return Dataset(INFO, files, np.arange(count) % 3, files, np.arange(count) % 3)


def test_files_their_cache_and_memory_give_the_same_batches(tmp_path):
    data = folder_of(tmp_path)
    decoded.decode(data, tmp_path, lambda line: None)
    mapped, rows = decoded.best(data.train_images, tmp_path), np.arange(9)
    assert isinstance(mapped, np.memmap)
    how = (data.train_labels, INFO, "cpu", True, "crop_flip")
    loaders: list[Samples] = [Streamed(images, rows, *how) for images in (data.train_images, mapped)]
    loaders.append(Resident(data.train_images[rows], *how))
    files, cache, memory = ([batch.x for batch in loader.batches(batch_size=4, epoch=1, **PASS)] for loader in loaders)
    for ours, theirs, others in zip(files, cache, memory, strict=True):
        assert torch.equal(ours, theirs)
        assert torch.equal(ours, others)


def test_a_forked_process_reads_images_too(tmp_path):
    files = folder_of(tmp_path).train_images
    expected = files[np.arange(9)]  # the threads of this process run from here on
    child = os.fork()
    if child == 0:  # no assert, no pytest in here
        same = False
        try:
            import signal

            signal.alarm(30)
            same = np.array_equal(files[np.arange(9)], expected)
        finally:
            os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def walked(given: np.ndarray, size: int, num_classes: int, key: np.ndarray) -> set[int]:
    """DivideMix's rule as its code has it: in random order, until the class or the set is full."""
    chosen: list[int] = []
    count = [0] * num_classes
    for position in np.argsort(key):
        if count[given[position]] < size / num_classes and len(chosen) < size:
            chosen.append(int(position))
            count[given[position]] += 1
    return set(chosen)


@pytest.mark.parametrize("size", [90, 100, 50, 35, 1, 1000])
@pytest.mark.parametrize("kind", [Resident, Streamed])
def test_an_epoch_of_given_size_follows_dividemix(kind, size):
    shelf = Shelf(300)
    given = np.random.default_rng(1).permutation(np.repeat([0, 1, 2], [30, 70, 200]))
    info = replace(INFO, epoch_size=size)
    how = (given, info, "cpu", True, "none")
    loader = Resident(shelf.pixels, *how) if kind is Resident else Streamed(shelf, np.arange(300), *how)
    for epoch in (0, 1):
        key = np.random.default_rng(derive(5, "epoch", "m", epoch)).random(300)
        batches = loader.batches(batch_size=8, epoch=epoch, **{**PASS, "drop_single": False})
        index = torch.cat([batch.index for batch in batches]).tolist()
        assert len(index) == len(set(index))
        assert set(index) == walked(given, size, 3, key)


def test_an_epoch_has_the_whole_size_where_the_classes_have_it():
    info = replace(INFO, epoch_size=100)
    given = np.arange(300) % 3
    loader = Resident(Shelf(300).pixels, given, info, "cpu", True, "none")
    index = torch.cat([batch.index for batch in loader.batches(batch_size=8, epoch=0, **PASS)]).numpy()
    assert np.bincount(given[index]).sum() == 100
    assert np.bincount(given[index]).max() <= 34
    unshuffled = loader.batches(batch_size=8, epoch=0, **{**PASS, "shuffle": False})
    assert sum(len(batch.index) for batch in unshuffled) == 300

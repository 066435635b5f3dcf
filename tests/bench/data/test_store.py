"""Images in memory once: for the splits of a run and the runs of a process, with the bits of a plain gather."""

import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import noise
from bench.config import DatasetConfig, MethodConfig, NoiseConfig, RunConfig, TrainConfig
from bench.data import augment, datasets, image_ops, noisy, padded, shared, store
from bench.data.augment import Draws
from bench.data.datasets import Dataset, DatasetInfo
from bench.data.loader import Resident, form_of
from bench.data.prepare import Prepared, assemble, prepare
from bench.data.shared import SharedImages
from bench.data.store import Store
from bench.data.streamed import Streamed
from bench.data.strong import Strong
from bench.seeds import derive
from methods import registry

CPU = torch.device("cpu")
PASS = {"shuffle": True, "seed": 5, "stream": "m", "epoch": 2, "drop_single": False, "batch_size": 6}


def info_of(shape: tuple[int, int, int], margin: int, pixel_max: int = 255) -> DatasetInfo:
    known, channels = datasets.info("cifar10"), shape[0]
    mean, std = known.mean[:channels], known.std[:channels]
    return replace(known, shape=shape, margin=margin, pixel_max=pixel_max, mean=mean, std=std)


def pixels_of(info: DatasetInfo, count: int = 40) -> np.ndarray:
    channels, height, width = info.shape
    size = (count, height + info.margin, width + info.margin, channels)
    return np.random.default_rng(3).integers(0, info.pixel_max + 1, size, dtype=np.uint8)


def gathered(
    images: np.ndarray, index: Tensor, draws: Draws, info: DatasetInfo, name: str, last: bool, strong: Strong
) -> Tensor:
    """What a batch is by the plainest means: one gather from all windows of a padded copy, and a choice by mask."""
    padding = 0 if info.margin else augment.padding_of(name)
    mode = "reflect" if padding and augment.reflects(name) else "constant"
    whole = np.pad(images, [(0, 0), (padding, padding), (padding, padding), (0, 0)], mode=mode)
    windows = np.lib.stride_tricks.sliding_window_view(whole, info.shape[1:], axis=(1, 2))  # (N, s+1, s+1, A, H, W)
    at = index.numpy()
    pixels = torch.from_numpy(windows[at, draws.dy.numpy()[at], draws.dx.numpy()[at]])
    if draws.flip is not None:
        pixels = torch.where(draws.flip[index][:, None, None, None], pixels.flip(-1), pixels)
    if draws.turn is not None:
        pixels = image_ops.turn(pixels, draws.turn[index])
    mean, std = torch.tensor([info.mean, info.std], dtype=torch.float64)[:, :, None, None]
    scale, shift = (1 / (info.pixel_max * std)).float(), (-mean / std).float()
    if draws.strong is not None:
        if info.pixel_max != 255:
            pixels, scale = (pixels.float() * (255 / info.pixel_max)).round().byte(), scale * (info.pixel_max / 255)
        pixels = strong.apply(pixels, draws.strong.of(index))
    return (pixels.float() * scale + shift).contiguous(
        memory_format=torch.channels_last if last else torch.contiguous_format
    )


def strides(shape: tuple[int, int, int], last: bool) -> tuple[int, ...]:
    """How a batch lies: a convolution may go by that even where it means nothing, as for a single channel."""
    channels, height, width = shape
    step = (1, width * channels, channels) if last else (height * width, width, 1)
    return channels * height * width, *step


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("kind", [Resident, Streamed])
@pytest.mark.parametrize(
    ("name", "margin"), [("none", 0), ("crop_flip", 0), ("crop_flip_reflect", 0), ("crop_flip", 3)]
)
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 8, 8), (3, 5, 7)])
@pytest.mark.parametrize(("rotate", "pixel_max"), [(0.0, 255), (15.0, 16)])
def test_batches_are_those_of_a_plain_gather_bit_for_bit(shape, name, margin, kind, last, rotate, pixel_max):
    info = info_of(shape, margin, pixel_max)
    images, rows, given = pixels_of(info), np.random.default_rng(0).permutation(40)[:23], np.arange(23) % 10
    how = (given, info, "cpu", last, name, True, "randaugment", rotate)
    strong = Strong("randaugment", *shape[1:], CPU)
    if kind is Resident:
        data = Resident(Store.of(images, form_of(info, name, last), CPU), *how, rows=rows)
    else:
        data = Streamed(images, rows, *how)
    views = ("weak", "plain", "strong", "weak")
    for asked in ({}, {"subset": torch.arange(1, 23, 2)}, {"shuffle": False}):
        for batch in data.batches(**PASS | asked, views=views):
            for place, (view, found) in enumerate(zip(views, batch.views, strict=True)):
                stream = derive(5, "augment", "m", place, 2)
                plain = view == "plain"
                slack = info.margin or 2 * augment.padding_of(name)
                draws = augment.draw(stream, 23, "none" if plain else name, slack, 0.0 if plain else rotate)
                if view == "strong":
                    draws = replace(draws, strong=strong.draw(derive(stream, "strong"), 23))
                wanted = gathered(images[rows], batch.index, draws, info, name, last, strong)
                assert torch.equal(found, wanted)
                assert found.is_contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
                if view != "strong" and not rotate:
                    assert found.stride() == strides(shape, last)
            assert batch.y.tolist() == given[batch.index.numpy()].tolist()


def test_one_batch_is_what_the_pass_gives():
    info = info_of((3, 8, 8), 0)
    data = Resident(pixels_of(info), np.zeros(40, np.int64), info, "cpu", True, "crop_flip", rows=None)
    draws = augment.draw(derive(5, "augment", "m", 0, 2), 40, "crop_flip", 8)
    for batch in data.batches(**PASS):
        assert torch.equal(data.view(batch.index, draws), batch.x)


def test_a_pass_gives_the_same_again_whatever_a_method_wrote_into_it():
    info = info_of((3, 8, 8), 0)
    data = Resident(pixels_of(info), np.arange(40) % 10, info, "cpu", True, "crop_flip")
    batches = data.batches(**PASS)
    first = [(batch.index.clone(), batch.y.clone(), batch.x.clone()) for batch in batches]
    for batch in batches:
        for part in (batch.index, batch.y, batch.x):
            part.zero_()
    for (index, y, x), batch in zip(first, batches, strict=True):
        assert torch.equal(index, batch.index)
        assert torch.equal(y, batch.y)
        assert torch.equal(x, batch.x)


def test_rows_and_labels_of_unequal_number_are_refused():
    info = info_of((3, 8, 8), 0)
    images = Store.of(pixels_of(info), form_of(info, "none", True), CPU)
    with pytest.raises(ValueError, match="cifar10: 3 images, but 2 labels"):
        Resident(images, np.zeros(2, np.int64), info, "cpu", True, "none", rows=np.arange(3))
    with pytest.raises(ValueError, match="cifar10: 40 images, but 2 labels"):
        Resident(images, np.zeros(2, np.int64), info, "cpu", True, "none")


@pytest.fixture
def home(tiny_source, monkeypatch) -> Iterator[Path]:
    """The data folder of a cifar10 of 20 and 4 images, which are worth sharing."""
    monkeypatch.setattr(shared, "WORTH", 0)
    yield tiny_source[1]
    gc.collect()
    assert not list(store._STORES)  # what nobody uses is not kept


def config(spec: str = "symmetric:0.4", **train: object) -> RunConfig:
    info = datasets.info("cifar10")
    return RunConfig(
        DatasetConfig("cifar10", info.digest, val=0.2),
        NoiseConfig(**noise.NoiseSpec.parse(spec).to_dict(), seed=3),
        MethodConfig("ce", registry.describe("ce").resolve({})),
        TrainConfig("digits_cnn", epochs=1, batch_size=4, augment="crop_flip", trace_samples=5, **train),
        0,
    )


def places(data: Prepared) -> dict[str, int]:
    """Where in memory the images of each split lie."""
    found = {}
    for name, split in data.splits.items():
        assert isinstance(split, Resident)
        found[name] = split.store.pixels.data_ptr()
    return found


def test_splits_of_a_run_and_runs_of_a_process_share_one_store(home):
    first = prepare(config(), home, None, CPU)
    assert set(first.splits) == {"train", "val", "test", "trace"}
    found = places(first)
    assert found["train"] == found["val"] == found["trace"] != found["test"]
    second = prepare(replace(config(), seed=1), home, None, CPU)
    assert places(second) == found
    for other in (config(channels_last=False), replace(config(), train=replace(config().train, augment="none"))):
        assert not set(places(prepare(other, home, None, CPU)).values()) & set(found.values())


def test_runs_share_their_own_memory_where_there_is_no_copy_on_disk(home, capsys):
    (home / ".lnbench").write_bytes(b"")
    first, second = prepare(config(), home, None, CPU), prepare(config(), home, None, CPU)
    assert places(first) == places(second)
    assert capsys.readouterr().err.count("images are not shared") == 2


def test_shared_and_private_images_give_the_same_batches(home, monkeypatch):
    prepare(config(), home, None, CPU)
    mapped = prepare(config(), home, None, CPU)
    monkeypatch.setattr(shared, "WORTH", 2**40)
    private = prepare(config(), home, None, CPU)
    assert not set(places(mapped).values()) & set(places(private).values())
    for name, split in private.splits.items():
        for one, two in zip(split.batches(**PASS), mapped.splits[name].batches(**PASS), strict=True):
            assert torch.equal(one.index, two.index)
            assert torch.equal(one.y, two.y)
            assert torch.equal(one.x, two.x)
    assert mapped.facts.keys() == private.facts.keys()
    assert mapped.noise_id == private.noise_id
    assert torch.equal(mapped.test_labels, private.test_labels)


def test_splits_of_arrays_share_and_two_sets_of_one_name_do_not():
    info = replace(info_of((3, 8, 8), 0), train_size=40, test_size=40)

    def made(seed: int) -> Prepared:
        images = np.random.default_rng(seed).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
        data = Dataset(info, images, np.arange(40) % 10, images[:10], np.arange(10))
        return assemble(config(), data, noisy.frozen(data, config().noise, None), CPU)

    first, second = made(0), made(1)
    assert places(first)["train"] == places(first)["val"] == places(first)["trace"]
    assert not set(places(first).values()) & set(places(second).values())
    (one,), (two,) = (data.splits["test"].plain(10) for data in (first, second))
    assert not torch.equal(one.x, two.x)


def test_a_run_on_images_too_small_to_be_reflected_is_refused():
    info = replace(info_of((3, 4, 4), 0), train_size=40, test_size=40)
    data = Dataset(info, pixels_of(info), np.arange(40) % 10, pixels_of(info), np.arange(40) % 10)
    run = replace(config(), train=replace(config().train, augment="crop_flip_reflect"))
    with pytest.raises(ValueError, match="images need 5 a side; they have 4 x 4"):
        assemble(run, data, noisy.frozen(data, run.noise, None), CPU)


@pytest.mark.parametrize("margin", [0, 3])
def test_an_unknown_augmentation_is_refused_before_anything_is_stored(margin):
    with pytest.raises(ValueError, match=r"unknown augmentation 'crop-flip'; did you mean 'crop_flip'\?"):
        form_of(info_of((3, 8, 8), margin), "crop-flip", True)


def test_noise_that_depends_on_images_is_that_of_the_official_files(home, monkeypatch, tmp_path):
    prepare(config(), home, None, CPU)
    prepared = prepare(config("instance:0.3"), home, tmp_path, CPU)
    monkeypatch.setattr(shared, "WORTH", 2**40)
    assert prepare(config("instance:0.3"), home, None, CPU).noise_id == prepared.noise_id
    monkeypatch.setattr(shared, "WORTH", 0)
    monkeypatch.setattr(SharedImages, "__array__", None)
    assert prepare(config("instance:0.3"), home, tmp_path, CPU).noise_id == prepared.noise_id  # drawn once


def test_another_digest_than_the_config_wants_is_refused(home):
    prepare(config(), home, None, CPU)
    wanted = replace(config(), dataset=replace(config().dataset, digest="f" * 64))
    with pytest.raises(ValueError, match=r"cifar10 has digest .*, the run wants ffffffffffff"):
        prepare(wanted, home, None, CPU)


@pytest.mark.parametrize("known", [0.5])
def test_without_foreign_classes_the_test_set_is_that_of_the_known_ones(home, known):
    data = prepare(config(f"openset:0.3:dialect=jo_src:unknown={known}"), home, None, CPU)
    official = datasets.load("cifar10", home)
    rows = np.flatnonzero(official.test_labels < data.info.num_classes)
    assert 0 < len(rows) < 4
    assert data.test_labels.tolist() == official.test_labels[rows].tolist()
    (batch,) = data.splits["test"].plain(10)
    info, how = data.info, ("cpu", True, "crop_flip")
    (wanted,) = Resident(official.test_images[rows], official.test_labels[rows], info, *how).plain(10)
    assert torch.equal(batch.x, wanted.x)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_device_holds_the_images_once(home):
    cuda = torch.device("cuda")
    first, second = prepare(config(), home, None, cuda), prepare(config(), home, None, cuda)
    assert places(first) == places(second)
    assert padded.FOLDER in [path.relative_to(home) for path in home.rglob("padded")]
    for one, two in zip(
        first.splits["train"].batches(**PASS),
        prepare(config(), home, None, CPU).splits["train"].batches(**PASS),
        strict=True,
    ):
        assert torch.allclose(one.x.cpu(), two.x, atol=1e-6)

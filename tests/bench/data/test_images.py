"""Image files: decoded to one size, in parallel, the same as one by one, from a cache or not."""

import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data import datasets, decoded, images, manifest
from bench.data.datasets import Dataset
from bench.data.images import Geometry, ImageFiles, decode
from bench.data.loader import Resident
from bench.data.manifest import Manifest
from bench.data.streamed import Streamed
from bench.fingerprint import ROOT


def photograph(path: Path, seed: int, size: tuple[int, int] = (60, 90), mode: str = "RGB") -> None:
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).convert(mode)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(20):
        photograph(tmp_path / "im" / f"{number}.png", number, (40 + number, 70))
    return tmp_path


def names(count: int = 20) -> list[str]:
    return [f"im/{number}.png" for number in range(count)]


def test_squash_is_pillows_resize_and_short_side_is_torchvisions(folder, torchvision):
    path = folder / "im" / "3.png"
    whole = Image.open(path).convert("RGB")
    assert np.array_equal(decode(path, Geometry(32, 24)), np.asarray(whole.resize((24, 32), Image.Resampling.BILINEAR)))
    cubic = decode(path, Geometry(32, 32, resample="bicubic"))
    assert np.array_equal(cubic, np.asarray(whole.resize((32, 32), Image.Resampling.BICUBIC)))
    both = torchvision.transforms.Compose([torchvision.transforms.Resize(32), torchvision.transforms.CenterCrop(32)])
    ours = decode(path, Geometry(32, 32, "short_side")).astype(int)
    assert ours.shape == (32, 32, 3)
    assert np.abs(ours - np.asarray(both(whole)).astype(int)).mean() < 25  # the crop may start a pixel aside
    assert np.array_equal(decode(path, Geometry(43, 70)), np.asarray(whole))


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "1", "I;16"])
def test_every_kind_of_image_becomes_three_channels(tmp_path, mode):
    path = tmp_path / ("x.tif" if mode in ("CMYK", "I;16") else "x.png")
    if mode == "I;16":
        Image.fromarray(np.full((20, 30), 300, dtype=np.uint16)).save(path)
    else:
        photograph(path, 0, (20, 30), mode)
    assert decode(path, Geometry(16, 16)).shape == (16, 16, 3)


def test_rows_come_in_the_order_asked_for(folder):
    files = ImageFiles(folder, names(), Geometry(24, 24))
    rows = np.array([7, 0, 19, 7])
    assert files.shape == (20, 24, 24, 3)
    assert len(files) == 20
    expected = np.stack([decode(folder / f"im/{row}.png", Geometry(24, 24)) for row in rows])
    assert np.array_equal(files[rows], expected)
    assert files[np.array([], dtype=np.int64)].shape == (0, 24, 24, 3)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.png", "a/../../x", "", "a\\b", "a\0b"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="must be a path inside the data set's folder"):
        ImageFiles(tmp_path, [name], Geometry(8, 8))


def test_missing_broken_and_huge_images_are_named(folder, monkeypatch):
    (folder / "im/1.png").unlink()
    (folder / "im/2.png").write_bytes((folder / "im/3.png").read_bytes()[:500])
    (folder / "im/4.png").write_bytes(b"no image")
    files = ImageFiles(folder, names(), Geometry(8, 8))
    for row, text in ((1, "there is no image .*1.png"), (2, "2.png cannot be read"), (4, "4.png cannot be read")):
        with pytest.raises(ValueError, match=text) as error:
            files[np.array([0, row])]
        assert "\n" not in str(error.value)
    monkeypatch.setattr(images, "PIXEL_CAP", 1000)
    with pytest.raises(ValueError, match="has 70 x 45 pixels, allowed are 1,000"):
        decode(folder / "im/5.png", Geometry(8, 8))


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(path)
    with pytest.raises(ValueError, match=r"bomb\.png cannot be read: (has 20000 x 20000|Image size)"):
        decode(path, Geometry(8, 8))


def test_a_million_names_cost_their_letters():
    files = ImageFiles(Path("/x"), [f"images/{n % 10}/{n}.jpg" for n in range(100_000)], Geometry(8, 8))
    assert files._names.nbytes <= 100_000 * 20
    assert files.path(12_345) == Path("/x/images/5/12345.jpg")


def make(names: list[str], sizes: list[int], labels: list[int]) -> Manifest:
    return Manifest(names, np.array(sizes), np.array(labels))


def test_the_digest_is_blind_to_order_and_sees_all_else():
    base = manifest.digest("d", {"train": make(["a", "b"], [1, 2], [0, 1])}, Geometry(8, 8))
    assert manifest.digest("d", {"train": make(["b", "a"], [2, 1], [1, 0])}, Geometry(8, 8)) == base
    others = [
        manifest.digest("e", {"train": make(["a", "b"], [1, 2], [0, 1])}, Geometry(8, 8)),
        manifest.digest("d", {"test": make(["a", "b"], [1, 2], [0, 1])}, Geometry(8, 8)),
        manifest.digest("d", {"train": make(["a", "c"], [1, 2], [0, 1])}, Geometry(8, 8)),
        manifest.digest("d", {"train": make(["a", "b"], [1, 3], [0, 1])}, Geometry(8, 8)),
        manifest.digest("d", {"train": make(["a", "b"], [1, 2], [1, 0])}, Geometry(8, 8)),
        manifest.digest("d", {"train": make(["a", "b"], [1, 2], [0, 1])}, Geometry(8, 9)),
    ]
    assert len({base, *others}) == 7


def test_sizes_are_measured_once_and_again_when_asked(folder):
    sizes = manifest.sizes_of(folder, "d-train", folder, names())
    assert sizes.tolist() == [(folder / name).stat().st_size for name in names()]
    (folder / "im/0.png").write_bytes(b"xyz")
    assert manifest.sizes_of(folder, "d-train", folder, names()).tolist() == sizes.tolist()
    assert manifest.sizes_of(folder, "d-train", folder, names(), again=True)[0] == 3
    (folder / "im/0.png").unlink()
    assert manifest.sizes_of(folder, "d-train", folder, names(), again=True)[0] == manifest.MISSING
    assert not list((folder / ".lnbench").glob("*.npy"))  # what is gone is not remembered as being there
    manifest.sizes_of(folder, "d-train", folder, names()[1:])
    store = next((folder / ".lnbench").glob("*.npy"))
    store.write_bytes(b"damaged")
    assert manifest.sizes_of(folder, "d-train", folder, names()[1:])[0] == sizes[1]


def test_a_folder_that_cannot_be_written_is_measured_each_time(folder, monkeypatch):
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(manifest, "publish", refuse)
    assert len(manifest.sizes_of(folder, "d", folder, names())) == 20
    assert not list((folder / ".lnbench").glob("*.npy"))


def dataset_of(folder: Path, count: int = 20) -> Dataset:
    files = ImageFiles(folder, names(count), Geometry(24, 24), key="k")
    info = replace(datasets.info("cifar10"), name="photos", shape=(3, 20, 20), margin=4, resident=False)
    labels = np.arange(count) % 10
    return Dataset(info, files, labels, files, labels)


def test_decoded_images_are_those_of_the_files(folder):
    data, told = dataset_of(folder), []
    assert decoded.best(data.train_images, folder) is data.train_images
    decoded.decode(data, folder, told.append)
    mapped = decoded.best(data.train_images, folder)
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable
    rows = np.arange(20)
    assert np.array_equal(mapped[rows], data.train_images[rows])
    assert "20 of 20 images" in told[0]
    assert "decoded already" in told[1]


def files_of(folder: Path, side: int, key: str) -> ImageFiles:
    return ImageFiles(folder, names(), Geometry(24, side), key)


def test_other_files_and_geometry_have_another_cache(folder):
    homes = {decoded.folder_of(files_of(folder, *what), folder) for what in ((24, "k"), (24, "l"), (25, "k"))}
    assert len(homes) == 3


def test_a_damaged_or_half_written_cache_is_never_used(folder):
    data = dataset_of(folder)
    decoded.decode(data, folder, lambda line: None)
    home = decoded.folder_of(data.train_images, folder)
    whole = (home / "pixels.u8").read_bytes()
    (home / "pixels.u8").write_bytes(whole[:-1])
    assert decoded.best(data.train_images, folder) is data.train_images
    decoded.decode(data, folder, lambda line: None)
    assert (home / "pixels.u8").read_bytes() == whole
    (home / "complete.json").unlink()
    assert decoded.best(data.train_images, folder) is data.train_images


def test_a_full_disk_is_told_before_anything_is_written(folder, monkeypatch):
    monkeypatch.setattr(decoded, "SPARE", 2**60)
    with pytest.raises(ValueError, match=r"train: decoded images need 0\.0 GiB, .* free"):
        decoded.decode(dataset_of(folder), folder, lambda line: None)
    assert not list((folder / ".lnbench" / "decoded").glob("*/pixels.u8"))


def test_an_unreadable_image_stops_the_build_and_leaves_nothing_to_use(folder):
    (folder / "im/9.png").write_bytes(b"no image")
    data = dataset_of(folder)
    with pytest.raises(ValueError, match=r"9\.png cannot be read"):
        decoded.decode(data, folder, lambda line: None)
    assert decoded.best(data.train_images, folder) is data.train_images


BUILD = """
import sys
from pathlib import Path
from tests.bench.data import test_images
from bench.data import decoded, images
folder = Path(sys.argv[1])
slow = images.decode
def decode(path, geometry):
    import time
    time.sleep(float(sys.argv[2]))
    return slow(path, geometry)
images.decode = decode
decoded.CHUNK = 2
decoded.decode(test_images.dataset_of(folder), folder, print)
"""


def build(folder: Path, delay: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILD, str(folder), str(delay)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_build_starts_again_and_ends_right(folder):
    process = build(folder, 0.2)
    home = decoded.folder_of(dataset_of(folder).train_images, folder)
    deadline = time.monotonic() + 60
    while not (home / "pixels.u8").is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (home / "complete.json").exists()
    data = dataset_of(folder)
    assert decoded.best(data.train_images, folder) is data.train_images
    decoded.decode(data, folder, lambda line: None)
    assert np.array_equal(decoded.best(data.train_images, folder)[np.arange(20)], data.train_images[np.arange(20)])


def test_two_builds_at_once_make_one_cache(folder):
    both = [build(folder, 0.02), build(folder, 0.02)]
    told = [process.communicate(timeout=100)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(line.startswith("train: 20 of 20") for text in told for line in text.splitlines()) == 1
    data = dataset_of(folder)
    assert np.array_equal(decoded.best(data.train_images, folder)[np.arange(20)], data.train_images[np.arange(20)])


def test_broken_images_are_left_out_when_asked(folder):
    (folder / "im/9.png").write_bytes(b"no image")
    (folder / "im/11.png").unlink()
    assert manifest.skip_broken(dataset_of(folder), folder, lambda line: None) == 2
    assert manifest.broken_list(folder, "photos") == {"im/9.png", "im/11.png"}
    assert manifest.broken_list(folder, "other") == frozenset()


def both_loaders(margin: int, augment: str, channels_last: bool) -> tuple[Resident, Streamed]:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, 12 + margin, 12 + margin, 3), dtype=np.uint8)
    rows = rng.permutation(60)[:50]
    given = rng.integers(0, 10, 50)
    info = replace(datasets.info("cifar10"), shape=(3, 12, 12), margin=margin)
    how = (info, "cpu", channels_last, augment)
    return Resident(pixels[rows], given, *how), Streamed(pixels, rows, given, *how)


@pytest.mark.parametrize("margin", [0, 6, 7])
@pytest.mark.parametrize("augment", ["crop_flip", "none"])
@pytest.mark.parametrize("channels_last", [True, False])
def test_streamed_batches_are_those_of_a_resident_set_bit_for_bit(margin, augment, channels_last):
    resident, streamed = both_loaders(margin, augment, channels_last)
    passes = [{"subset": None, "shuffle": True}, {"subset": torch.arange(3, 40, 2), "shuffle": False}]
    views = ("weak", "plain", "weak")
    for settings in passes:
        pair = [
            loader.batches(batch_size=8, views=views, seed=3, stream="m", epoch=2, drop_single=True, **settings)
            for loader in (resident, streamed)
        ]
        assert len(pair[0]) == len(pair[1])
        for ours, theirs in zip(*pair, strict=True):
            assert torch.equal(ours.index, theirs.index)
            assert torch.equal(ours.y, theirs.y)
            assert len(ours.views) == 3
            assert all(torch.equal(a, b) for a, b in zip(ours.views, theirs.views, strict=True))
            assert ours.x.stride() == theirs.x.stride()
    for ours, theirs in zip(resident.plain(7), streamed.plain(7), strict=True):
        assert torch.equal(ours.x, theirs.x)


def test_a_margin_is_a_window_of_the_stored_image():
    resident, _ = both_loaders(6, "none", False)
    (batch,) = resident.plain(50)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, 18, 18, 3), dtype=np.uint8)[rng.permutation(60)[:50]]
    mean, std = np.array(datasets.info("cifar10").mean), np.array(datasets.info("cifar10").std)
    expected = (pixels[:, 3:15, 3:15] / 255 - mean) / std
    assert np.allclose(batch.x.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-5)


def test_an_unreadable_image_ends_the_pass_with_its_name(folder):
    (folder / "im/9.png").write_bytes(b"no image")
    data = dataset_of(folder)
    streamed = Streamed(data.train_images, np.arange(20), data.train_labels, data.info, "cpu", True, "crop_flip")
    with pytest.raises(ValueError, match=r"9\.png cannot be read"):
        list(streamed.plain(4))


def test_a_pass_that_nobody_finishes_leaves_no_thread(folder):
    import threading

    data = dataset_of(folder)
    streamed = Streamed(data.train_images, np.arange(20), data.train_labels, data.info, "cpu", True, "none")
    iterator = iter(streamed.plain(4))
    next(iterator)
    iterator.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("read-ahead")]


@pytest.mark.parametrize("kind", [Resident, Streamed])
def test_an_epoch_of_balanced_size_draws_anew_and_equally(kind):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)
    given = np.repeat([0, 1, 2], [200, 80, 20])
    info = replace(datasets.info("cifar10"), num_classes=3, shape=(3, 4, 4), epoch_size=90)
    how = (info, "cpu", True, "none")
    loader = Resident(pixels, given, *how) if kind is Resident else Streamed(pixels, np.arange(300), given, *how)
    settings = {"batch_size": 16, "shuffle": True, "seed": 1, "stream": "m", "drop_single": True}
    epochs = [torch.cat([b.index for b in loader.batches(epoch=e, **settings)]) for e in (0, 1)]
    for index in epochs:
        assert np.bincount(given[index.numpy()]).tolist() == [30, 30, 20]  # the rarest class has no more
        assert len(set(index.tolist())) == 80
    assert set(epochs[0].tolist()) != set(epochs[1].tolist())
    again = torch.cat([b.index for b in loader.batches(epoch=0, **settings)])
    assert torch.equal(again, epochs[0])
    subset = loader.batches(epoch=0, subset=torch.arange(100), **settings)
    assert sum(len(b.index) for b in subset) == 100
    assert sum(len(b.index) for b in loader.plain(50)) == 300


@pytest.mark.parametrize("size", [(43, 70), (70, 43), (61, 64), (43, 32), (32, 43), (20, 31), (32, 32)])
@pytest.mark.parametrize("resample", ["bilinear", "bicubic"])
def test_short_side_is_torchvisions_resize_and_centre_crop_to_the_bit(tmp_path, torchvision, size, resample):
    photograph(tmp_path / "x.png", 1, size)
    transforms = torchvision.transforms
    whole = transforms.Resize(32, transforms.InterpolationMode(resample))
    expected = transforms.CenterCrop((32, 24))(whole(Image.open(tmp_path / "x.png")))
    assert np.array_equal(decode(tmp_path / "x.png", Geometry(32, 24, "short_side", resample)), np.asarray(expected))


@pytest.mark.parametrize(
    ("size", "geometry"),
    [((4, 60_000), Geometry(256, 256, "short_side")), ((60_000, 4), Geometry(256, 256, "short_side")),
     ((1, 1_000_000), Geometry(256, 256))],
)  # fmt: skip
def test_a_thin_image_is_refused_before_it_grows(tmp_path, size, geometry):
    Image.new("1", size).save(tmp_path / "thin.png")
    text = rf"thin\.png cannot be read: is too long, {size[0]} x {size[1]}, to be resized to"
    with pytest.raises(ValueError, match=text):
        decode(tmp_path / "thin.png", geometry)


def test_pillow_is_never_heard(tmp_path):
    photograph(tmp_path / "palette.png", 0, (20, 30), "P")
    Image.open(tmp_path / "palette.png").save(tmp_path / "clear.png", transparency=bytes(range(256)))
    photograph(tmp_path / "plain.jpg", 0, (20, 30))
    broken_tags = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01"
    Image.open(tmp_path / "plain.jpg").save(tmp_path / "exif.jpg", exif=broken_tags)
    Image.new("1", (10_000, 10_000)).save(tmp_path / "large.png")  # Pillow warns from 89 million on
    files = ImageFiles(tmp_path, ["clear.png", "exif.jpg", "large.png"], Geometry(20, 30))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for row in range(3):
            with Image.open(files.path(row)) as image:
                image.size if row == 2 else image.convert("RGB")
        assert [str(warning.message).split()[0] for warning in heard] == ["Palette", "Corrupt", "Image"]
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        assert files[np.array([0, 1])].shape == (2, 20, 30, 3)
        with pytest.raises(ValueError, match="has 10000 x 10000 pixels, allowed are 64,000,000"):
            files[np.array([2])]
    assert heard == []
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        assert images.size_of(tmp_path / "exif.jpg") == (20, 30)
    assert heard == []


def test_links_that_lead_out_of_the_folder_are_refused(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    photograph(elsewhere / "x.png", 0)
    (folder / "im/out.png").symlink_to(elsewhere / "x.png")
    (folder / "away").symlink_to(elsewhere)
    (folder / "im/in.png").symlink_to(folder / "im/3.png")
    (folder / "here").symlink_to(folder / "im")
    files = ImageFiles(folder, ["im/in.png", "here/3.png", "im/out.png", "away/x.png"], Geometry(8, 8))
    assert np.array_equal(*files[np.array([0, 1])])
    for row in (2, 3):
        with pytest.raises(ValueError, match=rf"{files.name(row)} lies behind a link that leads out of"):
            files[np.array([row])]
    (elsewhere / "root").symlink_to(folder)  # a whole data set may lie on another disk
    assert ImageFiles(elsewhere / "root", ["im/in.png"], Geometry(8, 8))[np.array([0])].shape == (1, 8, 8, 3)


@pytest.mark.parametrize("name", ["a\nb.png", "a/\udcff.png", "..", "a/.."])
def test_names_are_one_line_of_text(tmp_path, name):
    with pytest.raises(ValueError, match="must be a path inside the data set's folder, on one line of UTF-8"):
        ImageFiles(tmp_path, ["ok.png", name], Geometry(8, 8))
    assert ImageFiles(tmp_path, ["a..b/..c.png", "\u00e9\u2028.png"], Geometry(8, 8)).name(1) == "\u00e9\u2028.png"


@pytest.mark.parametrize(("cores", "threads"), [(1, 2), (8, 8), (16, 16), (200, 16)])
def test_images_are_decoded_by_as_many_threads_as_there_are_cores_within_bounds(cores, threads, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    with images._pool.__wrapped__(os.getpid()) as pool:
        assert pool._max_workers == threads

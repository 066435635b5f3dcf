"""Data that are not what they claim to be."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.contract import world
from bench.data import cifar, datasets, download
from bench.data.split import split
from bench.training import checkpoint
from methods.base import Batch
from noise import NoiseSpec, corrupt
from tests.faults.conftest import contents
from tests.faults.test_malicious import NAME, archive


def test_f20_data_augmentation_and_networks_work_without_torchvision(tiny_source, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ImportError):
        importlib.import_module("torchvision")
    assert len(datasets.load("cifar10", tiny_source[1]).train_labels) == 20
    for network in ("resnet32", "preact_narrow"):
        finished = world.finish(world.trainer("ce", network=network, epochs=1, augment="crop_flip"))
        assert not finished.diverged


def test_f50_no_changed_byte_of_an_archive_reaches_the_data(tiny_source, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "torchvision", lambda: pytest.fail("went to the network"))
    archive(tmp_path / NAME, tiny_source[1])
    whole = (tmp_path / NAME).read_bytes()
    good = {name: (tiny_source[1] / name).read_bytes() for name in cifar.CIFAR10.checksums}
    rng = np.random.default_rng(0)
    refusals = []
    for position in rng.integers(0, len(whole), 60):
        target = tmp_path / str(position)
        target.mkdir(exist_ok=True)
        changed = bytearray(whole)
        changed[position] ^= 1 << int(rng.integers(8))
        (target / NAME).write_bytes(changed)
        refusals.append(refusal(target))
        if refusals[-1] is None:  # a byte that means nothing, such as the name that gzip keeps of the file
            assert {name: (target / name).read_bytes() for name in good} == good
        else:
            assert set(contents(target)) == {NAME, ".cifar10.lock"}  # nothing of it was taken
    said = [text for text in refusals if text is not None]
    assert len(said) > 50
    assert all(NAME in text and "\n" not in text for text in said)


def refusal(target: Path) -> str | None:
    """What `fetch` has against the archive in a folder, None if it took it."""
    try:
        download.fetch("cifar10", target, lambda line: None)
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize("file", cifar.CIFAR10.checksums)
def test_f50_every_official_file_has_two_pinned_checksums_and_each_is_looked_at(file):
    checksum = cifar.CIFAR10.checksums[file]
    assert len(checksum.md5) == 32
    assert checksum.sha256
    assert len(checksum.sha256) == 64


def test_f57_labels_that_a_loss_would_ignore_or_wrap_around_never_reach_a_run(here, tmp_path, capsys):
    for value in (-100, -1, 10, 2**40):
        labels = np.arange(1437) % 10
        labels[77] = value
        np.save(tmp_path / "labels.npy", labels)
        words = ["--dataset", "digits", "--noise", "file:labels.npy", "--methods", "ce", "--seeds", "0"]
        assert here("run", *words) == 2
        err = capsys.readouterr().err
        assert f"{value} at index 77" in err
        assert err.count("\n") == 1
        assert not (tmp_path / "results" / "runs").exists()


def test_f58_labels_of_the_right_length_for_another_order_are_refused_where_the_file_tells_its_truth(
    here, tmp_path, capsys
):
    clean = datasets.load("digits").train_labels
    given = (clean + 1) % 10
    rows = [f"{y},{g}" for y, g in zip(clean[::-1], given[::-1], strict=True)]
    (tmp_path / "reversed.csv").write_text("label,label_noisy\n" + "\n".join(rows) + "\n")
    assert here("noise", "show", "file:reversed.csv", "--dataset", "digits") == 2
    assert "true label" in capsys.readouterr().err
    rows = [f"{y},{g}" for y, g in zip(clean, given, strict=True)]
    (tmp_path / "right.csv").write_text("label,label_noisy\n" + "\n".join(rows) + "\n")
    assert here("noise", "show", "file:right.csv", "--dataset", "digits") == 0


@pytest.mark.parametrize("rate", ["1", "-0.1", "nan", "inf", "20", "1e3", "50%", "0,5", ""])
def test_f60_a_rate_that_is_no_share_is_refused_with_the_range_before_anything_exists(here, tmp_path, capsys, rate):
    for verb in ("run", "status"):
        assert here(verb, "--dataset", "digits", "--noise", f"symmetric:{rate}", "--methods", "ce") == 2
        err = capsys.readouterr().err
        assert "[0, 1)" in err or "has no rate" in err or "expected KEY=VALUE" in err
        assert err.count("\n") == 1
    assert contents(tmp_path) == {}


def test_f60_pairs_flipped_more_often_than_not_are_said_to_be(here, capsys):
    said = {}
    for rate in ("0.45", "0.5", "0.6"):
        assert here("noise", "show", f"pairflip:{rate}", "--dataset", "digits") == 0
        said[rate] = capsys.readouterr().out.split("diagonal", 1)[1]
    assert "diagonally dominant" in said["0.45"]
    assert "not diagonally dominant" not in said["0.45"]
    assert "not" in said["0.5"]
    assert "not" in said["0.6"]


@pytest.mark.parametrize("spec", ["symmetric:0.4", "pairflip:0.4", "symmetric:0.4:flips=iid", "tridiagonal:0.4"])
def test_f59_realised_noise_is_the_noise_asked_for_and_no_flip_stays_in_its_class(spec):
    labels = np.arange(20_000) % 10
    made = corrupt(labels, None, 10, NoiseSpec.parse(spec), 5)
    assert abs(made.wrong.mean() - 0.4) <= 4 * np.sqrt(0.4 * 0.6 / len(labels))
    assert ((made.given != labels) == made.wrong).all()
    counted = np.bincount(labels * 10 + made.given, minlength=100).reshape(10, 10) / 2000
    assert np.abs(counted - made.transition).max() <= 4 * np.sqrt(0.25 / 2000)


def test_f63_no_sample_is_trained_on_and_validated_on_whatever_is_held_out():
    rng = np.random.default_rng(0)
    for _ in range(200):
        classes, total = int(rng.integers(2, 12)), int(rng.integers(4, 200))
        labels = rng.integers(0, classes, total)
        limit = None if rng.random() < 0.5 else int(rng.integers(4, total + 1))
        val = float(rng.choice([0, 0.1, 0.25, 0.5, 0.9]))
        parts = split(labels, classes, val=val, limit=limit, digest="a" * 64, noise_seed=int(rng.integers(5)))
        both = np.concatenate([parts.train_index, parts.val_index])
        assert len(np.unique(both)) == len(both) == (limit or total)


@pytest.mark.parametrize(("samples", "batch_size"), [(11, 2), (33, 16), (17, 16), (9, 16), (5, 4)])
def test_f64_a_network_with_batch_norm_trains_on_any_number_of_samples(samples, batch_size):
    started = world.trainer(
        "ce", batch_size=batch_size, dataset={"train_limit": samples, "val": 0.0}, network="resnet32"
    )
    sizes = []
    update = started.method.update

    def noting(batch: Batch, clock):
        sizes.append(len(batch.y))
        return update(batch, clock)

    started.method.update = noting
    world.finish(started)
    assert min(sizes) > 1
    assert not started.diverged
    assert checkpoint.to_bytes(started.state())

"""What reaches training when images are foreign, truth is unknown, samples are trusted, or data stay on disk."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import noise
from bench.config import DatasetConfig, MethodConfig, NoiseConfig, RunConfig, TrainConfig
from bench.data import datasets, noisy, prepare
from bench.data.attachments import keep, pinned
from bench.data.loader import Resident
from bench.data.streamed import Streamed
from bench.training.trainer import Trainer
from methods import registry

CPU = torch.device("cpu")


def pixels(count: int, seed: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 1), dtype=np.uint8)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Three small data sets: mine.npz, a foreign one, and one with labels nobody vouches for."""
    labels, tests = np.arange(120) % 4, np.arange(40) % 4
    base = {"train_images": pixels(120, 0), "train_labels": labels, "test_images": pixels(40, 1), "test_labels": tests}
    np.savez(tmp_path / "mine.npz", **base)
    np.savez(tmp_path / "foreign.npz", **{**base, "train_images": pixels(120, 2)})
    val = {"val_images": pixels(20, 3), "val_labels": np.arange(20) % 4, "labels_are_true": False}
    np.savez(tmp_path / "dirty.npz", **base, **val)
    np.savez(tmp_path / "big.npz", **{**base, "train_images": pixels(120, 2, 9), "test_images": pixels(40, 2, 9)})
    return tmp_path


def config(home: Path, spec: str, name: str = "mine.npz", method: str = "ce", **settings: object) -> RunConfig:
    parsed = pinned(noise.NoiseSpec.parse(spec))
    info = datasets.info(name, home)
    return RunConfig(
        DatasetConfig(info.name, info.digest, **{"val": 0.1, **settings}),
        NoiseConfig(**parsed.to_dict(), seed=3),
        MethodConfig(method, registry.describe(method).resolve({})),
        TrainConfig("digits_cnn", epochs=1, batch_size=16, trace_samples=50),
        0,
    ).checked()


def prepared(home: Path, spec: str, name: str = "mine.npz", **settings: object) -> prepare.Prepared:
    keep(noise.NoiseSpec.parse(spec), home / "noise" / "files")
    return prepare.prepare(config(home, spec, name, **settings), home, home / "noise", CPU)


def record(home: Path, data: prepare.Prepared, settings: RunConfig, method: str = "cmd_p") -> dict:
    made = registry.create(method)
    trainer = Trainer(
        replace(settings, method=MethodConfig(method, registry.describe(method).resolve({}))), data, made, CPU
    )
    trainer.run(lambda state: None, lambda: False)
    return trainer.history[-1]


def test_foreign_images_stand_where_the_noise_put_them(home):
    spec = "openset:0.4:open=0.5:source=foreign.npz"
    data = prepared(home, spec, val=0.0)
    corruption = noisy.frozen(datasets.load("mine.npz", home), config(home, spec).noise, home / "noise", home)
    foreign = np.flatnonzero(corruption.is_ood)
    assert len(foreign) == 24
    (batch,) = data.splits["train"].plain(200)
    plain = Resident(pixels(120, 0), corruption.given, data.info, CPU, True, "none")
    (own,) = plain.plain(200)
    other = Resident(pixels(120, 2), corruption.given, data.info, CPU, True, "none")
    (theirs,) = other.plain(200)
    for i in range(120):
        expected = theirs.x[corruption.source_index[i]] if corruption.is_ood[i] else own.x[i]
        assert torch.equal(batch.x[i], expected)
    assert data.clean["train"][foreign].tolist() == [-1] * 24
    totals = data.totals
    assert (totals["train_foreign"], totals["train_wrong"]) == (24, int(corruption.wrong.sum()))
    assert data.facts["noise_rate"] == pytest.approx(corruption.wrong.mean())


def test_no_label_of_a_foreign_image_counts_as_right_or_as_memorised(home):
    spec = "openset:0.5:source=foreign.npz"
    last = record(home, prepared(home, spec, val=0.0), config(home, spec, val=0.0))
    for counts in last["heads"].values():
        assert counts["wrong_fit"] == counts["wrong_recovered"] == 0  # pure open-set noise has no wrong label
    for chosen in last["selection"]:
        assert chosen["selected_right"] <= min(chosen["selected"], 60)


def test_a_foreign_image_that_is_its_own_stays_in_its_place(home):
    data = datasets.load("mine.npz", home)
    spec = noise.NoiseSpec("openset", 0.1, options={"source": "foreign.npz"})
    made = noise.corrupt(data.train_labels, None, 4, spec, 0, attached={"source_size": np.array(120)})
    is_ood, source = np.arange(120) < 3, np.where(np.arange(120) == 0, 7, -1)
    mixed = noisy.with_foreign(data, replace(made, is_ood=is_ood, source_index=source), home)
    assert np.array_equal(mixed.train_images[np.array([0])], pixels(120, 2)[7:8])
    assert np.array_equal(mixed.train_images[np.arange(1, 120)], pixels(120, 0)[1:])
    with pytest.raises(ValueError, match=r"foreign image 120 is asked for, foreign\.npz has 120"):
        noisy.with_foreign(data, replace(made, is_ood=is_ood, source_index=source + 113), home)


def test_images_of_another_shape_cannot_stand_in(home):
    with pytest.raises(ValueError, match=r"images of big.npz, \(1, 9, 9\) up to 255, can't stand in for those of mine"):
        prepared(home, "openset:0.4:source=big.npz")


def test_unknown_truth_is_null_in_the_record_and_nowhere_a_number(home):
    data = prepared(home, "none", "dirty.npz")
    assert not data.truth
    assert "noise_rate" not in data.facts
    totals = data.totals
    assert [totals[k] for k in ("train_wrong", "trace_wrong", "train_foreign")] == [None] * 3
    assert totals["val_clean"] == 20
    last = record(home, data, config(home, "none", "dirty.npz"))
    for counts in last["heads"].values():
        assert counts["right_fit"] is counts["wrong_fit"] is counts["wrong_recovered"] is None
        assert 0 <= counts["val_clean"] <= 20
        assert 0 <= counts["val_noisy"] <= 12
    assert all(chosen["selected_right"] is None for chosen in last["selection"])
    assert last["knowledge"] == last["score_auc"] == []


@pytest.mark.parametrize("first", ["clean", "dirty"])
def test_equal_labels_keep_what_is_known_of_each_whoever_comes_first(home, first):
    from bench.findings.stored_labels import card_of
    from bench.sweep.records.store import Store

    names = {"clean": "mine.npz", "dirty": "dirty.npz"}
    order = ["clean", "dirty"] if first == "clean" else ["dirty", "clean"]
    for kind in order:
        settings = config(home, "none", names[kind])
        data = prepare.prepare(settings, home, home / "noise", CPU)
        assert data.truth is (kind == "clean")
        payload = {"config": settings.to_dict(), "noise_id": data.noise_id, "totals": data.totals}
        assert card_of(Store(home), payload)["actual"] == (0.0 if kind == "clean" else None)


def test_what_somebody_believes_is_told_to_methods_that_ask(home):
    assert prepared(home, "none:assumed=0.25", "dirty.npz").facts["noise_rate"] == 0.25


def test_clean_validation_is_the_official_one_where_there_is_one(home):
    data = prepared(home, "none", "dirty.npz")
    assert data.clean["val_clean"].tolist() == [i % 4 for i in range(20)]
    data = prepared(home, "symmetric:0.4")
    assert torch.equal(data.clean["val_clean"], data.clean["val"])


def test_trusted_samples_have_true_labels_and_are_not_trained_on(home):
    data = prepared(home, "symmetric:0.5", trusted=16)
    without = prepared(home, "symmetric:0.5")
    assert len(data.splits["trusted"]) == 16
    assert len(data.splits["train"]) == len(without.splits["train"]) - 16
    assert "trusted" not in without.splits
    assert torch.bincount(data.splits["trusted"].given).tolist() == [4] * 4
    settings = config(home, "symmetric:0.5", trusted=16)
    trainer = Trainer(settings, data, registry.create("ce"), CPU)
    with pytest.raises(RuntimeError, match="split 'trusted' was not declared"):
        trainer.task.labels("trusted")


def test_the_card_of_a_run_counts_what_the_run_counts(home):
    from bench.findings.stored_labels import card_of
    from bench.sweep.records.store import Store

    for spec, trusted in (
        ("openset:0.4:open=0.5:source=foreign.npz", 16),
        ("openset:0.3:dialect=jo_src:unknown=0.5", 10),
    ):
        settings = config(home, spec, trusted=trusted)
        data = prepare.prepare(settings, home, home / "noise", CPU)
        payload = {"config": settings.to_dict(), "noise_id": data.noise_id, "totals": data.totals}
        card = card_of(Store(home), payload)
        assert (card["trained"], card["trained_wrong"]) == (data.totals["train"], data.totals["train_wrong"])


def test_classes_beyond_the_known_leave_test_set_and_network(home):
    data = prepared(home, "openset:0.3:dialect=jo_src:unknown=0.5", val=0.0)
    assert data.info.num_classes == 2
    assert data.test_labels.max() == 1
    assert len(data.test_labels) == 20
    assert data.totals["train_foreign"] == 60
    assert data.splits["train"].given.max() == 1


def test_a_pinned_file_is_read_from_its_copy_whatever_becomes_of_it(home):
    labels = (np.arange(120) + 1) % 4
    np.save(home / "labels.npy", labels)
    spec = f"file:{home / 'labels.npy'}"
    settings = config(home, spec)
    assert settings.noise.options["path"] == "labels.npy"
    data = prepared(home, spec)
    (home / "labels.npy").unlink()
    for path in (home / "noise").glob("n*"):
        path.unlink()
    again = prepare.prepare(settings, home, home / "noise", CPU)
    assert again.noise_id == data.noise_id == noise.noise_id(labels)
    copy = home / "noise" / "files" / settings.noise.options["sha256"]
    copy.write_bytes(copy.read_bytes()[:-8] + b"\1" * 8)
    for path in (home / "noise").glob("n*"):
        path.unlink()
    with pytest.raises(ValueError, match="holds other content than its sha256 says"):
        prepare.prepare(settings, home, home / "noise", CPU)


@pytest.mark.parametrize(
    ("spec", "text"),
    [("file:none.npy", "there is no file none.npy"), ("seal:0.2", "family 'seal' needs the path of a file")],
)
def test_a_file_that_is_not_there_is_named(home, spec, text):
    with pytest.raises(ValueError, match=text):
        config(home, spec)


def test_photographs_are_streamed_and_train(home):
    for part, count in (("train", 8), ("test", 4)):
        for number, name in enumerate(("cat", "dog")):
            for i in range(count):
                path = home / "pets" / part / name / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                noise_pixels = np.random.default_rng(100 * number + i).integers(0, 256, (70, 90, 3), dtype=np.uint8)
                Image.fromarray(noise_pixels).save(path)
    data = prepared(home, "symmetric:0.3", "pets/", val=0.25)
    assert isinstance(data.splits["train"], Streamed)
    assert data.info.shape == (3, 224, 224)
    (batch,) = data.splits["test"].plain(20)
    assert batch.x.shape == (8, 3, 224, 224)
    with pytest.raises(ValueError, match="reads all pixels, and those of pets/ stay on disk"):
        prepared(home, "instance:0.3", "pets/")

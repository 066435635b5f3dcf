"""From stored predictions and test labels to the images that a run gets right, and what is said where either lacks."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import noise
from bench.data import datasets
from bench.data.datasets import MissingDataError
from bench.evidence.correctness import Reader, stacked
from bench.evidence.per_image import mcnemar, two_way_interval
from bench.evidence.records import summary
from bench.files import sha256


@pytest.fixture(scope="module")
def labels():
    return datasets.load("digits").test_labels


class Folder:
    """A results folder in which `run` stores predictions, and returns the payload that tells of them."""

    def __init__(self, make, root, labels):
        self.make, self.root, self.labels = make, root, labels

    def run(self, right, *, seed=0, labels=None, headline=None, test_limit=None, dataset=None):
        """`right` are (H, N) bools."""
        labels = self.labels[:test_limit] if labels is None else labels
        names = [f"net{head + 1}" for head in range(len(right))]
        counts = {name: [0, int(row.sum())] for name, row in zip(names, right, strict=True)}
        data = {"digest": datasets.info("digits").digest, "test_limit": test_limit} | (dataset or {})
        payload = self.make(seed=seed, heads=counts, headline=headline, networks=len(right), dataset=data)
        payload["totals"]["test"] = len(labels)
        return self.store(payload, np.where(right, labels, (labels + 1) % 10).astype(np.uint8))

    def store(self, payload, predicted):
        buffer = io.BytesIO()
        np.save(buffer, predicted)
        payload["predictions_sha256"] = sha256(buffer.getvalue())
        self.path(payload).parent.mkdir(parents=True, exist_ok=True)
        self.path(payload).write_bytes(buffer.getvalue())
        return payload

    def path(self, payload):
        name = f"predictions-{payload['predictions_sha256'][:16]}.npy"
        return self.root / "runs" / payload["run_id"] / name

    def read(self, payload):
        return Reader(self.root).read(payload)


@pytest.fixture
def folder(make, tmp_path, labels):
    return Folder(make, tmp_path, labels)


def drawn(shape, seed=0):
    return np.random.default_rng(seed).random(shape) < 0.8


def test_what_a_run_gets_right_is_what_its_predictions_say_head_by_head(folder, labels):
    right = drawn((2, len(labels)))
    found = folder.read(folder.run(right))
    assert (found.heads, found.images) == (("net1", "net2"), len(labels))
    assert (found.all == right).all()
    assert found.all.dtype == bool
    assert (found.of("net2") == right[1]).all()
    assert found.bits.nbytes <= 2 * (len(labels) // 8 + 1)
    with pytest.raises(ValueError, match=r"has no head 'ema'; it has net1, net2$"):
        found.of("ema")


def test_a_summary_of_a_payload_does_as_well(folder, labels):
    payload = folder.run(drawn((1, len(labels))))
    assert (folder.read(summary(payload)).bits == folder.read(payload).bits).all()


def test_a_run_tested_on_the_first_images_is_held_against_those(folder):
    right = drawn((1, 50))
    assert (folder.read(folder.run(right, test_limit=50)).all == right).all()


def test_foreign_classes_are_left_out_as_the_card_of_the_labels_says(folder, labels):
    known = labels[labels < 8]
    right = drawn((1, len(known)))
    payload = folder.run(right, labels=known)
    card = folder.root / "noise" / f"{payload['noise_id']}-unknown.json"
    with pytest.raises(ValueError, match=r"predictions are \(1, \d+\), heads and test images \(1, \d+\)$"):
        folder.read(payload)
    card.parent.mkdir()
    spec = noise.NoiseSpec("openset", 0.2, "jo_src")
    corruption = noise.corrupt(datasets.load("digits").train_labels, None, 10, spec, 0, attached={"source_size": 9})
    card.write_text(json.dumps(noise.card(corruption, dataset="digits", digest="")))
    assert (folder.read(payload).all == right).all()
    payload["totals"]["train_wrong"] = 3  # where the truth is known, labels lie under another name
    card.rename(card.with_name(f"{payload['noise_id']}.json"))
    assert (folder.read(payload).all == right).all()


def test_runs_are_stacked_for_tests_on_images(folder, labels):
    rights = [drawn((2, len(labels)), seed) for seed in range(3)]
    reader = Reader(folder.root)
    found = reader.read_all(folder.run(right, seed=seed) for seed, right in enumerate(rights))
    assert (stacked(found) == np.stack(rights)).all()
    one = stacked(found, "net1")
    assert one.shape == (3, len(labels))
    low, high = two_way_interval(stacked(found), one)
    assert low < np.mean(rights) - one.mean() < high
    assert mcnemar(found[0].of("net1"), found[0].of("net2")).n == len(labels)


def test_runs_that_differ_in_heads_or_images_are_not_stacked(folder):
    found = [folder.read(folder.run(drawn((heads, 40)), seed=heads, test_limit=40)) for heads in (1, 2)]
    with pytest.raises(ValueError, match=r"^runs must be alike in .*, got r\w+ 1 and 40, r\w+ 2 and 40$"):
        stacked(found)
    with pytest.raises(ValueError, match=r"got no runs$"):
        stacked([])


def test_a_run_without_predictions_says_so(folder, make):
    with pytest.raises(ValueError, match=r"^run r\w{20} has no stored predictions, which tests on single images need$"):
        folder.read(make())
    payload = folder.run(drawn((1, 40)), test_limit=40)
    folder.path(payload).unlink()
    with pytest.raises(ValueError, match=r"^run r\w{20}: predictions-\w{16}.npy is gone; tests on single images need"):
        folder.read(payload)


def test_predictions_that_are_not_the_records_are_refused(folder, labels):
    payload = folder.run(drawn((1, 40)), test_limit=40)
    path = folder.path(payload)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"is damaged: its digest is not the one of the record$"):
        folder.read(payload)
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(ValueError, match=r"must be a regular file; links are not followed$"):
        folder.read(payload)
    for other in (labels[:40].astype(float)[None], np.zeros(3, np.int64)):
        with pytest.raises(ValueError, match=r"\.npy holds no predicted classes$"):
            folder.read(folder.store(payload, other))
    wrong = (labels[:40, None].T + 1).astype(np.uint8)
    with pytest.raises(ValueError, match=r"net1 gets 0 images right, which its record does not tell$"):
        folder.read(folder.store(payload, wrong))


def test_a_record_without_an_accuracy_is_refused(folder):
    payload = folder.run(drawn((1, 40)), test_limit=40)
    payload["totals"]["test"] = 0
    with pytest.raises(ValueError, match=r"net1 gets \d+ images right, which its record does not tell$"):
        folder.read(payload)


def test_predictions_of_objects_are_refused_and_run_nothing(folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    payload = folder.run(drawn((1, 40)), test_limit=40)
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        folder.read(folder.store(payload, np.array([Evil()], dtype=object)))
    assert not (tmp_path / "ran").exists()


def test_data_that_are_absent_or_others_are_named(folder, monkeypatch):
    payload = folder.run(drawn((1, 40)), test_limit=40, dataset={"digest": "e" * 64})
    with pytest.raises(ValueError, match=r"^digits has digest \w{12}, the runs were made on eeeeeeeeeeee$"):
        folder.read(payload)
    monkeypatch.setenv("LNBENCH_DATA", str(folder.root / "nowhere"))
    payload = folder.run(drawn((1, 40)), test_limit=40, dataset={"name": "cifar10"})
    with pytest.raises(MissingDataError, match=r"^cifar10: no .* in .*nowhere; name the right folder"):
        folder.read(payload)


def test_labels_are_read_once_a_data_set(folder, monkeypatch):
    payloads = [folder.run(drawn((1, 40), seed), seed=seed, test_limit=40) for seed in range(4)]
    asked = []
    source = datasets.source
    monkeypatch.setattr(datasets, "source", lambda name: asked.append(name) or source(name))
    Reader(folder.root).read_all(payloads)
    assert asked == ["digits"]


@pytest.mark.slow  # the runs are really trained
def test_a_real_run_is_read_and_agrees_with_its_record(trained, runs):
    reader = Reader(trained)
    for run in runs:
        record = json.loads((trained / "runs" / run.run_id / "result.json").read_bytes())["payload"]
        found = reader.read(record)
        assert found.headline == tuple(record["headline"])
        assert found.images == 100
        for head in found.heads:
            assert found.of(head).sum() == record["history"][-1]["heads"][head]["test"]


def test_statistics_are_imported_without_what_takes_long():
    names = ("statistics", "power", "exact", "ranks", "per_image", "aggregates", "correctness")
    code = "import sys\n" + "".join(f"import bench.evidence.{name}\n" for name in names)
    code += "print(sorted({'torch', 'pandas', 'scipy.stats', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

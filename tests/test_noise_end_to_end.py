"""Every kind of noise and data from the command line to a table, in real processes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
TINY = ["--seeds", "0", "--epochs", "1"]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "run_bench.py"), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with own data, a foreign set, a matrix, scores and labels."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    labels, tests = np.arange(160) % 4, np.arange(40) % 4
    centres = rng.integers(0, 256, (4, 8, 8, 1))

    def images(of: np.ndarray) -> np.ndarray:
        return np.clip(centres[of] + rng.normal(0, 40, (len(of), 8, 8, 1)), 0, 255).astype(np.uint8)

    base = {"train_images": images(labels), "train_labels": labels, "test_images": images(tests), "test_labels": tests}
    np.savez(folder / "mine.npz", **base)
    np.savez(folder / "other.npz", **{**base, "train_images": images(labels[::-1])})
    val = {"val_images": images(tests), "val_labels": tests, "labels_are_true": False}
    np.savez(folder / "dirty.npz", **{**base, "train_labels": (labels + (np.arange(160) % 5 == 0)) % 4}, **val)
    np.save(folder / "T.npy", np.full((4, 4), 0.1) + 0.6 * np.eye(4))
    scores = rng.random((160, 4)) + 2 * np.eye(4)[labels]
    np.save(folder / "scores.npy", scores / scores.sum(axis=1, keepdims=True))
    (folder / "labels.json").write_text(str(((labels + 1) % 4).tolist()))
    return folder


def test_every_kind_of_noise_makes_a_column(home, tmp_path):
    noise = [
        *("symmetric:0.4:dialect=inclusive", "symmetric:0.4:flips=total", "asymmetric:0.4:map=flip", "tridiagonal:0.3"),
        *(f"transition:{home}/T.npy", f"pmd:{home}/scores.npy:type=II", f"seal:0.3:path={home}/scores.npy"),
        *(f"file:{home}/labels.json", "none", "openset:0.4:open=0.5:source=other.npz", "instance:0.4:scale=standard"),
    ]
    words = ["--dataset", "mine.npz", "--data-dir", str(home), "--noise", *noise, "--methods", "ce", *TINY]
    done = run(tmp_path, "run", *words)
    assert done.returncode == 0, done.stderr
    for label in (
        "tridiagonal 30%",
        "transition T.npy",
        "pmd scores.npy",
        "seal 30%",
        "file labels.json",
        "openset 40%",
    ):
        assert label in done.stdout
    assert "32 foreign images" in done.stdout
    again = run(tmp_path, "run", *words)
    assert again.returncode == 0
    assert "trained" not in again.stderr
    table = run(tmp_path, "table", *words)
    assert table.returncode == 0, table.stderr
    status = run(tmp_path, "status", *words)
    assert "11" in status.stdout


def test_unknown_truth_and_official_validation_reach_the_table(home, tmp_path):
    words = [
        "--dataset",
        "dirty.npz",
        "--data-dir",
        str(home),
        "--noise",
        "none:assumed=0.2",
        "--methods",
        "ce",
        "co_teaching",
    ]
    done = run(tmp_path, "run", *words, *TINY, "--rule", "clean_val")
    assert done.returncode == 0, done.stderr
    assert "144 train / 16 validation / 40 test / 40 clean validation" in done.stdout
    assert "actual unknown" in done.stdout
    assert "every number here was selected with clean validation labels" in done.stdout


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--noise", "asymmetric:0.4"], "no map is usual for mine.npz; name one, as in asymmetric:0.4:map=cifar10"),
        (["--noise", "human:worst"], "no .*CIFAR-10_human.pt; the file comes from"),
        (["--noise", "file:none.json"], "there is no file none.json"),
        (["--noise", "openset:0.4:source=digits"], "can't stand in for"),
        (
            ["--noise", "symmetric:0.4", "--trusted", "5"],
            "trusted must be a multiple of the 4 classes, and leave some of 160 samples to train on; got 5",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_one_line_before_anything_starts(home, tmp_path, words, text):
    import re

    done = run(tmp_path, "run", "--dataset", "mine.npz", "--data-dir", str(home), "--methods", "ce", *TINY, *words)
    assert done.returncode == 2
    assert re.search(text, done.stderr), done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("results/runs/*"))


def test_noise_on_labels_that_nobody_vouches_for_is_refused(home, tmp_path):
    words = ["--dataset", "dirty.npz", "--data-dir", str(home), "--noise", "symmetric:0.4", "--methods", "ce", *TINY]
    done = run(tmp_path, "run", *words)
    assert done.returncode == 2
    assert (
        "dirty.npz comes with its own wrong labels, and nobody knows the true ones; write --noise none" in done.stderr
    )


def test_a_folder_of_photographs_trains(tmp_path):
    for part, count in (("noisy_train", 6), ("test", 2)):
        for seed, name in enumerate(("cat", "dog")):
            for number in range(count):
                path = tmp_path / "pets" / part / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.random.default_rng(10 * seed + number).integers(0, 256, (70, 90, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path)
    words = [
        "--dataset",
        str(tmp_path / "pets"),
        "--noise",
        "none",
        "--methods",
        "ce",
        "--network",
        "digits_cnn",
        *TINY,
    ]
    done = run(tmp_path, "run", *words)
    assert done.returncode == 0, done.stderr
    assert "11 train / 1 validation / 4 test" in done.stdout


@pytest.mark.data
def test_human_labels_of_cifar10_train(tmp_path):
    folder = os.environ.get("LNBENCH_DATA")
    if not folder or not (Path(folder) / "cifar-n" / "CIFAR-10_human.pt").is_file():
        pytest.skip("LNBENCH_DATA names no folder with cifar-n/CIFAR-10_human.pt")
    small = ["--train-limit", "40", "--test-limit", "20", "--network", "resnet32", "--set", "trace_samples=10"]
    done = run(tmp_path, "run", "--dataset", "cifar10", "--noise", "human:worst", "--methods", "ce", *TINY, *small)
    assert done.returncode == 0, done.stderr
    assert "actual .402 over 50,000" in done.stdout

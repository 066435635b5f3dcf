"""`run_bench.py doctor` as somebody types it, on sets that are there, missing, broken, or of photographs."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import cli
from bench.data import own_folder


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for part, count in (("train", 4), ("test", 2)):
        for seed, name in enumerate(("cat", "dog")):
            home = tmp_path / "pets" / part / name
            home.mkdir(parents=True)
            for number in range(count):
                pixels = np.random.default_rng(10 * seed + number).integers(0, 256, (70, 90, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(home / f"{number}.png")
    own_folder._photos.cache_clear()
    return tmp_path / "pets"


def typed(*words: object) -> int:
    return cli.main(["doctor", *map(str, words)])


def test_what_comes_with_a_dependency_is_ready(capsys):
    assert typed("digits") == 0
    out = capsys.readouterr().out
    assert "the files are the official ones" in out
    assert "used     1,437 images for training, 360 for testing" in out


def test_missing_files_are_named_and_the_exit_code_says_so(tmp_path, capsys):
    assert typed("mnist", "--data-dir", tmp_path) == 2
    out = capsys.readouterr().out
    assert out.count("MISSING") == 4
    assert "get it   run ... --dataset mnist --download" in out
    assert out.endswith("mnist cannot be used as it is\n")


def test_the_report_is_one_json_document_if_asked(tmp_path, capsys):
    assert typed("cifar100", "--data-dir", tmp_path, "--json") == 2
    report = json.loads(capsys.readouterr().out)
    assert (report["usable"], report["folder"]) == (False, str(tmp_path))
    assert [finding["state"] for finding in report["findings"]] == ["missing"] * 3


def test_a_misspelt_name_meets_the_nearest_one(capsys):
    assert typed("clothing") == 2
    assert capsys.readouterr().err == "run_bench.py doctor: unknown dataset 'clothing'; did you mean 'clothing1m'?\n"


def test_photographs_are_decoded_once_when_asked(pets, capsys):
    assert typed(pets, "--decode") == 0
    told = capsys.readouterr()
    assert "train: 8 of 8 images" in told.err
    assert (pets.parent / ".lnbench" / "decoded").is_dir()
    assert typed(pets, "--decode") == 0
    assert "nothing is left to decode" in capsys.readouterr().err


def test_a_broken_image_stops_decoding_until_it_is_left_out(pets, capsys):
    (pets / "train" / "cat" / "1.png").write_bytes((pets / "train" / "cat" / "2.png").read_bytes()[:300])
    assert typed(pets) == 2
    assert "BROKEN" in capsys.readouterr().out
    assert typed(pets, "--skip-broken") == 0
    told = capsys.readouterr()
    assert "1 unreadable images are left out of pets/ from now on" in told.err
    assert "1 unreadable images are left out (doctor --skip-broken)" in told.out
    assert "train: 7 images" in told.out

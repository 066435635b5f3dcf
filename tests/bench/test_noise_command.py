"""`run_bench.py noise`: cards shown, labels exported and compared, as somebody types it."""

import csv
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import noise
from bench import cli

TOY = (np.arange(2000) * 7 + 3) % 10
GOLDEN = json.loads((Path(__file__).parents[1] / "noise" / "golden_noise.json").read_text())["labels"]


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    np.save(tmp_path / "toy.npy", TOY)
    return tmp_path


def sha256(labels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(labels, dtype="<i8").tobytes()).hexdigest()


def typed(*words: object) -> int:
    return cli.main(["noise", *map(str, words)])


def exported(folder: Path, spec: str, *words: object, name: str = "out.npz") -> Path:
    out = folder / name
    code = typed("export", spec, "--labels", folder / "toy.npy", "--num-classes", 10, "--out", out, *words)
    assert code == 0
    return out


@pytest.mark.parametrize("name", [n for n, g in GOLDEN.items() if g["label_source"] == "toy10" and "ptd" not in n])
def test_golden_labels_come_out_of_the_command_line(toy, name):
    golden = GOLDEN[name]
    parameters = golden["parameters"]
    spec = f"{golden['family']}:{parameters['rate']}" + (f":map={parameters['map']}" if "map" in parameters else "")
    path = exported(toy, spec, "--dialect", golden["dialect"], "--noise-seed", parameters["seed"])
    with np.load(path, allow_pickle=False) as archive:
        assert archive["given"].dtype == np.int64
        assert sha256(archive["given"]) == golden["sha256"]
        assert np.array_equal(archive["clean"], TOY)


@pytest.mark.parametrize("name", [n for n in GOLDEN if n.startswith("toy10/ptd")])
def test_golden_labels_of_images_come_out_too(toy, name):
    parameters = GOLDEN[name]["parameters"]
    np.save(toy / "rows.npy", np.random.RandomState(7).randint(0, 256, (2000, 48)).astype("float32"))
    words = ["--dialect", "ptd", "--noise-seed", parameters["seed"], "--images", toy / "rows.npy"]
    path = exported(toy, f"instance:{parameters['rate']}", *words)
    assert sha256(np.load(path)["given"]) == GOLDEN[name]["sha256"]


def test_every_form_holds_the_same_labels(toy):
    made = noise.corrupt(TOY, None, 10, noise.NoiseSpec("symmetric", 0.5), 3).given
    paths = {s: exported(toy, "symmetric:0.5", "--noise-seed", 3, name=f"f.{s}") for s in ("npz", "npy", "json", "csv")}
    assert np.array_equal(np.load(paths["npy"], allow_pickle=False), made)
    assert json.loads(paths["json"].read_text()) == made.tolist()
    rows = list(csv.DictReader(paths["csv"].read_text().splitlines()))
    assert [int(row["label_noisy"]) for row in rows] == made.tolist()
    assert [int(row["label"]) for row in rows] == TOY.tolist()
    corruption, card = noise.from_bytes(paths["npz"].read_bytes())
    assert np.array_equal(corruption.given, made)
    assert (card["actual"], card["label"]) == (0.5, "symmetric 50%")


def test_a_second_export_is_the_same_and_another_one_is_refused(toy, capsys):
    path = exported(toy, "symmetric:0.5")
    before = path.read_bytes()
    assert exported(toy, "symmetric:0.5").read_bytes() == before
    words = ["export", "symmetric:0.2", "--labels", toy / "toy.npy", "--num-classes", 10, "--out", path]
    capsys.readouterr()
    assert typed(*words) == 2
    assert (
        capsys.readouterr().err
        == f"run_bench.py noise: {path} exists and holds something else; --force writes over it\n"
    )
    assert path.read_bytes() == before
    assert typed(*words, "--force") == 0
    assert path.read_bytes() != before


def test_the_card_is_shown_with_matrix_and_picture(toy, capsys):
    words = ["--labels", toy / "toy.npy", "--num-classes", 10, "--matrix", "--heatmap", toy / "m.png"]
    assert typed("show", "pairflip:0.45", *words) == 0
    out = capsys.readouterr().out
    assert "asked .450, expected .450, actual .450, effective .450" in out
    assert "         9  45.00      .      .      .      .      .      .      .      .  55.00" in out
    with Image.open(toy / "m.png") as image:
        assert min(image.size) > 300


def test_the_card_of_a_dataset_takes_its_map_from_it(capsys):
    assert typed("show", "asymmetric:0.4", "--dataset", "digits", "--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert (card["map"], card["dataset"], card["num_samples"]) == ("mnist", "digits", 1437)


def test_the_overlap_with_other_files_is_told(toy, capsys):
    low = exported(toy, "symmetric:0.2")
    capsys.readouterr()
    assert typed("show", "symmetric:0.5", "--labels", toy / "toy.npy", "--against", low) == 0
    assert "nested: what is wrong in that is wrong in this too" in capsys.readouterr().out


def test_two_files_are_compared_with_the_true_labels_that_one_of_them_holds(toy, capsys):
    low, high = exported(toy, "symmetric:0.2", name="a.npz"), exported(toy, "symmetric:0.5", name="b.json")
    capsys.readouterr()
    assert typed("compare", low, high) == 0
    out = capsys.readouterr().out
    assert "wrong in A: 400 of 2,000 (20.00 %)" in out
    assert "wrong in B: 1,000 of 2,000 (50.00 %)" in out
    assert typed("compare", high, low) == 0
    assert "wrong in B: 400 of 2,000 (20.00 %)" in capsys.readouterr().out  # the truth of the second is used, too
    assert typed("compare", high, toy / "toy.npy") == 0
    assert "true labels unknown" in capsys.readouterr().out
    assert typed("compare", high, low, "--clean", toy / "toy.npy") == 0
    assert "wrong in A: 1,000 of 2,000" in capsys.readouterr().out


def test_exported_labels_can_be_imported_again(toy, capsys):
    path = exported(toy, "pairflip:0.3", name="theirs.json")
    capsys.readouterr()
    assert typed("show", f"file:{path}", "--labels", toy / "toy.npy", "--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert card["actual"] == pytest.approx(0.3)
    assert card["noise_id"] == noise.noise_id(noise.corrupt(TOY, None, 10, noise.NoiseSpec("pairflip", 0.3), 0).given)
    assert card["file_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["origin"] == "theirs.json"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["show", "symetric:0.5", "--dataset", "digits"], "unknown noise family 'symetric'; did you mean 'symmetric'?"),
        (["show", "symmetric:1.5", "--dataset", "digits"], "noise rate must be in [0, 1), got 1.5"),
        (["show", "symmetric:0.5", "--dialect", "dividmix", "--dataset", "digits"], "did you mean 'dividemix'?"),
        (["show", "symmetric:0.5", "--dataset", "digit"], "unknown dataset 'digit'; did you mean 'digits'?"),
        (["show", "symmetric:0.5"], "the noise of what? name true labels by --dataset, or --labels FILE"),
        (["show", "symmetric:0.5", "--labels", "none.npy"], "there is no file none.npy"),
        (["show", "symmetric:0.5", "--labels", "x", "--dataset", "digits"], "give --dataset or --labels, not both"),
        (["show", "n0123456789abcdef"], "no labels n0123456789abcdef under results/noise"),
        (["show", "symmetric:0.5", "--dataset", "digits", "--noise-seed", "-1"], "noise seed must be an integer in"),
        (
            ["export", "symmetric:0.5", "--dataset", "digits", "--out", "a.txt"],
            "--out must end in .npz, .json, .npy, .csv",
        ),
        (["export", "symmetric:0.5", "--dataset", "digits", "--out", "no/a.npz"], "--out: there is no folder no"),
        (["compare", "a.npz", "b.npz"], "there is no file a.npz"),
    ],
)
def test_a_mistake_is_one_line_and_2(tmp_path, monkeypatch, capsys, words, text):
    monkeypatch.chdir(tmp_path)
    assert typed(*words) == 2
    told = capsys.readouterr()
    assert text in told.err
    assert told.err.count("\n") == 1
    assert not told.out
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("classes", "labels", "text"),
    [
        (5, TOY, "labels must lie in 0..4, got 7 at index 2"),
        (10, TOY + 0.5, "float64"),
        (10, TOY[:0], "shape (0,)"),
        (1, TOY * 0, "noise needs at least 2 classes, got 1"),
    ],
)
def test_unfit_labels_are_one_line_and_2(tmp_path, capsys, classes, labels, text):
    np.save(tmp_path / "y.npy", labels)
    words = ["show", "symmetric:0.5", "--labels", tmp_path / "y.npy", "--num-classes", classes]
    assert typed(*words) == 2
    err = capsys.readouterr().err
    assert text in err
    assert err.count("\n") == 1


def test_foreign_images_are_compared_too(toy, capsys, monkeypatch):
    spec = ["openset:0.4:open=0.5:source=imagenet32", "--dialect", "dsos", "--noise-seed", 2718]
    path = exported(toy, *spec, name="foreign.npz")
    capsys.readouterr()
    assert typed("compare", toy / "toy.npy", path) == 0
    out = capsys.readouterr().out
    corruption, _ = noise.from_bytes(path.read_bytes())
    foreign = int(corruption.is_ood.sum())
    assert f"B  {path}  {corruption.noise_id}" in out
    assert f"foreign images: 0 in A, {foreign} in B, 0 the same in both; none counts as wrong" in out
    assert f"wrong in B: {int(corruption.wrong.sum())} of 2,000" in out  # the truth is taken from the second file
    assert out.count("different labels") == 1
    assert typed("compare", path, path) == 0
    assert "the same labels: 2,000 of 2,000" in capsys.readouterr().out
    assert typed("show", *spec, "--labels", toy / "toy.npy", "--against", path) == 0
    assert f"foreign images: {foreign} in this, {foreign} in that, {foreign} the same" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("nope.npy", None, "nope.npy: No such file or directory"),
        ("junk.npy", b"junk", "junk.npy: no array of numbers"),
        ("x.npz", "npz", "x.npz: an .npy file with one row an image is wanted"),
        ("folder", "folder", "folder: Is a directory"),
    ],
)
def test_images_that_are_none_are_named_in_one_line(toy, capsys, name, content, text):
    if content == "folder":
        (toy / name).mkdir()
    elif content == "npz":
        np.savez(toy / name, a=np.zeros(3))
    elif content is not None:
        (toy / name).write_bytes(content)
    words = ["--labels", toy / "toy.npy", "--num-classes", 10, "--images", toy / name]
    assert typed("show", "instance:0.2", *words) == 2
    err = capsys.readouterr().err
    assert text in err
    assert err.count("\n") == 1
    assert "allow_pickle" not in err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["show", "symmetric:0.2", "--heatmap", "no/x.png"], "No such file or directory"),
        (["export", "symmetric:0.2", "--out", "d.npz", "--force"], "Is a directory"),
        (["show", "symmetric:0.2", "--num-classes", "0"], "noise needs at least 2 classes, got 0"),
        (
            ["show", "symmetric:0.2", "--num-classes", "2000000"],
            "noise is made of at most 10,000 classes, got 2,000,000",
        ),
    ],
)
def test_places_and_numbers_that_cannot_be_are_one_line(toy, monkeypatch, capsys, words, text):
    monkeypatch.chdir(toy)
    (toy / "d.npz").mkdir()
    assert typed(*words, "--labels", "toy.npy") == 2
    err = capsys.readouterr().err
    assert text in err
    assert err.count("\n") == 1

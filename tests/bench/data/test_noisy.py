"""Wrong labels on disk: one file for all who ask for the same, believed only for what it holds."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import noise
from bench.config import NoiseConfig
from bench.data import noisy
from bench.data.datasets import load
from bench.data.noisy import frozen

ROOT = Path(noisy.__file__).resolve().parents[2]
DIGITS = load("digits")


def config(family="symmetric", rate=0.5, seed=0) -> NoiseConfig:
    spec = noise.NoiseSpec(family, rate)
    return NoiseConfig(**spec.to_dict(), seed=seed)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def never(*_):
    raise AssertionError("the labels were drawn again")


def test_labels_are_drawn_once_and_then_read(tmp_path, monkeypatch):
    drawn = frozen(DIGITS, config(), tmp_path)
    before = content(tmp_path)
    monkeypatch.setattr(noisy, "draw", never)
    again = frozen(DIGITS, config(), tmp_path)
    assert (again.given == drawn.given).all()
    assert content(tmp_path) == before
    (index,) = (tmp_path / "index").iterdir()
    assert json.loads(index.read_bytes()) == {"noise_id": drawn.noise_id}
    assert set(before) == {f"{drawn.noise_id}.npz", f"{drawn.noise_id}.json", f"index/{index.name}"}


def test_without_a_folder_the_labels_are_the_same_and_nothing_is_stored(tmp_path):
    assert frozen(DIGITS, config(), None).noise_id == frozen(DIGITS, config(), tmp_path).noise_id


def test_another_seed_rate_or_family_has_labels_of_its_own(tmp_path):
    asked = [config(), config(seed=1), config(rate=0.51), config("pairflip", 0.4)]
    assert len({frozen(DIGITS, one, tmp_path).noise_id for one in asked}) == 4
    assert len(list((tmp_path / "index").iterdir())) == 4


def test_the_stored_file_holds_what_was_asked_for(tmp_path):
    drawn = frozen(DIGITS, config(), tmp_path)
    stored, card = noise.from_bytes((tmp_path / f"{drawn.noise_id}.npz").read_bytes(), expect_id=drawn.noise_id)
    assert (stored.clean == DIGITS.train_labels).all()
    assert noise.noise_id(stored.given) == drawn.noise_id
    assert card["actual"] == pytest.approx((stored.given != DIGITS.train_labels).mean())


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-40], lambda data: b"", lambda data: data[:200] + b"x" + data[201:]]
)
def test_f57_a_damaged_file_is_drawn_again_and_replaced(tmp_path, damage):
    drawn = frozen(DIGITS, config(), tmp_path)
    path = tmp_path / f"{drawn.noise_id}.npz"
    good = path.read_bytes()
    path.write_bytes(damage(good))
    assert frozen(DIGITS, config(), tmp_path).noise_id == drawn.noise_id
    assert path.read_bytes() == good


@pytest.mark.parametrize(
    "entry", [b"", b"[]", b"{}", b'{"noise_id":"n0123456789abcdef"}', b'{"noise_id":"../../etc/passwd"}']
)
def test_a_damaged_index_costs_a_new_drawing_and_no_more(tmp_path, entry):
    drawn = frozen(DIGITS, config(), tmp_path)
    (index,) = (tmp_path / "index").iterdir()
    good = index.read_bytes()
    index.write_bytes(entry)
    assert (frozen(DIGITS, config(), tmp_path).given == drawn.given).all()
    assert index.read_bytes() == good


def test_f58_an_index_that_leads_to_other_labels_is_not_believed(tmp_path):
    drawn, other = frozen(DIGITS, config(), tmp_path), frozen(DIGITS, config(seed=1), tmp_path)
    foreign = noise.corrupt(np.arange(20) % 10, None, 10, noise.NoiseSpec("symmetric", 0.5), 0)
    data = noise.to_bytes(foreign, noise.card(foreign, dataset="digits", digest=DIGITS.info.digest))
    (tmp_path / f"{foreign.noise_id}.npz").write_bytes(data)
    for index in (tmp_path / "index").iterdir():
        for wrong in (other.noise_id, foreign.noise_id):
            index.write_text(json.dumps({"noise_id": wrong}))
            assert frozen(DIGITS, config(), tmp_path).noise_id == drawn.noise_id


def test_f35_a_link_in_the_place_of_a_noise_file_is_not_followed(tmp_path):
    drawn = frozen(DIGITS, config(), tmp_path)
    path = tmp_path / f"{drawn.noise_id}.npz"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert frozen(DIGITS, config(), tmp_path).noise_id == drawn.noise_id
    assert not path.is_symlink()


def test_two_recipes_of_one_set_of_labels_share_a_file_and_keep_their_own_facts(tmp_path):
    none, nothing = frozen(DIGITS, config(rate=0.0), tmp_path), frozen(DIGITS, config("pairflip", 0.0), tmp_path)
    assert none.noise_id == nothing.noise_id
    assert len(list(tmp_path.glob("*.npz"))) == 1
    again = frozen(DIGITS, config("pairflip", 0.0), tmp_path)
    assert (again.spec.family, frozen(DIGITS, config(rate=0.0), tmp_path).spec.family) == ("pairflip", "symmetric")


def test_labels_of_an_older_definition_are_not_taken_for_todays(tmp_path, monkeypatch):
    frozen(DIGITS, config(), tmp_path)
    monkeypatch.setattr(noisy, "_source_digest", lambda: "edited")
    frozen(DIGITS, config(), tmp_path)
    assert len(list((tmp_path / "index").iterdir())) == 2


def test_f41_processes_that_draw_at_once_leave_one_file_and_agree(tmp_path):
    code = (
        "import sys; from pathlib import Path; from bench.config import NoiseConfig; import noise\n"
        "from bench.data.datasets import load; from bench.data.noisy import frozen\n"
        "config = NoiseConfig(**noise.NoiseSpec('symmetric', 0.5).to_dict(), seed=0)\n"
        "print(frozen(load('digits'), config, Path(sys.argv[1])).noise_id)"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    drawing = [
        subprocess.Popen(
            words, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    ended = [(*process.communicate(timeout=60), process.returncode) for process in drawing]
    assert [code for _, _, code in ended] == [0] * 4, ended
    assert len({out for out, _, _ in ended}) == 1
    assert sorted(path.suffix for path in tmp_path.iterdir() if path.is_file()) == [".json", ".npz"]

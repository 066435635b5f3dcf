import dataclasses
import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from noise import NoiseSpec, card, corrupt, from_bytes, to_bytes
from tests.noise.world import WAYS, ids

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made():
    return corrupt(np.arange(60) % 3, None, 3, NoiseSpec("symmetric", 0.3, flips="iid"), 7)


def repacked(data, **changes):
    """The file with some of its arrays replaced, or left out where None."""
    with np.load(io.BytesIO(data)) as archive:
        arrays = {**archive, **changes}
    out = io.BytesIO()
    np.savez(out, **{name: array for name, array in arrays.items() if array is not None})
    return out.getvalue()


@pytest.mark.parametrize("way", WAYS, ids=ids)
def test_a_file_brings_everything_back(way):
    before = way.make(0.35, 2)
    about = card(before, dataset="toy10", train_index=np.arange(1500))
    after, again = from_bytes(to_bytes(before, about), expect_id=before.noise_id)
    assert again == about
    for field in dataclasses.fields(before):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if isinstance(old, np.ndarray):
            assert old.dtype == new.dtype
            assert np.array_equal(old, new)
            assert not new.flags.writeable
        else:
            assert old == new
    assert card(after, dataset="toy10", train_index=np.arange(1500)) == about


def test_foreign_images_come_back(made):
    foreign = made.clean == 2
    mixed = dataclasses.replace(made, is_ood=foreign, source_index=np.where(foreign, np.arange(60), -1))
    about = card(mixed)
    after, _ = from_bytes(to_bytes(mixed, about), expect_id=mixed.noise_id)
    assert about["foreign"] == 20
    assert (after.is_ood == foreign).all()
    assert after.noise_id == mixed.noise_id != made.noise_id


def test_two_processes_write_the_same_bytes(made):
    code = (
        "import sys, numpy as np, noise;"
        "c = noise.corrupt(np.arange(60) % 3, None, 3, noise.NoiseSpec('symmetric', .3, flips='iid'), 7);"
        "sys.stdout.buffer.write(noise.to_bytes(c, noise.card(c)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(to_bytes(made, card(made))).digest()
    with zipfile.ZipFile(io.BytesIO(done.stdout)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_layout_is_plain_numpy(made):
    with np.load(io.BytesIO(to_bytes(made, card(made))), allow_pickle=False) as archive:
        shapes = {name: (archive[name].dtype.kind, archive[name].shape) for name in archive}
    assert shapes == {
        "given": ("i", (60,)),
        "clean": ("i", (60,)),
        "is_ood": ("b", (60,)),
        "source_index": ("i", (60,)),
        "transition": ("f", (3, 3)),
        "flip_rate": ("f", (0,)),
        "card": ("U", ()),
    }


def test_other_labels_than_expected_are_refused(made):
    data = to_bytes(made, card(made))
    with pytest.raises(ValueError, match=f"^noise file holds labels {made.noise_id}, expected n0000000000000000$"):
        from_bytes(data, expect_id="n" + "0" * 16)
    swapped = made.given.copy()
    swapped[0] = (swapped[0] + 1) % 3
    with pytest.raises(ValueError, match=f"^noise file holds labels n[0-9a-f]+, its card says {made.noise_id}$"):
        from_bytes(repacked(data, given=swapped))
    with pytest.raises(ValueError, match="clean labels other than its card describes"):
        from_bytes(repacked(data, clean=np.roll(made.clean, 1)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"given": None}, "not a noise file: .*given"),
        (
            {"given": np.array([0, 1, -100] * 20)},
            "given labels of the noise file must lie in 0..2, got -100 at index 2",
        ),
        ({"given": np.array([0.0, np.nan])}, "given must be <i8, got <f8"),
        ({"given": np.arange(3)}, "is_ood has shape"),
        ({"clean": np.arange(3)}, "holds 60 given and 3 clean labels"),
        ({"flip_rate": np.zeros(5)}, "flip_rate has shape"),
        ({"transition": np.zeros((3, 2))}, "transition has shape"),
        ({"card": np.array("{")}, "card that cannot be read"),
        ({"card": np.array("[]")}, "card that cannot be read"),
        ({"card": np.array("{}")}, "card that cannot be read: 'spec'"),
    ],
)
def test_a_file_of_another_shape_is_refused(made, changes, message):
    with pytest.raises(ValueError, match=message):
        from_bytes(repacked(to_bytes(made, card(made)), **changes))


def test_pickled_objects_are_refused(made):
    with pytest.raises(ValueError, match=r"^not a noise file: .*allow_pickle=False"):
        from_bytes(repacked(to_bytes(made, card(made)), given=np.array([print], dtype=object)))


def test_damaged_bytes_are_refused_wherever_the_damage_is(made):
    data = to_bytes(made, card(made))
    for cut in (0, 1, 100, len(data) // 2, len(data) - 1):
        with pytest.raises(ValueError, match=r"^n"):
            from_bytes(data[:cut])
    vector = io.BytesIO()
    np.save(vector, np.arange(3))
    with pytest.raises(ValueError, match=r"^not a noise file"):
        from_bytes(vector.getvalue())
    for at in range(0, len(data), 37):
        damaged = bytearray(data)
        damaged[at] ^= 0x55
        try:
            found, _ = from_bytes(bytes(damaged))
        except ValueError:
            continue
        assert found.noise_id == made.noise_id  # the damage hit a byte that means nothing, a time stamp say

"""Matrices from files: every form gives the same numbers, and what is none is refused in one line."""

import io
import json
import os
import pickle
import re
import zipfile

import numpy as np
import pytest

from noise.tables import read_table

MATRIX = np.array([[0.75, 0.25, 0.0], [0.0, 0.5, 0.5], [0.125, 0.0, 0.875]])


def npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=allow_pickle)
    return out.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


FORMS = {
    "t.npy": npy(MATRIX),
    "t.npz": npz(whatever=MATRIX),
    "t.json": json.dumps(MATRIX.tolist()).encode(),
    "t.csv": b"\xef\xbb\xbf0.75,0.25,0\r\n0,.5,.5\r\n\r\n0.125,0,8.75e-1\r\n",
    "T.TXT": b"0.75 0.25 0.0\n0 0.5  0.5\n0.125\t0 0.875\n",
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_numbers(name):
    table = read_table(FORMS[name], name)
    assert table.dtype == np.float64
    assert np.array_equal(table, MATRIX)


def test_integers_become_numbers():
    assert np.array_equal(read_table(npy(np.eye(2, dtype=np.int64)), "t.npy"), np.eye(2))


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/evil-table",)


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("t.pkl", b"", "t.pkl: a matrix is read from .npy, .npz, .csv, .txt, .json, got '.pkl'"),
        ("t", b"", "t: a matrix is read from .npy, .npz, .csv, .txt, .json, got 'no suffix'"),
        ("t.npy", npy(np.arange(3.0)), "t.npy: a matrix has rows and columns of numbers, got float64 of shape (3,)"),
        (
            "t.npy",
            npy(np.zeros((0, 3))),
            "t.npy: a matrix has rows and columns of numbers, got float64 of shape (0, 3)",
        ),
        ("t.npy", npy(MATRIX > 0), "t.npy: a matrix has rows and columns of numbers, got bool of shape (3, 3)"),
        ("t.npy", npy(np.array([[1.0, np.nan]])), "t.npy: row 0, column 1 holds nan, no finite number"),
        ("t.npz", npz(a=MATRIX, b=MATRIX), "an .npz with a matrix holds one array, this one: a.npy, b.npy"),
        ("t.csv", b"1,2\n3\n", "t.csv: no matrix of numbers: row 1 has 1 numbers, row 0 has 2"),
        ("t.csv", b"a,b\n1,2\n", "t.csv: no matrix of numbers: could not convert string to float: 'a'"),
        ("t.csv", b"", "t.csv: a matrix has rows and columns"),
        ("t.csv", b"\xff\xfe\x00", "t.csv: no matrix of numbers: 'utf-8' codec can't decode"),
        ("t.json", b"[[1, 2], [3]]", "a matrix in JSON is a list of rows of one length"),
        ("t.json", b'[[1, "2"]]', "a matrix in JSON holds numbers alone"),
        ("t.json", b"[[1, NaN]]", "t.json: row 0, column 1 holds nan"),
        ("t.json", b"[" * 100_000, "t.json: no matrix of numbers"),
        ("t.npz", b"PK\x03\x04 cut", "t.npz: no matrix of numbers"),
        ("t.npy", npy(MATRIX)[:-8], "t.npy: no matrix of numbers"),
        ("t.npy", pickle.dumps(Evil()), "t.npy: no matrix of numbers"),
        ("t.npy", npy(np.array([[Evil()]], dtype=object), allow_pickle=True), "t.npy: no matrix of numbers"),
    ],
)
def test_what_is_no_matrix_is_refused_in_one_line(name, data, text):
    with pytest.raises(ValueError, match=re.escape(text)) as error:
        read_table(data, name)
    assert "\n" not in str(error.value)
    assert not os.path.exists("/tmp/evil-table")


def test_a_bomb_is_refused_before_it_unpacks(monkeypatch):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.npy", npy(np.zeros((1000, 1000))))
    monkeypatch.setattr("noise.tables.SIZE_CAP", 1_000_000)
    with pytest.raises(ValueError, match=r"t\.npz: .*t\.npy unpacks to 8000128 bytes, allowed are 1000000"):
        read_table(out.getvalue(), "t.npz")


def claimed(shape: str) -> bytes:
    """An .npy whose header claims a shape that its few bytes cannot fill."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(80)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("t.npy", claimed("(10000000, 10000000)")),
        ("t.npy", claimed("(" + "1" + "0" * 30 + ", 2)")),
        ("t.json", b"[[1" + b"0" * 400 + b", 0], [0, 1]]"),
        ("t.csv", b"1," + b"2" * 200_000 + b"\n"),
    ],
)
def test_claims_that_no_memory_holds_are_refused_in_one_line(name, data):
    with pytest.raises(ValueError, match=f"{re.escape(name)}: ") as error:
        read_table(data, name)
    assert "\n" not in str(error.value)

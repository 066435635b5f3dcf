"""Label files of torch: tensors and the old form are read, arrays too, and nothing in a file is run."""

import collections
import io
import os
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data import label_files, torch_files
from noise import formats

GIVEN, CLEAN = [3, 0, 2, 2], [3, 0, 1, 2]
BOTH_FORMS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])


def saved(content, zipped=True):
    out = io.BytesIO()
    torch.save(content, out, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


TENSORS = {
    "bare": torch.tensor(GIVEN),
    "column": torch.tensor(GIVEN, dtype=torch.int32)[:, None],
    "bytes": torch.tensor(GIVEN, dtype=torch.uint8),
    "peer_loss": {"noise_label_train": torch.tensor(GIVEN)},
    "ordered": collections.OrderedDict(noise_label_train=torch.tensor(GIVEN)),
    "cal": {"noise_label_train": torch.tensor(GIVEN), "clean_label_train": torch.tensor(CLEAN)},
    "mixed": {"noise_label_train": torch.tensor(GIVEN), "clean_label_train": np.array(CLEAN)},
}
ARRAYS = {
    "bare": np.array(GIVEN),
    "narrow": np.array(GIVEN, dtype=np.uint8),
    "list": GIVEN,
    "cal": {"noise_label_train": np.array(GIVEN), "clean_label_train": np.array(CLEAN, dtype=np.int16)},
}


def check(found, name):
    assert found.given.dtype == np.int64
    assert found.given.tolist() == GIVEN
    assert (None if found.clean is None else found.clean.tolist()) == (CLEAN if name in ("cal", "mixed") else None)


@BOTH_FORMS
@pytest.mark.parametrize("name", TENSORS)
def test_tensors_are_read_once_the_reader_without_torch_has_given_up(name, zipped):
    data = saved(TENSORS[name], zipped)
    with pytest.raises(formats.NeedsTorch):
        formats.read_labels(data, "x.pt")
    check(torch_files.read_labels(data, "x.pt"), name)
    check(label_files.load(data, "x.pt"), name)


@BOTH_FORMS
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_give_the_same_labels_with_torch_and_without(name, zipped):
    data = saved(ARRAYS[name], zipped)
    check(torch_files.read_labels(data, "x.pt"), name)
    check(label_files.load(data, "x.pt"), name)
    if zipped:
        check(formats.read_labels(data, "x.pt"), name)


def rewritten(data, change):
    """A zip of torch with another pickle in it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, change(content) if name.endswith("data.pkl") else content)
    return out.getvalue()


@BOTH_FORMS
def test_arrays_of_numpy_1_are_read(zipped):
    def older(data):
        assert b"numpy._core.multiarray" in data
        return data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")

    data = saved(ARRAYS["cal"], zipped)
    check(torch_files.read_labels(rewritten(data, older) if zipped else older(data), "x.pt"), "cal")


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@BOTH_FORMS
@pytest.mark.parametrize("read", [torch_files.read_labels, label_files.load])
@pytest.mark.parametrize("where", ["alone", "beside", "in_array"])
def test_a_file_that_would_run_a_command_is_refused_and_nothing_runs(where, read, zipped, tmp_path):
    evil = Evil(tmp_path / "canary")
    content = {
        "alone": evil,
        "beside": {"noise_label_train": torch.tensor(GIVEN), "more": evil},
        "in_array": np.array([evil, 1], dtype=object),
    }[where]
    data = saved(content, zipped)
    with pytest.raises(ValueError, match=r"asks for posix\.system|an array of 'O8'|tensors and arrays") as caught:
        read(data, "x.pt")
    assert str(caught.value).startswith("x.pt: no file of labels")
    assert "weights_only" not in str(caught.value)  # torch's advice to load it unsafely is kept from the reader
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "canary").exists()
    torch.load(io.BytesIO(data), weights_only=False)
    assert (tmp_path / "canary").exists()  # it was dangerous indeed


def test_an_array_with_a_forged_dtype_is_refused():
    data = saved(np.array(GIVEN), zipped=False)
    plain, forged = (pickle.dumps((-1, -1, flags), protocol=2)[2:-4] for flags in (0, 63))
    assert data.count(plain) == 1  # the end of what a pickle says of a dtype
    with pytest.raises(ValueError, match="pickle holds an array of a forged dtype"):  # pointers to objects
        torch_files.read_labels(data.replace(plain, forged), "x.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.tensor([0.0, 1.5]), "array: labels must be integers, got float32, 1.5 at index 1"),
        (torch.tensor([True, False]), "array: labels must be integers, got bool, True at index 0"),
        (torch.tensor([0, 1, -100]), "array: labels must be at least 0, got -100 at index 2"),
        (torch.eye(3, dtype=torch.int64), "one integer per sample, shape (N,), got int64 of shape (3, 3)"),
        (torch.zeros(1, dtype=torch.int64).expand(2**40), "got int64 of shape (1099511627776,)"),
        (torch.zeros(2, dtype=torch.bfloat16), "x.pt: no file of labels that torch reads safely: "),
        (torch.eye(3).to_sparse(), "x.pt: no file of labels that torch reads safely: "),
        ({"weight": torch.tensor(GIVEN)}, "this one has weight"),
        (np.array([0.5]), "array: labels must be integers, got float64, 0.5 at index 0"),
        (np.array([1, None]), "pickle holds an array of 'O8', which are no numbers"),
        ([np.int64(3)], "pickle asks for numpy._core.multiarray.scalar, which no file of labels needs"),
        ("labels", "labels are an array or a list, got str"),
    ],
)
@BOTH_FORMS
def test_what_holds_no_labels_is_refused_in_one_line(content, message, zipped):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        torch_files.read_labels(saved(content, zipped), "x.pt")
    assert str(caught.value).startswith("x.pt: no file of labels that torch reads safely: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"PK", b"PK\x03\x04" + bytes(100), b"no file of torch", saved(torch.arange(9))[:300]]
    + [saved(torch.arange(9), zipped=False)[:end] for end in (3, 20, 60, 200, 330)]
    + [rewritten(saved([70_000]), lambda data: data[: data.index(b"J") + 3])],  # in the middle of a number
)
def test_a_damaged_file_is_refused_in_one_line(data):
    with pytest.raises(ValueError, match=r"^x\.pt: no file of labels that torch reads safely: .+$"):
        torch_files.read_labels(data, "x.pt")


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is(monkeypatch):
    data = saved(torch.arange(500))
    torch_files.read_labels(data, "x.pt")
    monkeypatch.setattr(formats, "SIZE_CAP", 4000)
    with pytest.raises(ValueError, match=r"it unpacks to \d+ bytes, allowed are 4000"):
        torch_files.read_labels(data, "x.pt")


def test_no_way_in_but_the_restricted_one_is_ever_tried(monkeypatch):
    calls = []

    def load(*args, **options):
        calls.append(options)
        raise pickle.UnpicklingError("no")

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(ValueError, match="its pickle is none of tensors and arrays of integers"):
        torch_files.read_labels(b"anything", "x.pt")
    assert [call["weights_only"] for call in calls] == [True]


def test_nothing_stays_allowed_after_a_file_was_read():
    before = torch.serialization.get_safe_globals()
    torch_files.read_labels(saved(ARRAYS["cal"], zipped=False), "x.pt")
    assert set(torch.serialization.get_safe_globals()) == set(before)  # in whatever order torch keeps them


def test_files_without_tensors_are_read_without_torch():
    load = "label_files.load(b'[1, 2]', 'x.json')"
    code = f"import sys; from bench.data import label_files; {load}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, check=True)
    assert done.stdout == b"False\n"

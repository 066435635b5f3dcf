"""Label files of other groups: every form is read to the same labels, and what is none is refused in one line."""

import io
import json
import os
import pickle
import re
import zipfile
from dataclasses import replace

import numpy as np
import pytest

import noise
from noise import NoiseSpec, corrupt, formats
from noise.formats import NeedsTorch, read_cifar_n, read_labels, write_labels

GIVEN = np.array([3, 0, 2, 2, 1, 0], dtype=np.int64)
CLEAN = np.array([3, 0, 1, 2, 1, 0], dtype=np.int64)


def npy(array, allow_pickle=False):
    out = io.BytesIO()
    np.save(out, array, allow_pickle=allow_pickle)
    return out.getvalue()


def npz(**arrays):
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def archive(content, prefix="archive", raw=False):
    """A .pt as torch writes it for content without tensors: a zip with <prefix>/data.pkl of protocol 2."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(f"{prefix}/data.pkl", content if raw else pickle.dumps(content, protocol=2))
        file.writestr(f"{prefix}/version", "3\n")
    return out.getvalue()


def text(value):
    return json.dumps(value).encode()


def csv(rows, header="label,label_noisy"):
    return "\n".join([header, *rows, ""]).encode()


ROWS = [f"{y},{g}" for y, g in zip(CLEAN, GIVEN, strict=True)]
CAL = {"clean_label_train": CLEAN, "noise_label_train": GIVEN}


@pytest.mark.parametrize(
    ("name", "data", "clean"),
    [
        ("dividemix/0.2_sym.json", text(GIVEN.tolist()), None),
        ("bom.json", b"\xef\xbb\xbf" + text(GIVEN.tolist()), None),
        ("plc.npy", npy(GIVEN), None),
        ("column.npy", npy(GIVEN[:, None].astype(np.uint8)), None),
        ("PLC.NPY", npy(GIVEN.astype(">i4")), None),
        ("ours.npz", npz(given=GIVEN, clean=CLEAN), CLEAN),
        ("unknown_truth.npz", npz(given=GIVEN, clean=np.zeros(0, dtype=np.int64)), None),
        ("one.npz", npz(whatever=GIVEN), None),
        ("seal.csv", csv(ROWS), CLEAN),
        ("index.csv", csv([f"{i},{row}" for i, row in enumerate(ROWS)], ",label,label_noisy"), CLEAN),
        ("windows.csv", b"\xef\xbb\xbf" + csv(ROWS).replace(b"\n", b"\r\n"), CLEAN),
        ("cal.pt", archive(CAL), CLEAN),
        ("peer_loss.pth", archive({"noise_label_train": GIVEN.tolist()}, "CIFAR-100_human"), None),
        ("one_of_cifar_n.pt", archive({"clean_label": CLEAN, "noisy_label": GIVEN}), CLEAN),
        ("bare.pt", archive(GIVEN), None),
        ("list.pt", archive(GIVEN.tolist()), None),
    ],
)
def test_every_form_gives_the_same_labels(name, data, clean):
    found = read_labels(data, name)
    assert found.given.dtype == np.int64
    assert found.given.tolist() == GIVEN.tolist()
    assert (found.clean is None) == (clean is None)
    assert clean is None or found.clean.tolist() == clean.tolist()
    assert found.is_ood is None
    assert found.form
    assert set(found.arrays()) == ({"given"} if clean is None else {"given", "clean"})


def test_evidentialmix_tells_labels_and_foreign_images():
    table = {"noise_labels": GIVEN.tolist(), "open_noise": [[4, 17], [0, 49_999]], "closed_noise": [2]}
    found = read_labels(text(table), "0.30_0.50_cifar100.json")
    assert found.given.tolist() == GIVEN.tolist()
    assert found.is_ood.tolist() == [True, False, False, False, True, False]
    assert found.source_index.tolist() == [49_999, -1, -1, -1, 17, -1]
    assert set(found.arrays()) == {"given", "is_ood", "source_index"}
    closed_only = read_labels(text({**table, "open_noise": []}), "0.30_0.00_cifar100.json")
    assert closed_only.is_ood is None


def test_odnl_tells_foreign_images_alone():
    found = read_labels(text([[4, 17], [0, 3]]), "open_0.5.json")
    assert found.given is None
    assert found.foreign.tolist() == [[4, 17], [0, 3]]
    arrays = found.arrays()
    assert set(arrays) == {"given", "foreign"}
    assert arrays["given"].shape == (0,)


def made(family="symmetric:0.4", **attached):
    spec = NoiseSpec.parse(family)
    return corrupt(np.arange(60) % 4, None, 4, spec, 3, attached=attached)


@pytest.mark.parametrize("form", formats.FORMS)
def test_what_is_written_is_read_again(form):
    corruption = made()
    found = read_labels(write_labels(corruption, form), f"x.{form}")
    assert np.array_equal(found.given, corruption.given)
    assert found.clean is None or np.array_equal(found.clean, corruption.clean)
    assert (found.clean is not None) == (form in ("npz", "csv"))
    assert write_labels(corruption, form) == write_labels(corruption, form)


@pytest.mark.parametrize("form", ["npz", "json"])
def test_foreign_images_are_written_and_read_again(form):
    corruption = made("openset:0.5:open=0.5", source_size=np.array(70))
    found = read_labels(write_labels(corruption, form), f"x.{form}")
    assert np.array_equal(found.given, corruption.given)
    assert np.array_equal(found.is_ood, corruption.is_ood)
    assert np.array_equal(found.source_index, corruption.source_index)
    assert 0 < found.is_ood.sum() < 60


def test_the_written_forms_are_those_of_others():
    corruption = replace(made(), given=GIVEN.copy(), clean=CLEAN.copy())
    assert write_labels(corruption, "json") == b"[3, 0, 2, 2, 1, 0]"
    assert write_labels(corruption, "csv") == b"label,label_noisy\n3,3\n0,0\n1,2\n2,2\n1,1\n0,0\n"
    assert np.load(io.BytesIO(write_labels(corruption, "npy"))).tolist() == GIVEN.tolist()
    foreign = replace(
        corruption, is_ood=np.arange(6) == 2, source_index=np.where(np.arange(6) == 2, 9, -1), given=GIVEN[::-1].copy()
    )
    assert json.loads(write_labels(foreign, "json")) == {
        "noise_labels": [0, 1, 2, 2, 0, 3],
        "open_noise": [[2, 9]],
        "closed_noise": [0, 1, 4, 5],
    }


def test_our_own_file_is_read_with_its_number_of_classes():
    corruption = made()
    found = read_labels(noise.to_bytes(corruption, noise.card(corruption)), f"{corruption.noise_id}.npz")
    assert np.array_equal(found.given, corruption.given)
    assert np.array_equal(found.clean, corruption.clean)
    assert (found.is_ood, found.num_classes) == (None, 4)
    assert read_labels(npz(given=GIVEN), "x.npz").num_classes is None


@pytest.mark.parametrize(
    ("change", "form", "message"),
    [
        ({}, "pt", "labels are written as npz, json, npy, csv, got 'pt'"),
        ({"clean": None}, "csv", "a .csv has a column of true labels, and nobody knows those of these data"),
        ({"is_ood": np.arange(60) < 2, "source_index": np.arange(60)}, "csv", "a .csv has no place for foreign images"),
        ({"is_ood": np.arange(60) < 2, "source_index": np.arange(60)}, "npy", "a .npy has no place for foreign images"),
        ({"is_ood": np.arange(60) < 2, "source_index": np.full(60, -1)}, "json", "for each foreign one; write .npz"),
    ],
)
def test_a_form_that_has_no_place_for_the_labels_is_refused(change, form, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        write_labels(replace(made(), **change), form)


BAD = [  # values that are no labels: name, value at index 2 of five, what the message shows of it
    ("half", 1.5, "1.5 at index 2"),
    ("whole", 3.0, "3.0 at index 2"),
    ("nan", float("nan"), "nan at index 2"),
    ("bool", True, "True at index 2"),
    ("text", "3", "'3' at index 2"),
    ("none", None, "None at index 2"),
    ("list", [1], "list at index 2"),
    ("minus", -1, "-1 at index 2"),
    ("ignored", -100, "-100 at index 2"),
    ("huge", 2**63, "9223372036854775808 at index 2"),
]


@pytest.mark.parametrize(("value", "shown"), [pytest.param(value, shown, id=name) for name, value, shown in BAD])
@pytest.mark.parametrize("where", ["list", "table", "pickle"])
def test_a_value_that_is_no_label_is_named_with_its_index(where, value, shown):
    values = [0, 1, value, 1, 0]
    name, data = {
        "list": ("x.json", text(values)),
        "table": ("x.json", text({"noise_labels": values})),
        "pickle": ("x.pt", archive(values)),
    }[where]
    with pytest.raises(ValueError, match=rf"^{re.escape(name)}: no file of labels: .*{re.escape(shown)}$"):
        read_labels(data, name)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([0, 1, 1.5, 2.5]), "labels must be integers, got float64, 1.5 at index 2"),
        (np.array([0.0, 1, 3], dtype=np.float32), "labels must be integers, got float32, 0.0 at index 0"),
        (np.array([0, 1, np.nan]), "labels must be integers, got float64, nan at index 2"),
        (np.array([False, True]), "labels must be integers, got bool, False at index 0"),
        (np.array([1j]), "labels must be integers, got complex128, 1j at index 0"),
        (np.array(["3"]), "labels must be integers, got <U1, 3 at index 0"),
        (np.array([0, 1, -1, -100]), "labels must be at least 0, got -1 at index 2"),
        (np.array([0, 1, -100], dtype=np.int8), "labels must be at least 0, got -100 at index 2"),
        (np.array([0, 2**63], dtype=np.uint64), "labels must be at least 0, got 9223372036854775808 at index 1"),
        (np.arange(6).reshape(3, 2), "one integer per sample, shape (N,), got int64 of shape (3, 2)"),
        (np.array(3), "one integer per sample, shape (N,), got int64 of shape ()"),
        (np.zeros(0, dtype=np.int64), "one integer per sample, shape (N,), got int64 of shape (0,)"),
        (np.zeros(2, dtype="i8,i8"), "labels must be integers, got [('f0', '<i8'), ('f1', '<i8')]"),
    ],
)
@pytest.mark.parametrize("form", ["npy", "npz"])
def test_an_array_that_holds_no_labels_is_refused(array, message, form):
    data = npy(array) if form == "npy" else npz(given=array)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_labels(data, f"x.{form}")
    assert str(caught.value).startswith(f"x.{form}: no file of labels: ")


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("form", ["npy", "npz", "pt", "given_of_npz", "old_pt"])
def test_a_file_that_would_run_a_command_is_refused_and_nothing_runs(form, tmp_path):
    evil = Evil(tmp_path / "canary")
    array = np.array([evil, 1], dtype=object)
    name, data = {
        "npy": ("x.npy", npy(array, allow_pickle=True)),
        "npz": ("x.npz", npz(labels=array)),
        "given_of_npz": ("x.npz", npz(given=GIVEN, clean=array)),
        "pt": ("x.pt", archive({"noise_label_train": GIVEN, "more": evil})),
        "old_pt": ("x.pt", pickle.dumps(evil)),
    }[form]
    with pytest.raises(ValueError, match=r"no file of labels|read with torch"):
        read_labels(data, name)
    assert not (tmp_path / "canary").exists()
    pickle.loads(pickle.dumps(evil))
    assert (tmp_path / "canary").exists()  # it was dangerous indeed


def bomb(name, size, claimed=None):
    """An archive of zeros whose member `name` unpacks to `size` bytes, and says `claimed`."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, b"\0" * size)
    data = out.getvalue()
    if claimed is None:
        return data
    return data.replace(size.to_bytes(4, "little"), claimed.to_bytes(4, "little"))


@pytest.mark.parametrize(("name", "member"), [("x.npz", "given.npy"), ("x.pt", "archive/data.pkl")])
def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is(name, member, monkeypatch):
    monkeypatch.setattr(formats, "SIZE_CAP", 1000)
    with pytest.raises(ValueError, match=f"{member} unpacks to 5000 bytes, allowed are 1000"):
        read_labels(bomb(member, 5000), name)
    with pytest.raises(ValueError, match="no file of labels: Bad CRC-32"):
        read_labels(bomb(member, 5000, claimed=900), name)  # no more than the claimed size is unpacked
    with pytest.raises(ValueError, match=r"^it unpacks to 5000 bytes, allowed are 1000$"):
        formats.check_sizes(bomb(member, 5000))
    formats.check_sizes(bomb(member, 1000))


def test_more_labels_than_any_data_set_has_are_refused():
    with pytest.raises(ValueError, match=r"shape \(N,\), got int8 of shape \(33554433,\)"):
        formats.vector("array", np.broadcast_to(np.int8(1), (formats.COUNT_CAP + 1,)))


GOOD_NPZ = npz(given=GIVEN)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.txt", b"", r"x\.txt: labels are read from \.npz, \.npy, \.json, \.csv, \.pt, \.pth, got '\.txt'"),
        ("labels", b"", "labels: labels are read from .* got 'no suffix'"),
        ("x.npy", b"", "x.npy: no file of labels: "),
        ("x.npy", npy(GIVEN)[:-3], "x.npy: no file of labels: "),
        ("x.npy", b"\x93NUMPY\x01\x00" + b"\x10\x00" + b"{'descr': [(((((", "x.npy: no file of labels: "),
        ("x.npz", b"", "not a zip file"),
        ("x.npz", GOOD_NPZ[:60], "not a zip file"),
        ("x.npz", npz(a=GIVEN, b=GIVEN), "holds an array `given`, or one array; this one: a, b"),
        ("x.npz", npz(given=GIVEN, is_ood=GIVEN), r"is_ood must be bool of shape \(6,\), got int64 of \(6,\)"),
        ("x.npz", npz(given=GIVEN, is_ood=GIVEN[:5] > 1), r"is_ood must be bool of shape \(6,\), got bool of \(5,\)"),
        ("x.npz", npz(given=GIVEN, is_ood=GIVEN > 1), r"need source_index, integers of shape \(6,\), got nothing"),
        ("x.npz", npz(given=GIVEN, is_ood=GIVEN > 1, source_index=GIVEN * 1.0), r"got float64 of \(6,\)"),
        ("x.npz", npz(given=GIVEN, card=np.array("{")), "x.npz: no file of labels: "),
        ("x.npz", npz(given=GIVEN, card=np.array("[]")), "x.npz: no file of labels: "),
        ("x.json", b"", "x.json: no file of labels: Expecting value"),
        ("x.json", b"\xff\xfe[\x001\x00]\x00", "x.json: no file of labels: 'utf-8' codec"),
        ("x.json", b"[" * 100_000, "x.json: no file of labels: maximum recursion depth"),
        ("x.json", b"[1, 2", "x.json: no file of labels: "),
        ("x.json", b"[]", r"got float64 of shape \(0,\)"),
        ("x.json", b"{}", "JSON labels are a list of integers"),
        ("x.json", b"3", "JSON labels are a list of integers"),
        ("x.json", text([[1, 2], [3]]), r"\[sample, image\], integers from 0 on; got \[3\] at 1"),
        ("x.json", text([[1, 2], [3, 1.0]]), r"integers from 0 on; got \[3, 1\.0\] at 1"),
        ("x.json", text([[1, 2], [3, True]]), r"integers from 0 on; got \[3, True\] at 1"),
        ("x.json", text([[1, 2], [-3, 1]]), r"integers from 0 on; got \[-3, 1\] at 1"),
        ("x.json", text([[1, 2], 3]), "integers from 0 on; got 3 at 1"),
        ("x.json", text({"noise_labels": [0], "open_noise": {}}), r"a list of \[sample, image\], got \{\}"),
        (
            "x.json",
            text({"noise_labels": [0, 1], "open_noise": [[2, 5]]}),
            "image 5 replaces sample 2, but samples are 0",
        ),
        (
            "x.json",
            text({"noise_labels": [0, 1], "open_noise": [[1, 5], [1, 6]]}),
            "images 5 and 6 both replace sample 1",
        ),
        ("x.json", text({"noise_labels": {"0": 1}}), "labels are an array or a list, got dict"),
        ("x.csv", b"", "has the columns label and label_noisy, got none"),
        ("x.csv", csv(["1", "2"], "label_noisy"), "has the columns label and label_noisy, got label_noisy"),
        ("x.csv", csv(["1,2"], "label;label_noisy"), "got label;label_noisy"),
        ("x.csv", csv([]), r"got float64 of shape \(0,\)"),
        ("x.csv", csv(["1,2", "3"]), "label_noisy: labels must be integers, got None at index 1"),
        ("x.csv", csv(["1,2", "1,3.0"]), r"label_noisy: labels must be integers, got '3\.0' at index 1"),
        ("x.csv", csv(["1,2", "nan,3"]), "label: labels must be integers, got 'nan' at index 1"),
        ("x.csv", csv(["1,2", "1,--1"]), "label_noisy: labels must be integers, got '--1' at index 1"),
        ("x.csv", csv(["1,2", "1,-100"]), "label_noisy: labels must be at least 0, got -100 at index 1"),
        ("x.csv", csv(["1," + "2" * 200_000]), "x.csv: no file of labels: field larger than field limit"),
        ("x.pt", archive({"a": GIVEN}), "one label set, under one of noise_label_train, .*; this one has a$"),
        ("x.pt", archive({}), "this one has nothing$"),
        ("x.pt", archive({"aggre_label": GIVEN, "worse_label": GIVEN}), "write human:NAME for CIFAR-N's$"),
        ("x.pt", archive("labels"), "labels are an array or a list, got str"),
        ("x.pt", archive(b"\x80\x02", raw=True), "damaged pickle"),
        ("x.pt", archive(GIVEN)[:80], "not a zip file"),
        ("x.pt", bomb("archive/other", 3), "a .pt archive has one data.pkl, this one has 0"),
    ],
)
def test_what_is_no_file_of_labels_is_refused_in_one_line(name, data, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_labels(data, name)
    assert not isinstance(caught.value, NeedsTorch)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_every_cut_of_a_file_is_refused_or_read_but_never_breaks():
    corruption = made("openset:0.5:open=0.5", source_size=np.array(70))
    files = {f"x.{form}": write_labels(corruption, form) for form in ("npz", "json")}
    files |= {"x.npy": npy(GIVEN), "x.csv": csv(ROWS), "x.pt": archive(CAL)}
    for name, data in files.items():
        cuts = range(0, len(data), 7)
        refusals = [text for text in (refusal(data[:end], name) for end in cuts) if text is not None]
        assert all(text.startswith(f"{name}: ") for text in refusals)
        assert len(refusals) > (1 if name == "x.csv" else len(cuts) - 3), name  # a .csv may end after any row


def refusal(data, name):
    try:
        read_labels(data, name)
    except ValueError as error:
        return str(error)
    return None


TENSOR = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00."


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (archive(TENSOR, raw=True), "tensors are read with torch"),
        (archive(b"\x80\x02ccollections\nOrderedDict\n)R.", raw=True), "tensors are read with torch"),
        (pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2), "a .pt file of the old form, or none at all"),
        (b"", "a .pt file of the old form, or none at all"),
    ],
)
def test_what_only_torch_can_read_is_told_apart(data, why):
    with pytest.raises(NeedsTorch, match=rf"^x\.pt: {why}"):
        read_labels(data, "x.pt")


def human(**change):
    return {"clean_label": CLEAN, "aggre_label": GIVEN, "worse_label": GIVEN.tolist()} | change


def test_a_cifar_n_file_is_read_by_its_keys():
    for prefix in ("archive", "CIFAR-100_human"):
        found = read_cifar_n(archive(human(), prefix))
        assert {key: value.tolist() for key, value in found.items()} == {
            "clean_label": CLEAN.tolist(),
            "aggre_label": GIVEN.tolist(),
            "worse_label": GIVEN.tolist(),
        }
        assert all(value.dtype == np.int64 for value in found.values())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (archive({"aggre_label": GIVEN}), "it has no clean_label"),
        (archive(GIVEN), "it has no clean_label"),
        (archive(human(aggre_label=GIVEN - 1)), "aggre_label: labels must be at least 0, got -1 at index 1"),
        (archive(human(aggre_label=GIVEN * 1.0)), "aggre_label: labels must be integers, got float64, 3.0 at index 0"),
        (archive(human(worse_label=GIVEN[:5])), "5 worse_label, but 6 clean_label"),
        (archive(TENSOR, raw=True), "tensors are read with torch"),
        (b"", "of the old form"),
    ],
)
def test_what_is_no_cifar_n_file_is_refused(data, message):
    with pytest.raises(ValueError, match=rf"^no CIFAR-N file: .*{re.escape(message)}"):
        read_cifar_n(data)

"""An archive of a stranger: whatever was done to it is one line, and nothing is written where it should not be."""

from __future__ import annotations

import io
import re
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bench.files import canonical, sha256
from bench.sharing import archive
from bench.sharing.submission import Submission
from bench.sharing.told import check_shape
from tests.bench.sharing.conftest import packed, record, relisted, resealed, told


def flip(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


def first(files, ending, start=""):
    return next(name for name in sorted(files) if name.endswith(ending) and name.startswith(start))


KINDS = {
    "result": ("result.json", "runs/"),
    "config": ("config.json", "runs/"),
    "predictions": (".npy", "runs/"),
    "labels": (".npz", "noise/"),
    "card": (".json", "noise/"),
    "suite": (".json", "suites/"),
    "raw data": ("runs.csv", ""),
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_changed_byte_of_any_file_is_noticed(kind, files, board):
    name = first(files, *KINDS[kind])
    board.put({**files, name: flip(files[name])})
    assert board.refusal() == f"{name}: its digest is not the one in submission.json"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "raw data"])
def test_one_changed_byte_is_noticed_where_the_list_was_made_again(kind, files, board):
    name = first(files, *KINDS[kind])
    board.put(relisted({**files, name: flip(files[name])}))
    assert board.refusal()


def test_a_changed_byte_of_the_list_is_refused_or_is_another_list(files):
    data, refused = files["submission.json"], 0
    for place in range(0, len(data), 97):
        changed = bytearray(data)
        changed[place] ^= 1
        try:
            assert Submission.from_bytes(bytes(changed)).to_bytes() != data
        except ValueError as error:
            refused += str(error).startswith("submission.json: ")
    assert refused > 10


def test_cut_short_at_any_place_it_is_refused(archived, board):
    for end in (0, 10, len(archived) // 2, len(archived) - 1):
        board.put(archived[:end])
        assert "no sound archive" in board.refusal()


# --- where things would be written


@pytest.mark.parametrize(
    "name",
    [
        "../out.txt",
        "/tmp/out.txt",
        "runs/../../out.txt",
        "runs\\..\\out.txt",
        "C:out.txt",
        "runs/x/result.json",
        "a\nb",
    ],
)
def test_a_name_that_no_export_writes_is_refused_before_anything_is_unpacked(name, files, board, tmp_path, say):
    board.put({**files, name: b"x"})
    assert board.refusal() == " ".join(f"{name!r} is no name that an export writes".split())
    code, _, err = say("merge", board.folder / "one.zip", "--results", tmp_path / "there")
    assert (code, (tmp_path / "there").exists(), (tmp_path / "out.txt").exists()) == (3, False, False)
    assert err.count("\n") == 1


def test_a_name_may_not_be_listed_either(files, board):
    said = told(files)
    said["files"]["../out.txt"] = {"bytes": 1, "sha256": sha256(b"x")}
    board.put({**files, "submission.json": canonical(said)})
    assert board.refusal() == "submission.json: '../out.txt' is no name that an export writes"


def test_a_link_is_refused(files, board):
    path = packed(files, board.folder / "one.zip")
    entry = zipfile.ZipInfo("noise/n0123456789abcdef.npz")
    entry.external_attr, entry.create_system = (stat.S_IFLNK | 0o777) << 16, 3
    with zipfile.ZipFile(path, "a") as added:
        added.writestr(entry, "/etc/passwd")
    assert board.refusal() == "'noise/n0123456789abcdef.npz' is a link"


def test_a_name_that_stands_twice_is_refused(files, board):
    path = packed(files, board.folder / "one.zip")
    with zipfile.ZipFile(path, "a") as added, pytest.warns(UserWarning, match="Duplicate name"):
        added.writestr("runs.csv", b"other")
    assert board.refusal() == "runs.csv is in it twice"


def test_folders_that_were_packed_with_it_do_no_harm(files, board):
    path = packed(files, board.folder / "one.zip")
    with zipfile.ZipFile(path, "a") as added:
        added.writestr("runs/", b"")
    assert board.check()[0] == 0


# --- how much would be written


def test_a_bomb_is_refused_by_the_size_that_is_listed(files, board, monkeypatch):
    name = first(files, ".npy")
    board.put({**files, name: bytes(5_000_000)})
    assert board.refusal() == f"{name} has 5,000,000 bytes, {len(files[name]):,} by submission.json"
    monkeypatch.setattr(archive, "MOST_BYTES", 1_000_000)
    assert "bytes unpacked, 1,000,000 are allowed" in board.refusal()


def test_a_bomb_that_lists_its_size_is_refused_by_what_is_allowed(files, board, monkeypatch):
    monkeypatch.setattr(archive, "MOST_OF_ONE", 1_000_000)
    name = first(files, ".npy")
    board.put(relisted({**files, name: bytes(5_000_000)}))
    assert board.refusal() == f"{name} has 5,000,000 bytes, 1,000,000 are allowed"


def test_an_entry_that_lies_about_its_size_is_never_unpacked_beyond_it(files, board):
    name = first(files, ".npy")
    path = packed({**files, name: bytes(5_000_001)}, board.folder / "one.zip")
    real, data = len(files[name]), path.read_bytes()
    assert data.count((5_000_001).to_bytes(4, "little")) == 2  # in the entry's own head, and in the list at the end
    data = data.replace((5_000_001).to_bytes(4, "little"), real.to_bytes(4, "little"))
    path.write_bytes(data)
    assert board.refusal()


def test_a_bomb_within_label_arrays_is_refused(files, board):
    name = first(files, ".npz")
    packed_arrays = io.BytesIO()
    with zipfile.ZipFile(packed_arrays, "w", zipfile.ZIP_DEFLATED) as arrays:
        arrays.writestr("given.npy", bytes(5_000_000))
    board.put(relisted({**files, name: packed_arrays.getvalue()}))
    assert board.refusal() == f"{name} holds compressed arrays, which no harness writes"


def with_predictions(files, data):
    """A run that has these bytes for its predictions, with every digest made right again."""
    place, found = record(files)
    payload = found["payload"]
    kept = {name: held for name, held in files.items() if not name.startswith(f"{place}predictions-")}
    kept[f"{place}predictions-{sha256(data)[:16]}.npy"] = data
    changed = payload | {"predictions_sha256": sha256(data)}
    return relisted(resealed(kept, place, changed, found["provenance"]))


@pytest.mark.parametrize("shape", ["(1000000000000000,)", "(10,)", "(-1,)", "'no shape'"])
def test_predictions_that_claim_what_they_are_not_are_refused(shape, files, board):
    head = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    board.put(with_predictions(files, b"\x93NUMPY\x01\x00v\x00" + head.encode()))
    assert board.refusal()


def test_predictions_of_objects_are_refused_and_run_nothing(files, board, tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    out = io.BytesIO()
    np.save(out, np.array([Evil()], dtype=object), allow_pickle=True)
    board.put(with_predictions(files, out.getvalue()))
    assert "Object arrays cannot be loaded" in board.refusal()
    assert not (tmp_path / "ran").exists()


# --- what submission.json may say

NESTED = b"[" * 100_000
LISTS = {
    "nothing": (b"", "submission.json: Expecting value"),
    "no JSON": (b"{", "submission.json: Expecting property name"),
    "a list": (b"[]", "submission.json: schema None is unknown; this version reads 1"),
    "nested": (NESTED, "submission.json: JSON is nested too deeply"),
    "another schema": (b'{"schema":2}', "submission.json: schema 2 is unknown; this version reads 1"),
    "a huge number": (b'{"schema":1e999}', "submission.json: schema inf is unknown"),
    "thousands of digits": (b'{"schema":' + b"9" * 5000 + b"}", "submission.json: Exceeds the limit"),
    "lacks": (b'{"schema":1}', "submission.json: submission lacks 'harness'"),
    "not text": (b"\xff\xfe", "submission.json: 'utf-8' codec can't decode"),
    "a key twice": (b'{"schema":1,"schema":1}', "submission.json: JSON repeats the key 'schema'"),
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_that_is_none_is_told_in_one_line(kind, files, board):
    data, message = LISTS[kind]
    board.put({**files, "submission.json": data})
    assert board.refusal().startswith(message)


LISTED = {"bytes": 1, "sha256": "f" * 64}
STRANGE = {
    "setting": {"dataset": {}, "train": {}, "protocol": 1},
    "noise": [{"family": "strange", "rate": 0.5}],
    "seeds": [[0, 0]],
}
WRONG = {
    "no runs": ({"files": {}}, "it lists no run"),
    "a name of two lines": ({"name": "a\nb"}, "name must be one line of at most 300 printable characters, got 'a\\nb'"),
    "a long name": ({"by": "x" * 301}, "by must be one line of at most 300 printable characters"),
    "a name that turns around": ({"name": "\u202eevil"}, "name must be one line of at most 300 printable characters"),
    "a number for a name": ({"name": 3}, "submission.name must be a text, got 3"),
    "no protocol": ({"protocols": [{"setting": {}, "noise": [], "seeds": []}]}, "a protocol needs noise, and pairs of"),
    "another rule": ({"protocols": [{"setting": {}, "noise": [], "seeds": [], "rule": "best"}]}, "unknown selection"),
    "more": ({"more": 1}, "unknown setting in submission 'more'"),
    "no digest": ({"files": {"runs.csv": {"bytes": 1, "sha256": "f" * 63}}}, "runs.csv has no size and digest"),
    "no size": ({"files": {"runs.csv": {"bytes": -1, "sha256": "f" * 64}}}, "runs.csv has no size and digest"),
    "no list of runs": ({"files": {f"runs/r{'0' * 20}/result.json": LISTED}}, "it does not list runs.csv"),
    "noise and no seeds": ({"protocols": [{"setting": {}, "noise": [{}], "seeds": []}]}, "a protocol needs noise, and"),
    "seeds alone": ({"protocols": [{"setting": {}, "noise": [{}], "seeds": [[0, 0], [1]]}]}, "a protocol needs noise"),
    "other settings": ({"protocols": [{"setting": {}, "noise": [{}], "seeds": [[0, 0]]}]}, "a protocol's setting has"),
    "noise that is none": ({"protocols": [STRANGE]}, "unknown noise family 'strange'"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_list_that_says_what_no_export_says_is_told_in_one_line(kind, files, board):
    changes, message = WRONG[kind]
    said = told(files) | changes
    board.put({**files, "submission.json": canonical(said)})
    refusal = board.refusal()
    assert refusal.startswith(f"submission.json: {message}")
    assert len(refusal) < 400


def test_a_name_may_have_three_hundred_characters_and_a_file_none(files):
    said = told(files) | {"by": "x" * 300}
    said["files"]["runs.csv"]["bytes"] = 0
    assert Submission.from_bytes(canonical(said)).by == "x" * 300


def test_a_file_that_is_missing_or_was_never_listed_is_named(files, board):
    name = first(files, ".npy")
    board.put({n: d for n, d in files.items() if n != name})
    assert board.refusal() == f"{name} is missing, and submission.json lists it"
    said = told(files)
    del said["files"][name]
    board.put({**files, "submission.json": canonical(said)})
    assert board.refusal() == f"{name} is not listed in submission.json"
    board.put({n: d for n, d in files.items() if n != "submission.json"})
    assert board.refusal() == "it holds no submission.json: it was not written by `export`"


def test_a_suite_that_is_not_the_one_told_is_refused(files, board):
    said = told(files)
    said["suite"]["definition"]["seeds"] = [0]
    board.put({**files, "submission.json": canonical(said)})
    assert "the suite's digest is" in board.refusal()


def test_a_protocol_that_claims_fewer_seeds_than_there_are_runs_is_refused(files, board):
    said = told(files)
    said["protocols"][0]["seeds"] = [[0, 0]]
    board.put({**files, "submission.json": canonical(said)})
    assert board.refusal() == "4 runs keep another protocol: noise or seeds that it does not name"


# --- what a record may say

VALUES = ("<b>", [7])


def small(files):
    """The submission of one run alone."""
    place, _ = record(files)
    return {name: data for name, data in files.items() if not name.startswith("runs/") or name.startswith(place)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise_id": 3}, "noise_id must be a text, got 3"),
        ({"device_kind": None}, "device_kind must be a text, got None"),
        ({"needs": "noise_rate"}, "needs must be a list of texts, got 'noise_rate'"),
        ({"heads": ["net1", 2]}, "heads must be a list of texts, got ['net1', 2]"),
        ({"code": "0" * 15}, "code must be 16 hexadecimal digits, got '000000000000000'"),
        ({"method_code": "0" * 17}, "method_code must be 16 hexadecimal digits, got '00000000000000000'"),
        ({"method_code": "A" * 16}, "method_code must be 16 hexadecimal digits, got 'AAAAAAAAAAAAAAAA'"),
        ({"dataset_digest": "f" * 64}, "dataset_digest is not the one of its configuration"),
        (
            {"heads": ["net1"] * 2, "headline": ["net1"]},
            "headline must name some of the heads net1, net1, got ['net1']",
        ),
        ({"heads": ["net1"], "headline": []}, "headline must name some of the heads net1, got []"),
        ({"heads": ["net1"], "headline": ["net2"]}, "headline must name some of the heads net1, got ['net2']"),
        ({"num_networks": 0}, "num_networks must be a whole number above 0, got 0"),
        ({"num_networks": 1.0}, "num_networks must be a whole number above 0, got 1.0"),
        ({"num_networks": True}, "num_networks must be a whole number above 0, got True"),
    ],
)
def test_the_types_of_a_record_are_those_that_a_harness_writes(files, change, message):
    _, found = record(files)
    check_shape(found["payload"])
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_shape(found["payload"] | change)


def test_a_record_of_other_types_is_refused_or_harmless_and_ends_no_check(files, board, say):
    one = small(files)
    place, found = record(one)
    payload, provenance = found["payload"], found["provenance"]
    for name in sorted(payload.keys() - {"config", "run_id"}):
        for number, value in enumerate(VALUES):
            changed = resealed(one, place, payload | {name: value}, provenance)
            board.put(relisted(changed, name=f"{name} {number}"), f"{name}-{number}.zip")
    for number, value in enumerate((*VALUES, [{"command": 3, "started": 5}], ["x"])):
        changed = resealed(one, place, payload, provenance | {"attempts": value})
        board.put(relisted(changed, name=f"attempts {number}"), f"attempts-{number}.zip")
    code, said = board.check()
    assert code == 3
    verdicts = {one["name"]: one["verdict"] for one in said["submissions"]}
    harmless = {name.split()[0] for name, verdict in verdicts.items() if verdict != "refused"}
    # what no table and no page shows may be anything
    assert harmless <= {"attempts", "parameters", "forward_samples", "device_kind", "diverged"}
    assert all(len(reason) < 310 for one in said["submissions"] for reason in one["reasons"])
    assert say("leaderboard", board.folder)[0] == 0


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("dataset", {"name": "/etc/"}, "'/etc/' is no data set"),
        ("dataset", {"name": "../../x.npz"}, "'../../x.npz' is no data set"),
        (
            "noise",
            {"family": "file", "options": {"path": "/etc/passwd", "sha256": ""}},
            "the noise is read from '/etc/",
        ),
        ("noise", {"family": "file", "options": {"path": "a", "sha256": "../b"}}, "the noise is read from 'a', which"),
        ("noise", {"family": "openset", "options": {"source": "/etc/"}}, "the noise takes images of '/etc/', which is"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_run_that_names_a_place_of_this_machine_is_refused_before_anybody_looks(part, change, message, files, board):
    one = small(files)
    place, found = record(one)
    payload = found["payload"]
    payload["config"][part] |= change
    board.put(relisted(resealed(one, place, payload, found["provenance"])))
    refusal = board.refusal()
    assert refusal.startswith(f"runs/{payload['run_id'][:1]}")
    assert message in refusal


def test_data_of_ones_own_are_looked_for_only_where_somebody_says(files, board, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.npz").write_bytes(b"not to be read")
    one = small(files)
    place, found = record(one)
    payload = found["payload"]
    payload["config"]["dataset"]["name"] = "mine.npz"
    said = told(one)["protocols"]
    said[0]["setting"]["dataset"]["name"] = "mine.npz"
    board.put(relisted(resealed(one, place, payload, found["provenance"]), protocols=said))
    code, found = board.check()
    (one,) = found["submissions"]
    assert (code, one["verdict"]) == (1, "unchecked")
    reason = one["reasons"][0]
    assert reason.startswith("not checked: predictions against test labels, and labels drawn again: ")
    assert "data/mine.npz" in reason

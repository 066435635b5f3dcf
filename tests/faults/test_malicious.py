"""Twelve inputs that somebody may have prepared: for each a canary that must not wake, or a folder left as it was."""

import csv
import gzip
import io
import json
import pickle
import tarfile
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data import cifar, download
from bench.evidence.tables import accuracy_table, to_csv, to_latex, to_markdown, to_text
from bench.files import sha256
from bench.sweep.records.store import State, Store
from tests.bench.data.conftest import checksum_of
from tests.faults.conftest import Canary, contents

NAME = "cifar-10-python.tar.gz"
FILES = tuple(cifar.CIFAR10.checksums)
SUITE = 'dataset = "digits"\nnoise = ["symmetric:0.5"]\nmethods = ["ce"]\nseeds = "0"\n'


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, io.BytesIO(content)


def archive(
    path: Path, folder: Path, *evil: tuple[tarfile.TarInfo, io.BytesIO], form: int = tarfile.PAX_FORMAT
) -> None:
    """The right archive of a tiny CIFAR-10, with more in front of it."""
    with tarfile.open(path, "w:gz", format=form) as tar:
        for info, content in evil:
            tar.addfile(info, content)
        for name in FILES:
            tar.addfile(*member(name, (folder / name).read_bytes()))


@pytest.fixture
def unpack(tiny_source, tmp_path, monkeypatch):
    """Fetch cifar10 from an archive in a folder of its own; return the error and what lies around that folder."""
    monkeypatch.setattr(download, "torchvision", lambda: pytest.fail("went to the network"))
    target = tmp_path / "outer" / "target"
    target.mkdir(parents=True)

    def go(*evil: tuple[tarfile.TarInfo, io.BytesIO], form: int = tarfile.PAX_FORMAT) -> tuple[str, set[str]]:
        archive(target / NAME, tiny_source[1], *evil, form=form)
        with pytest.raises(ValueError, match=r"^[^\n]*refused$") as caught:
            download.fetch("cifar10", target, lambda line: None)
        return str(caught.value), set(contents(target.parent))

    return go


UNTOUCHED = {f"target/{NAME}", "target/.cifar10.lock"}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize(
    "name", ["../canary", "/tmp/lnbench-canary", "cifar-10-batches-py/../../canary", "./../canary"]
)
def test_m1_a_name_that_leads_out_of_the_folder_is_refused_in_every_form_of_tar(unpack, name, form):
    text, around = unpack(member(name, b"evil"), form=form)
    assert "points outside the folder" in text
    assert around == UNTOUCHED
    assert not Path("/tmp/lnbench-canary").exists()


def test_m1_a_name_that_a_later_header_replaces_is_judged_by_what_it_becomes(unpack):
    innocent, content = member("readme", b"evil", pax_headers={"path": "../canary"})
    text, around = unpack((innocent, content))
    assert "'../canary' points outside" in text
    assert around == UNTOUCHED
    text, around = unpack(member("../" + "d/" * 80 + "canary", b"evil"), form=tarfile.GNU_FORMAT)  # a header of its own
    assert "points outside" in text
    assert around == UNTOUCHED


@pytest.mark.parametrize(
    ("kind", "where"),
    [(tarfile.SYMTYPE, "../.."), (tarfile.SYMTYPE, "/etc/passwd"), (tarfile.LNKTYPE, "../../secret")],
)
def test_m2_a_link_is_refused_wherever_it_points_and_nothing_is_written_through_it(unpack, tmp_path, kind, where):
    (tmp_path / "secret").write_text("as it was")
    door = member("cifar-10-batches-py", type=kind, linkname=where)
    text, around = unpack(door, member("cifar-10-batches-py/secret", b"written through the link"))
    assert "is a link or a device" in text
    assert around == UNTOUCHED
    assert (tmp_path / "secret").read_text() == "as it was"
    # a link from a long way round, as those that got past the filters of the standard library
    deep = [member("a", type=tarfile.DIRTYPE), member("a/b", type=tarfile.SYMTYPE, linkname="../" * 200 + "etc")]
    assert "is a link" in unpack(*deep)[0]


def test_m3_a_megabyte_that_unpacks_to_a_gigabyte_ends_at_its_header(tiny_source, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "torchvision", lambda: pytest.fail("went to the network"))
    header = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
    header.size = 2**30
    zeros = gzip.compress(bytes(2**24), compresslevel=9)
    data = gzip.compress(header.tobuf()) + zeros * 64  # a gzip file may have many parts
    assert len(data) < 1.1 * 2**20
    (tmp_path / NAME).write_bytes(data)
    started = time.process_time()
    with pytest.raises(ValueError, match="has 1073741824 bytes, allowed are 200000000; refused"):
        download.fetch("cifar10", tmp_path, lambda line: None)
    assert time.process_time() - started < 1
    assert not (tmp_path / FILES[0]).exists()


def test_m3_many_members_of_an_allowed_size_end_at_the_sum_of_all(tiny_source, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "torchvision", lambda: pytest.fail("went to the network"))
    monkeypatch.setattr(download, "TOTAL_CAP", 2**25)
    part = tarfile.TarInfo("filler")
    part.size = 2**24
    part = gzip.compress(part.tobuf()) + gzip.compress(bytes(2**24))
    (tmp_path / NAME).write_bytes(part * 50)  # of 800 MB in all
    with pytest.raises(ValueError, match="unpacks to more than 33554432 bytes; refused"):
        download.fetch("cifar10", tmp_path, lambda line: None)
    assert not [path for path in tmp_path.glob(".unpack-*")]


@pytest.mark.parametrize("where", ["content", "array", "key"])
def test_m4_a_cifar_batch_that_would_run_a_command_is_refused_though_its_checksum_is_right(
    tiny_cifar, tmp_path, canary, monkeypatch, where
):
    layout, folder = tiny_cifar()
    labels = [0, 1, 2, 3]
    batch = {
        "content": {"data": np.zeros((4, 3072), np.uint8), "labels": labels, "more": canary},
        "array": {"data": np.array([canary] * 4, dtype=object), "labels": labels},
        "key": {"data": np.zeros((4, 3072), np.uint8), "labels": labels, (canary,): 1},
    }[where]
    (folder / layout.train[0]).write_bytes(pickle.dumps(batch, protocol=2))
    forged = {**layout.checksums, layout.train[0]: checksum_of(folder / layout.train[0])}
    with pytest.raises(ValueError, match=r"pickle (asks for \w+\.system|holds an array of 'O8')"):
        cifar.read(replace(layout, checksums=forged), folder)


def old_and_new(content: object) -> list[bytes]:
    found = []
    for zipped in (True, False):
        out = io.BytesIO()
        torch.save(content, out, _use_new_zipfile_serialization=zipped)
        found.append(out.getvalue())
    return found


def test_m5_a_pt_file_with_an_object_is_refused_by_every_command_that_reads_labels(here, tmp_path, canary, capsys):
    for number, data in enumerate(old_and_new({"noise_label_train": torch.arange(9), "more": canary})):
        (tmp_path / f"{number}.pt").write_bytes(data)
        evil = f"file:{number}.pt"
        run = ["--dataset", "digits", "--noise", evil, "--methods", "ce", "--seeds", "0"]
        for words in (["noise", "show", evil, "--dataset", "digits"], ["run", *run], ["table", *run]):
            code = here(*words)
            err = capsys.readouterr().err
            if words[0] == "table":  # knows the file by its hash alone
                assert code == 0
                continue
            assert code == 2, words
            assert f"{number}.pt: no file of labels" in err
            assert err.count("\n") == 1
        assert here("noise", "compare", f"{number}.pt", f"{number}.pt") == 2
        capsys.readouterr()


def test_m5_a_checkpoint_with_an_object_is_set_aside_though_its_name_is_right(plan, launch, tmp_path, canary):
    (run,) = plan(order="raise", at=2, epochs=4)
    (failed,) = launch([run])
    assert failed.state is State.FAILED
    folder = Store(tmp_path / "results").run(run.run_id)
    evil = {"run_id": run.run_id, "epoch": 3, "method": canary, "optimizers": [], "history": [], "forward_samples": 0}
    with folder.lock():
        for data in old_and_new(evil):
            folder.save_checkpoint(3, data)
            assert f"ckpt-000003-{sha256(data)[:16]}.pt" in {path.name for _, path in folder.checkpoints()}
    (outcome,) = launch([run])
    assert outcome.state is State.DONE
    assert len(list((folder.path / "quarantine").iterdir())) > 0
    assert not canary.awake
    launch([run], "alone")
    assert folder.result().payload == Store(tmp_path / "alone").run(run.run_id).result().payload


def test_m6_an_npy_file_with_an_object_is_refused_as_labels_matrix_scores_and_data(here, tmp_path, canary, capsys):
    np.save(tmp_path / "evil.npy", np.array([canary, 1], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "evil.npz", train_images=np.array([canary], dtype=object), train_labels=np.zeros(1, int),
             test_images=np.zeros((1, 4, 4), np.uint8), test_labels=np.zeros(1, int))  # fmt: skip
    for noise in ("file:evil.npy", "transition:evil.npy", "pmd:evil.npy", "seal:0.3:path=evil.npy"):
        assert here("noise", "show", noise, "--dataset", "digits") == 2, noise
    selection = ["--noise", "symmetric:0.5", "--methods", "ce", "--seeds", "0"]
    assert here("run", "--dataset", "evil.npz", *selection) == 2
    assert here("doctor", "evil.npz") != 0
    assert "Traceback" not in capsys.readouterr().err
    with zipfile.ZipFile(tmp_path / "evil.npz") as file:
        pickle.loads(file.read("train_images.npy")[128:])  # it was dangerous indeed
    assert canary.awake
    canary.path.unlink()


YAML = """
dataset: digits
noise: [symmetric:0.5]
methods: !!python/object/apply:os.system ["{command}"]
"""


@pytest.mark.parametrize("name", ["mine.yaml", "./mine.yaml", "./mine.yml", "mine.toml"])
def test_m7_a_yaml_suite_is_no_suite_whatever_its_tags(here, tmp_path, canary, capsys, name):
    (tmp_path / name).write_text(YAML.format(command=canary.command))
    for verb in ("run", "status", "table", "plot"):
        assert here(verb, name) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert set(contents(tmp_path)) == {Path(name).name}


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\ndataset: *c\n",  # aliases are of YAML alone
        SUITE.replace('["ce"]', "[" * 50_000 + "]" * 50_000),
        SUITE + f"val = {'9' * 400}\n",
        SUITE + f"val = {'9' * 5_000}\n",
        SUITE.replace('"0"', '"0-9999999999"'),
        SUITE.replace('"0"', '"' + "0-9999," * 9 + '0-10000"'),
        SUITE + "[train]\nepochs = 1e400\n",
        SUITE + "train." + ".a" * 10_000 + " = 1\n",
    ],
    ids=["aliases", "nested", "400 digits", "5,000 digits", "seeds", "one seed too many", "infinite", "dotted"],
)
def test_m8_a_small_suite_that_would_grow_without_end_is_refused_in_one_line_at_once(here, tmp_path, capsys, text):
    (tmp_path / "bomb.toml").write_text(text)
    started = time.process_time()
    assert here("status", "bomb.toml") == 2
    assert time.process_time() - started < 2
    assert "Traceback" not in (err := capsys.readouterr().err)
    assert err.startswith("run_bench.py status: bomb.toml: ")
    assert err.count("\n") == 1


def test_m8_a_stored_suite_that_is_nested_without_end_is_damaged(here, tmp_path, capsys):
    (tmp_path / "results" / "suites" / "bomb").mkdir(parents=True)
    (tmp_path / "results" / "suites" / "bomb" / f"{'0' * 12}.json").write_bytes(b"[" * 200_000)
    assert here("status", "bomb") == 2
    assert "damaged: JSON is nested too deeply" in capsys.readouterr().err


NAMES = ["../x", "a/b", "/etc/x", ".", "..", "x" * 300, "a\u202eb", "a\x1b[2Jb", "a\nb", "-rf", "", " ", "a b", "a\0b"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_m9_a_suite_whose_name_would_be_a_path_is_refused(here, tmp_path, capsys, name):
    (tmp_path / "mine.toml").write_text(f"name = {json.dumps(name)}\n{SUITE}")
    for verb in ("run", "status", "table"):
        assert here(verb, "mine.toml") == 2
        err = capsys.readouterr().err
        assert err.startswith("run_bench.py ")
        assert "mine.toml: " in err
        assert err.count("\n") == 1
        assert "\x1b" not in err
    assert set(contents(tmp_path)) == {"mine.toml"}


def test_m10_a_suite_that_names_code_is_refused_by_every_verb_even_where_results_bring_it(
    here, tmp_path, canary, capsys
):
    (tmp_path / "evil.py").write_text(f"import os\nos.system({canary.command!r})\nclass Mine(Base):\n    pass\n")
    suite = SUITE.replace('["ce"]', '["ce", "evil.py:Mine"]')
    (tmp_path / "mine.toml").write_text(suite)
    stored = {"name": "theirs", "dataset": "digits", "noise": ["symmetric:0.5"], "methods": ["evil:Mine"], "seeds": [0]}
    (tmp_path / "results" / "suites" / "theirs").mkdir(parents=True)
    (tmp_path / "results" / "suites" / "theirs" / f"{'0' * 12}.json").write_text(json.dumps(stored))
    before = contents(tmp_path)
    for name in ("mine.toml", "theirs"):
        for verb in ("run", "status", "table", "plot", "verify"):
            assert here(verb, name) == 2, (verb, name)
            out, err = capsys.readouterr()
            assert "names code to be run" in err
            assert "--allow-plugin" in err
            assert out == ""
    assert contents(tmp_path) == before


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)> | `x` [a](javascript:x) \\input{/etc/passwd}"
COMMANDS = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2066\r\x00 "  # of a terminal: a title, a wiped screen, a turned line


def test_m11_script_in_names_and_messages_is_text_in_every_table(make):
    labels = {"family": "file", "rate": None, "options": {"path": HOSTILE}}
    payloads = [make(HOSTILE, needs=[HOSTILE]), make("ce", noise=labels, heads={HOSTILE: [1]}, headline=[HOSTILE])]
    failed, expected = {"r1": HOSTILE + COMMANDS}, {"r1": make.config(seed=1)}
    table = accuracy_table(payloads, expected=expected, failed=failed, baseline=HOSTILE)
    page = to_markdown(table)
    assert "<" not in page
    assert ">" not in page
    assert "[a](" not in page
    assert page.count("&lt;script&gt;") > 5
    tex = to_latex(table)
    assert "\\input" not in tex
    assert tex.count(r"\textbackslash{}input\{/etc/passwd\}") > 5
    for text in (page, tex, to_text(table), to_text(table, width=40)):
        assert not [c for c in text if c != "\n" and not c.isprintable()]
        assert "x1b" in text
        assert "u202e" in text


def test_m11_colours_are_ours_alone(make):
    table = accuracy_table([make(COMMANDS, s, (50 + s,)) for s in range(3)] + [make("ce", s, (10,)) for s in range(3)])
    coloured = to_text(table, colour=True)
    assert "\x1b[1m" in coloured
    for command in ("\x1b]0;", "\x1b[2J", "\x9b", "\u202e", "\u2066"):
        assert command not in coloured


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "=HYPERLINK(", "@SUM(1)*", "+cmd|' /C calc'!A0"])
def test_m12_no_text_cell_of_a_csv_is_a_formula(make, start):
    evil = f"{start}cmd"
    payloads = [
        make(evil, needs=[evil], heads={evil: [1]}, headline=[evil], dataset={"name": evil}, params={evil: evil})
    ]
    payloads.append(make("ce", dataset={"name": "digits"}, heads={"net1": [1]}))
    for row in csv.DictReader(io.StringIO(to_csv(accuracy_table(payloads)), newline="")):
        for column, cell in row.items():
            assert not cell.startswith(("=", "+", "@", "\t", "\r")), (column, cell)
            assert not cell.startswith("-") or float(cell) < 0, (column, cell)


def test_the_canary_wakes_where_a_reader_trusts(tmp_path):
    canary = Canary(tmp_path / "awake")
    assert not canary.awake
    pickle.loads(pickle.dumps(canary))
    assert canary.awake

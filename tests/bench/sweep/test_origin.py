"""Which code and which command made a run: found once, in a real checkout, and told without names of people."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.sweep.records import origin
from bench.sweep.records.origin import published, version


@pytest.fixture
def checkout(tmp_path) -> Path:
    root = tmp_path / "checkout"
    (root / "bench").mkdir(parents=True)
    (root / "bench" / "a.py").write_text("a = 1\n")
    (root / ".gitignore").write_text("ignored.py\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "first")
    return root


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def test_a_clean_checkout_is_its_commit(checkout):
    assert version(checkout) == {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": False}


def test_changes_have_a_digest_that_knows_them_apart_and_comes_back_with_them(checkout):
    seen = []
    for text in ("a = 2\n", "a = 3\n", "a = 2\n"):
        (checkout / "bench" / "a.py").write_text(text)
        told = version(checkout)
        assert told.keys() == {"commit", "dirty", "diff_sha256"}
        seen.append(told["diff_sha256"])
    assert seen[0] == seen[2] != seen[1]
    git(checkout, "add", ".")
    assert version(checkout)["diff_sha256"] == seen[2]  # it does not matter what has been staged
    (checkout / "bench" / "a.py").write_text("a = 1\n")
    git(checkout, "add", ".")
    assert not version(checkout)["dirty"]


def test_code_that_git_does_not_know_counts_and_other_files_do_not(checkout):
    (checkout / "notes.txt").write_text("not code")
    (checkout / "ignored.py").write_text("x")
    assert version(checkout).keys() == {"commit", "dirty"}
    new = checkout / "bench" / "new.py"
    seen = set()
    for text in ("1", "2"):
        new.write_text(text)
        seen.add(version(checkout)["untracked_sha256"])
    new.rename(checkout / "bench" / "other.py")
    seen.add(version(checkout)["untracked_sha256"])
    (checkout / "bench" / "link.py").symlink_to("nowhere")
    seen.add(version(checkout)["untracked_sha256"])
    assert len(seen) == 4


def test_a_look_changes_nothing_and_waits_for_nobody(checkout):
    os.utime(checkout / "bench" / "a.py", (1, 1))  # git would like to note that it has not changed
    before = (checkout / ".git" / "index").read_bytes()
    assert not version(checkout)["dirty"]
    assert (checkout / ".git" / "index").read_bytes() == before
    (checkout / ".git" / "index.lock").touch()
    assert not version(checkout)["dirty"]


def test_the_commit_of_a_project_around_it_is_not_taken_for_ours(checkout, tmp_path):
    inside = checkout / "venv" / "site-packages"
    inside.mkdir(parents=True)
    assert version(inside) == {}
    assert version(tmp_path) == {}


def test_without_git_there_is_no_commit(checkout, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert version(checkout) == {}


def test_the_command_is_told_without_the_name_of_a_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setattr(origin, "version", lambda: {"commit": "c"})
    monkeypatch.setattr(sys, "argv", ["run_bench.py", "run", "--data-dir=/home/somebody/data", "--seeds", "0-4"])
    assert origin.origin() == {"commit": "c", "command": ["run", "--data-dir=~/data", "--seeds", "0-4"]}


def test_a_result_does_not_name_the_host():
    assert published({"host": "secret", "host_hash": "ab", "pid": 1}) == {"host_hash": "ab", "pid": 1}

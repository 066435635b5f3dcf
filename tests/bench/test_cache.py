"""What is kept in the user's cache folder comes back as it was, or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import cache


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "lnbench" / "computed"


def test_a_value_comes_back_with_its_keys_in_order_and_its_floats_to_the_last_digit(home):
    value = {"b": [0.1 + 0.2, None, True, "é"], "a": {}}
    assert cache.recall("numbers", "one") is None
    cache.keep("numbers", "one", value)
    assert cache.recall("numbers", "one") == value
    assert list(cache.recall("numbers", "one")) == ["b", "a"]
    assert os.listdir(home / "numbers") == ["one.json"]
    assert cache.recall("words", "one") is None


def test_every_flipped_bit_and_every_cut_is_noticed(home):
    cache.keep("numbers", "one", {"a": 12})
    path = home / "numbers" / "one.json"
    data = path.read_bytes()
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        assert cache.recall("numbers", "one") is None, position
        path.write_bytes(data[:position])
        assert cache.recall("numbers", "one") is None, position


def test_neither_a_link_nor_another_users_file_is_read(home, monkeypatch):
    cache.keep("numbers", "one", 1)
    (home / "numbers" / "two.json").symlink_to("one.json")
    assert cache.recall("numbers", "two") is None
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert cache.recall("numbers", "one") is None


def test_a_user_without_a_home_keeps_nothing(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")

    def homeless(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(cache.Path, "expanduser", homeless)
    cache.keep("numbers", "one", 1)
    assert cache.recall("numbers", "one") is None


def test_the_oldest_files_of_a_kind_go_first(home, monkeypatch):
    monkeypatch.setattr(cache, "KEPT", 3)
    for number in range(5):
        cache.keep("numbers", str(number), number)
        os.utime(home / "numbers" / f"{number}.json", ns=(0, number))
    cache.keep("words", "one", 1)
    assert sorted(os.listdir(home / "numbers")) == ["2.json", "3.json", "4.json"]
    assert cache.recall("words", "one") == 1


def test_no_test_and_no_process_of_one_touches_the_users_own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.undo()  # what holds where a test asks for nothing
    code = "from bench import cache; print(cache.folder('code'))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert Path(told) == cache.folder("code")
    assert Path(told).is_relative_to(tmp_path_factory.getbasetemp())

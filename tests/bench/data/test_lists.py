"""List files: what counts as a label, which line is named, what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest

from bench.data import lists


def written(folder: Path, content: bytes | str) -> Path:
    path = folder / "list.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_the_label_stands_behind_the_last_blank_of_a_name_with_commas_and_blanks(tmp_path):
    found = lists.labelled(written(tmp_path, "a/1,2 3.jpg 13\n\nb.jpg 0\n"), 14)
    assert (found.names, found.labels, found.unlabelled) == (["a/1,2 3.jpg", "b.jpg"], [13, 0], [])
    assert found.array().dtype == np.int64


@pytest.mark.parametrize("line", ["a.jpg", "a, 560.jpg", "a.jpg --1", "a.jpg 1.0", "a.jpg x", f"a.jpg {10**20}"])
def test_a_line_without_a_whole_number_behind_its_name_is_told_by_its_number(tmp_path, line):
    path = written(tmp_path, f"\nb.jpg 1\n{line}\nc.jpg 2\n")
    found = lists.labelled(path, 3)
    assert (found.names, found.unlabelled) == (["b.jpg", "c.jpg"], [3])
    assert [f.text for f in lists.findings_of(path, found)] == [f"{path}: no label in line 3; left out"]


@pytest.mark.parametrize("label", ["14", "-1"])
def test_a_label_of_no_class_is_refused_by_its_line(tmp_path, label):
    path = written(tmp_path, f"\na.jpg 1\nb.jpg {label}\n")
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}, line 3: label must lie in 0\.\.13, got {label}$"):
        lists.labelled(path, 14)


@pytest.mark.parametrize("name", ["../x.jpg", "/x.jpg", "a/../../x.jpg"])
def test_a_name_that_leads_out_is_refused_by_its_line_whatever_blanks_stand_before(tmp_path, name):
    with pytest.raises(ValueError, match=r"list.txt, line 4: image name"):
        lists.keys(written(tmp_path, f"\na.jpg\n\n{name}\n"))
    with pytest.raises(ValueError, match=r"list.txt, line 4: image name"):
        lists.labelled(written(tmp_path, f"\na.jpg 0\n\n{name} 0\n"), 1)


@pytest.mark.parametrize("content", ["", " \n\n"])
def test_a_list_without_a_line_is_refused(tmp_path, content):
    with pytest.raises(ValueError, match="is empty"):
        lists.keys(written(tmp_path, content))


def test_a_list_in_another_encoding_is_no_list(tmp_path):
    with pytest.raises(ValueError, match="not a text file in UTF-8"):
        lists.keys(written(tmp_path, "图像".encode("gbk")))


def test_a_list_of_unlabelled_lines_alone_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no line is a name and a label"):
        lists.labelled(written(tmp_path, "a.jpg\nb.jpg\n"), 2)


def test_one_label_a_name_twice_is_fine_and_two_labels_are_not(tmp_path):
    path = written(tmp_path, "a 1\nb 0\na 1\n")
    assert lists.unambiguous(path, lists.labelled(path, 2)) == {"a": 1, "b": 0}
    written(tmp_path, "a 1\nb 0\na 0\n")
    with pytest.raises(ValueError, match=r"list.txt: a has two labels, 1 and 0"):
        lists.unambiguous(path, lists.labelled(path, 2))


def test_names_without_a_label_are_counted_and_the_first_is_named(tmp_path):
    path = tmp_path / "list.txt"
    assert lists.looked_up(path, ["b", "a"], {"a": 3, "b": 5}).tolist() == [5, 3]
    with pytest.raises(ValueError, match=r"2 of 3 images have no label, the first is c"):
        lists.looked_up(path, ["a", "c", "d"], {"a": 3})


def test_a_few_of_many_line_numbers_are_told():
    assert lists.some([1, 2]) == "1, 2"
    assert lists.some(range(1, 9)) == "1, 2, 3, 4, 5 and 3 more"

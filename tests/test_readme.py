"""The README's file runs as printed, and its commands mean what they say."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import noise
from bench.arguments import VERBS, parser
from bench.data import datasets
from bench.sweep.planning import grid

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.M | re.S)
LINES = [line for language, block in FENCED if not language for line in block.splitlines()]
COMMANDS = [line for line in LINES if line.startswith("python run_bench.py")]


def own_method(folder: Path) -> Path:
    """The README's own method, written to a file as printed."""
    printed = re.search(r"<!-- file: (\S+) -->\n```python\n(.*?)```", README, flags=re.S)
    assert printed is not None
    path = folder / printed[1]
    path.write_text(printed[2], encoding="utf-8")
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_readme_parses(command, capsys):
    words = shlex.split(command)[2:]
    if words == ["--help"]:
        return
    if words[0] not in VERBS:
        words.insert(0, "run")
    parser().parse_args(words)
    assert capsys.readouterr().err == ""


def test_the_own_method_of_the_readme_runs_as_printed(tmp_path):
    own_method(tmp_path)
    command = next(line for line in COMMANDS if "--set mine.SmallLoss" in line)
    small = ["--seeds", "0", "--epochs", "2", "--train-limit", "64", "--test-limit", "50", "--results", "out"]
    words = [sys.executable, str(ROOT / "run_bench.py"), *shlex.split(command)[2:], *small]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("mine.SmallLoss"))
    assert "drop=0.3" in row
    assert len(list(tmp_path.glob("out/runs/*/result.json"))) == 2


def test_both_commands_that_set_everything_up_stand_in_the_readme():
    assert "pip install -e . -c constraints.txt && python run_bench.py\n" in README
    assert 'pip install -e ".[test]" -c constraints.txt && pytest\n' in README


def test_every_number_of_the_readmes_table_is_in_the_committed_example():
    table = re.search(r"<!-- table: .*? -->\n(.*?)\n\nThe dagger", README, flags=re.S)
    assert table is not None
    example = (ROOT / "results" / "examples" / "quickstart" / "accuracy.md").read_text(encoding="utf-8")
    assert table[1].strip() == example.strip()


def test_pictures_of_the_readme_exist():
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).read_bytes().startswith(b"\x89PNG")


def printed(*words: str, folder: Path = ROOT) -> str:
    command = [sys.executable, str(ROOT / "run_bench.py"), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_the_table_of_noise_is_the_one_the_code_prints():
    page = (ROOT / "noise" / "README.md").read_text(encoding="utf-8")
    table = re.search(
        r"<!-- table: python run_bench.py list noise --markdown -->\n(.*?)\n<!-- end -->", page, flags=re.S
    )
    assert table is not None
    assert table[1] == printed("list", "noise", "--markdown").rstrip()


def test_the_noise_card_of_the_readme_is_the_one_the_command_prints(tmp_path):
    card = next(block for language, block in FENCED if language == "text" and block.startswith("asymmetric"))
    shown = printed("noise", "show", "asymmetric:0.4", "--dataset", "digits", folder=tmp_path)
    versions = re.compile(r"numpy [0-9.]+")
    assert versions.sub("", shown) == versions.sub("", card)


def test_the_speeds_of_the_readme_are_those_of_the_committed_rounds():
    lines = next(block for language, block in FENCED if language == "text" and block.startswith("numpy")).splitlines()[
        1:
    ]
    stored = json.loads((ROOT / "results" / "examples" / "noise" / "speed.json").read_text(encoding="utf-8"))
    pairs = stored["levels"]["noise"]["pairs"]
    for line, pair in zip(lines, pairs, strict=True):
        assert line.startswith(f"{pair['name']}: {pair['ratio']:.1f}x")
        assert line.endswith(f"peak {pair['peak_mib']:,.0f} MiB")


def test_numbers_of_the_page_of_methods_are_those_of_the_committed_table():
    page = (ROOT / "methods" / "README.md").read_text(encoding="utf-8").partition("## On digits")[2]
    table = (ROOT / "results" / "examples" / "all_methods" / "accuracy.md").read_text(encoding="utf-8")
    table = table.replace("\\_", "_").replace("**", "")
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+ ± [\d.]+) \|", page, flags=re.M)
    assert len(rows) >= 5
    for name, number in [*rows, ("ce", "75.09 ± 2.10")]:
        row = next(line for line in table.splitlines() if re.match(rf"\| {name}[ †\[]", line))
        assert number in row, name
    methods = grid.load("all_methods").methods
    assert all(re.search(rf"^\| {name}[ †\[]", table, flags=re.M) for name in methods)


def test_the_method_of_the_page_of_methods_passes_the_contract_and_runs_by_its_preset(tmp_path):
    page = (ROOT / "methods" / "README.md").read_text(encoding="utf-8")
    source = re.search(r"<!-- file: mine.py -->\n```python\n(.*?)```", page, flags=re.S)
    (tmp_path / "mine.py").write_text(source[1])
    spec = f"{tmp_path / 'mine.py'}:TwoLooks"
    tests = ["tests/methods/test_contract.py", "-k", "TwoLooks", "-q", "-n", "0", "-p", "no:cacheprovider"]
    environment = {**os.environ, "LNBENCH_METHODS": spec}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *tests], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
    words = ["--methods", spec, "--preset", "mine", "--epochs", "1", "--noise", "symmetric:0.5", "--seeds", "0"]
    assert "TwoLooks" in printed("run", *words, "--results", str(tmp_path / "results"))


def test_every_map_and_data_set_has_its_line():
    page = (ROOT / "noise" / "README.md").read_text(encoding="utf-8")
    for name in noise.describe("asymmetric")["maps"]:
        assert f"`{name}`" in page
    for name in datasets.available():
        stem = re.sub(r"_mini_imagenet_\d+$|_coarse$|_all$|_resampled$", "", name)
        assert f"`{stem}" in README, name

"""`list methods --card` and the page that lists all methods."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.findings import method_card
from methods import registry

ROOT = Path(__file__).resolve().parents[2]


def listed(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "run_bench.py"), "list", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", registry.available())
def test_a_card_tells_paper_equations_deviations_needs_hyper_parameters_and_presets(name):
    text, info = " ".join(method_card.as_text(name).split()), registry.describe(name)

    def told(words: str) -> bool:
        return " ".join(words.split()) in text

    assert text.startswith(" ".join(f"{name}: {info.summary}".split()))
    assert all(told(part) for part in (info.paper, info.card.title, info.card.equations, info.card.defaults))
    assert all(told(f"- {deviation}") for deviation in info.card.deviations)
    assert all(f"{field.name} = " in text for field in info.fields)
    assert all(told(method_card.TOLD[need]) for need in info.needs)
    assert ("nothing beyond the noisy labels" in text) == (not info.needs)
    assert all(preset.partition(":")[0] in text for preset in info.presets)
    assert max(len(line) for line in method_card.as_text(name).splitlines()) <= 100


def test_the_card_of_dividemix_says_what_reference_repeats_and_how_many_epochs_it_needs():
    text = method_card.as_text("dividemix")
    assert 'compat="reference" repeats labels guessed' in text
    assert "a run has at least 2 epochs" in text
    assert "paper, on cifar100 also: params (warm_up=0.1 lambda_u=150)" in " ".join(text.split())


def test_the_card_as_json_holds_the_same_facts():
    done = listed("methods", "--card", "elr", "--json")
    card = json.loads(done.stdout)
    assert (done.returncode, card["name"], card["networks"], card["needs"]) == (0, "elr", 1, [])
    assert card["card"]["equations"].startswith("Eq. 6, 9")
    assert card["presets"]["paper_asymmetric"]["params"] == {"beta": 0.9, "weight": 1.0}
    assert {field["name"]: field["default"] for field in card["fields"]} == {"beta": 0.7, "weight": 3.0}


def test_a_method_from_a_file_has_a_card_too(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        '"""Mine."""\nfrom dataclasses import dataclass\nfrom methods import LossMethod\n\n\n'
        '@dataclass(eq=False)\nclass Mine(LossMethod):\n    """Do as I do."""\n\n    much: float = 0.5  # how much\n\n'
        "    def losses(self, logits, batch, clock):\n        raise NotImplementedError\n"
    )
    text = method_card.as_text(f"{path}:Mine")
    assert text.startswith("mine.Mine: Do as I do.")
    assert "much = 0.5  how much" in text


def test_a_misspelt_name_is_refused_in_one_line_with_the_nearest():
    done = listed("methods", "--card", "dividmix")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "run_bench.py list: unknown method 'dividmix'; did you mean 'dividemix'?\n"


def test_cards_are_for_methods_alone():
    done = listed("networks", "--card", "cnn9")
    assert (done.returncode, done.stderr) == (2, "run_bench.py list: --card is for `list methods`, got 'networks'\n")


def test_the_table_of_methods_is_the_one_the_code_prints():
    page = (ROOT / "methods" / "README.md").read_text(encoding="utf-8")
    table = re.search(r"<!-- table: python run_bench.py list methods --markdown -->\n(.*?)\n<!-- end -->", page, re.S)
    assert table is not None
    assert table[1] == listed("methods", "--markdown").stdout.rstrip()

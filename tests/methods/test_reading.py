"""What is read of a method's class from its text alone, and where the text does not tell."""

import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from methods import reading, recipes, registry
from methods.card import Card
from methods.fields import Field
from methods.reading import NotStatic, static, value_of

HEAD = """
from dataclasses import dataclass, field
from typing import ClassVar

import methods.recipes
from methods import LossMethod, Needs
from methods.base import Method
from methods.card import Card
from methods.recipes import APL, SGD as OPTIMIZER
from methods.recipes import CO_TEACHING
from os import sep

TEN = 10
TENTH: float = 1 / TEN
STEPS = [TENTH, 2 * TENTH]
TWICE = 1
TWICE = 2
GROWN = {"a": 1}
GROWN |= {"b": 2}
LATER: int
LATER = 3
BOTH = EITHER = "x"
"""


@pytest.fixture
def file(tmp_path: Path):
    def write(body: str = "", name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.write_text(HEAD + body, encoding="utf-8")
        return path

    return write


@pytest.fixture
def value(file):
    """What an expression in a file with the names of HEAD is read as."""
    return lambda text: value_of(reading.ast.parse(text, mode="eval").body, file())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("-2.5", -2.5),
        ("None", None),
        ("'a' 'b'", "ab"),
        ("TEN", 10),
        ("1 / TEN + 2 * 3 - 1", 5.1),
        ("TENTH", 0.1),
        ("[*STEPS, 0.9]", [0.1, 0.2, 0.9]),
        ("(*STEPS, TEN)", (0.1, 0.2, 10)),
        ("[1] + [2]", [1, 2]),
        ("{'a': 1, **{'b': TEN}, 'a': 3}", {"a": 3, "b": 10}),
        ("{'a': 1} | {'a': 2}", {"a": 2}),
        ("OPTIMIZER", recipes.SGD),
        ("APL['epochs'] if 0 else 1", NotStatic),
        ("{**APL, 'epochs': 3}", {**recipes.APL, "epochs": 3}),
        ("{**OPTIMIZER, 'lr': TENTH}", {"name": "sgd", "momentum": 0.9, "lr": 0.1}),
        ("CO_TEACHING | {'augment': 'weak'}", {**recipes.CO_TEACHING, "augment": "weak"}),
        ("LATER", 3),
        ("[BOTH, EITHER]", ["x", "x"]),
    ],
)
def test_literals_constants_unpacking_and_arithmetic_are_read(text, wanted, value):
    if wanted is NotStatic:
        with pytest.raises(NotStatic):
            value(text)
    else:
        found = value(text)
        assert (found, type(found)) == (wanted, type(wanted))


@pytest.mark.parametrize(
    "text",
    [
        *("max(1, 2)", "'ab'[0]", "methods.recipes.SGD", "[n for n in (1, 2)]", "lambda: 1", "f'{TEN}'"),
        *("missing", "sep", "LossMethod", "dataclass", "2 ** 3", "7 // 2", "not TEN"),
        *("TWICE", "GROWN"),  # when they had which value, the text does not tell
        *("1 / 0", "1 + 'a'", "{**TEN}", "[*TEN]", "{[1]: 2}", "{'a': 1} | 2"),  # these fail when they are run, too
    ],
)
def test_what_only_running_the_file_would_tell_is_not_guessed(text, value):
    with pytest.raises(NotStatic):
        value(text)


def test_the_recipes_are_read_as_what_they_are():
    path = Path(recipes.__file__)
    names = [name for name in vars(recipes) if name.isupper()]
    assert {"SGD", "CO_TEACHING", "PROSELFLC_200EP", "LOSS_CORRECTION_CIFAR100"} <= set(names)
    for name in names:
        assert value_of(reading.ast.Name(name), path) == getattr(recipes, name), name


def test_two_readings_share_no_table():
    first = registry.describe("dividemix").presets["paper"]
    first["optimizer"]["lr"] = 99
    assert registry.describe("dividemix").presets["paper"]["optimizer"]["lr"] == recipes.DIVIDEMIX["optimizer"]["lr"]


MINE = '''
@dataclass(eq=False)
class Mine(LossMethod):
    """Something of mine.

    More about it.
    """

    num_networks: ClassVar[int] = 1 + 1
    needs: ClassVar[Needs] = Needs(noise_rate=True, noise_type=False, trusted=TEN)
    paper: ClassVar[str] = "arXiv:0000.00000"
    shortest: ClassVar[int] = 3
    card: ClassVar[Card] = Card(
        title="A " "title", equations="eq. 1", defaults="ours", deviations=("one", "two")
    )
    presets: ClassVar[dict] = {
        "paper": {**CO_TEACHING, "optimizer": {**OPTIMIZER, "lr": TENTH}, "params": {"share": 3 * TENTH}},
        "paper:cifar100": {"epochs": 2 * TEN},
    }
    share: float = TENTH  # of the loss
    count: int = 3
    rest: "list[float]" = (
        0.5
    )  # of what is left
    other: ClassVar[str] = "no hyper-parameter"
    number = 7
'''


def test_a_class_is_read_with_its_facts_card_presets_and_hyper_parameters(file):
    path = file(MINE)
    info = static("mine.Mine", f"{path}:Mine", path, "Mine", {"count": 5})
    assert (info.summary, info.paper, info.num_networks, info.shortest) == (
        "Something of mine.",
        "arXiv:0000.00000",
        2,
        3,
    )
    assert info.needs == ("noise_rate", "trusted")
    assert info.card == Card(title="A title", equations="eq. 1", defaults="ours", deviations=("one", "two"))
    assert info.presets["paper"] == {
        **recipes.CO_TEACHING,
        "optimizer": {"name": "sgd", "momentum": 0.9, "lr": 0.1},
        "params": {"share": 3 * 0.1},
    }
    assert info.presets["paper:cifar100"] == {"epochs": 20}
    assert info.fields == (
        Field("share", "float", 0.1, "of the loss"),
        Field("count", "int", 5, ""),
        Field("rest", "list[float]", 0.5, "of what is left"),
    )


def test_a_class_that_says_nothing_has_the_facts_of_every_method(file):
    path = file("class Mine(Method):\n    pass\n")
    info = static("n", "s", path, "Mine", {})
    assert (info.needs, info.paper, info.presets, info.card, info.shortest) == ((), "", {}, None, 1)
    assert (info.num_networks, info.fields, info.summary) == (1, (), "")


def test_facts_and_fields_are_inherited_and_the_nearest_wins(file):
    body = """
@dataclass(eq=False)
class Child(Mine):
    paper: ClassVar[str] = "arXiv:1"
    needs = Needs(transition=True)
    share: float = 0.7  # more
    new: bool = True  # and another
"""
    path = file(MINE + body)
    info, parent = static("n", "s", path, "Child", {}), static("n", "s", path, "Mine", {})
    assert (info.paper, info.needs, info.num_networks) == ("arXiv:1", ("transition",), 2)
    assert (info.card, info.presets) == (parent.card, parent.presets)
    assert [(f.name, f.default) for f in info.fields] == [("share", 0.7), ("count", 3), ("rest", 0.5), ("new", True)]
    assert info.fields[0].meaning == "more"


TWO_BASES = """
@dataclass(eq=False)
class Top(LossMethod):
    paper: ClassVar[str] = "top"
    x: int = 0
    y: int = 0

    def losses(self, logits, batch, clock):
        pass


@dataclass(eq=False)
class Left(Top):
    y: int = 1


@dataclass(eq=False)
class Right:
    paper: ClassVar[str] = "right"
    x: int = 2
    z: int = 2


@dataclass(eq=False)
class Mine(Left, Right):
    pass
"""


@pytest.mark.parametrize("shared", [False, True])
def test_of_two_bases_the_first_wins_as_in_python(shared, file):
    path = file(TWO_BASES.replace("class Right:", "class Right(Top):") if shared else TWO_BASES)
    cls = registry.load(f"{path}:Mine")[0]
    info = registry.describe(f"{path}:Mine")
    assert {f.name: f.default for f in info.fields} == {f.name: f.default for f in dataclasses.fields(cls)}
    assert [f.name for f in info.fields] == [f.name for f in dataclasses.fields(cls)]
    assert info.paper == cls.paper == ("right" if shared else "top")
    if shared:  # whose word counts, Python alone knows
        with pytest.raises(NotStatic):
            static("n", "s", path, "Mine", {})


@pytest.mark.parametrize(
    "line",
    [
        "share: float = field(default=0.1)",
        "presets: ClassVar[dict] = make()",
        "needs: ClassVar[Needs] = Needs(True)",
        "needs: ClassVar[Needs] = NEEDS",
        "card: ClassVar[Card] = Card(titel='x')",
        "card: ClassVar[Card] = CARD",
        "shortest: ClassVar[int] = len('abc')",
    ],
)
def test_a_fact_that_is_computed_sends_the_reader_to_the_class_itself(line, file):
    path = file(f"@dataclass(eq=False)\nclass Mine(LossMethod):\n    {line}\n")
    with pytest.raises(NotStatic):
        static("n", "s", path, "Mine", {})


def test_arguments_by_unpacking_are_read_and_not_left_out(file):
    path = file(
        "MORE = {'transition': True}\n\n\n@dataclass(eq=False)\nclass Mine(LossMethod):\n"
        "    needs: ClassVar[Needs] = Needs(noise_rate=True, **MORE)\n"
    )
    assert static("n", "s", path, "Mine", {}).needs == ("noise_rate", "transition")


@pytest.mark.parametrize("base", ["Formatter", "Absent"])
def test_a_base_from_elsewhere_or_from_nowhere_is_for_python_to_find(base, file):
    path = file(f"from string import Formatter\n\n\nclass Mine({base}):\n    pass\n")
    with pytest.raises(NotStatic):
        static("n", "s", path, "Mine", {})


def test_a_mistake_in_a_users_card_is_told_in_one_line(file):
    body = "    def losses(self, logits, batch, clock):\n        pass\n"
    path = file(f"@dataclass(eq=False)\nclass Mine(LossMethod):\n    card: ClassVar[Card] = Card(titel='x')\n{body}")
    with pytest.raises(ValueError, match=r"mine.py cannot be imported: TypeError: .*unexpected keyword.* 'titel'$"):
        registry.describe(f"{path}:Mine")


def test_a_base_of_ours_is_read_from_its_own_file_and_its_constants_there(file):
    body = "@dataclass(eq=False)\nclass Mine(Parent):\n    TEN = 3\n"
    path = file("from methods.dividemix import DivideMix as Parent\n\n\n" + body)
    info, parent = static("n", "s", path, "Mine", {}), registry.describe("dividemix")
    assert info.fields == parent.fields
    assert info.presets == parent.presets
    assert (info.card, info.shortest, info.num_networks) == (parent.card, 2, 2)


def test_a_file_that_changes_is_read_again(file):
    path = file("@dataclass(eq=False)\nclass Mine(LossMethod):\n    share: float = 0.5\n")
    assert static("n", "s", path, "Mine", {}).resolve({}) == {"share": 0.5}
    file("@dataclass(eq=False)\nclass Mine(LossMethod):\n    share: float = 0.125\n")
    assert static("n", "s", path, "Mine", {}).resolve({}) == {"share": 0.125}


def test_every_registered_method_is_read_without_importing_its_file():
    code = (
        "import sys; from methods import registry; infos = [registry.describe(n) for n in registry.available()];"
        "print([m for m in sys.modules if m.startswith('methods.')], 'torch' in sys.modules)"
    )
    root = Path(registry.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.split("]")[0].count("methods.") == 4, done.stdout  # registry, reading, fields, card
    assert done.stdout.endswith("False\n")


@pytest.mark.parametrize("name", ["dividemix", "pes", "pes_semi"])
def test_what_is_read_is_what_the_class_says(name):
    info = registry.describe(name)
    cls = getattr(importlib.import_module(f"methods.{info.file.stem}"), registry.load(name)[0].__name__)
    assert (info.presets, info.card, info.shortest) == (cls.presets, cls.card, cls.shortest)
    assert {f.name: f.default for f in info.fields} == {f.name: f.default for f in dataclasses.fields(cls)}

"""Methods by name, by file and by module, and what a wrong name is told."""

import subprocess
import sys
from pathlib import Path

import pytest

from methods import LossMethod, available, create, describe, register, registry
from methods.fields import Field, cast
from methods.registry import load

HEAD = """
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Optional

from methods import LossMethod, Needs, Step
from methods.losses import cross_entropy
"""
MINE = '''
@dataclass(eq=False)
class Mine(LossMethod):
    """Half of cross entropy."""

    needs: ClassVar[Needs] = Needs(noise_rate=True, trusted=10)
    paper: ClassVar[str] = "arXiv:0000.00000"
    share: float = 0.5  # of the loss
    kind: "Literal['soft', 'hard']" = "soft"  # of nothing

    def losses(self, logits, batch, clock):
        return Step(self.share * cross_entropy(logits.log_softmax(-1), batch.y).mean(-1))
'''


@pytest.fixture
def file(tmp_path: Path):
    """Write a method's file and return the path."""

    def write(body: str, name: str = "mine.py", head: str = HEAD) -> Path:
        path = tmp_path / name
        path.write_text(head + body, encoding="utf-8")
        return path

    return write


ASKED_FOR = """
    ce label_smoothing confidence_penalty bootstrap_soft bootstrap_hard mixup proselflc gce sce nce_rce forward
    forward_oracle dml co_teaching jocor elr dividemix cmd_s cmd_p cmd_zero cmd_all decoupling co_teaching_plus backward
    t_revision dual_t volminnet gce_truncated nce_mae nce_agce anl_ce gjs elr_plus sop sop_plus pes pes_semi cdr cores2
    joint_optim pencil peer_loss meta_weight_net
"""


def test_the_methods_of_the_field_are_registered():
    assert set(ASKED_FOR.split()) <= set(available())


def test_a_registered_name_may_stand_for_a_class_with_other_defaults():
    assert {name: (create(name).mode, create(name).b) for name in ("cmd_p", "cmd_s", "cmd_zero", "cmd_all")} == {
        "cmd_p": ("gate", 4.0),
        "cmd_s": ("gate", 0.0),
        "cmd_zero": ("zero", 4.0),
        "cmd_all": ("all", 4.0),
    }
    assert create("cmd_s", b=2).b == 2.0


def test_describing_every_method_imports_no_torch():
    code = "import sys, methods.registry as r; [r.describe(n) for n in r.available()]; print('torch' in sys.modules)"
    root = Path(registry.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("written", ['"mine"', "'mine'", '"mi" "ne"'])
def test_a_registered_name_is_found_however_it_is_written(written, tmp_path, file, monkeypatch):
    file("SAID = 'mine', \"mine\"\n", "a_first.py")
    file(MINE.replace("@dataclass", f"@registry.register({written}, share=0.25)\n@dataclass"))
    file(MINE.replace("@dataclass", f"@register({written}, share=0.25)\n@dataclass"), "other.py")
    caches = (registry._texts, registry._registered, registry._entry)
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    for cached in caches:
        cached.cache_clear()
    try:
        assert available() == ["mine"]
        info = describe("mine")
        assert (info.file, info.spec, info.resolve({})["share"]) == (tmp_path / "other.py", "mine", 0.25)
        with pytest.raises(ValueError, match="unknown method 'mime'; did you mean 'mine'"):
            describe("mime")
    finally:
        for cached in caches:
            cached.cache_clear()


def test_a_class_is_found_by_the_path_of_its_file(file):
    path = file(MINE)
    info = describe(f"{path}:Mine")
    assert (info.name, info.spec, info.summary) == ("mine.Mine", f"{path}:Mine", "Half of cross entropy.")
    assert (info.paper, info.needs, info.num_networks) == ("arXiv:0000.00000", ("noise_rate", "trusted"), 1)
    assert info.fields == (
        Field("share", "float", 0.5, "of the loss"),
        Field("kind", "Literal['soft', 'hard']", "soft", "of nothing"),
    )
    method = create(f"{path}:Mine", share=1, kind="hard")
    assert isinstance(method, LossMethod)
    assert (method.share, method.kind) == (1.0, "hard")


def test_a_class_is_found_by_its_module():
    assert create("methods.dml:DML", weight=2).weight == 2.0
    assert describe("methods.dml:DML").name == "dml.DML"


def test_a_relative_path_means_the_file_wherever_the_process_goes_next(file, monkeypatch):
    path = file(MINE)
    monkeypatch.chdir(path.parent)
    assert describe("mine.py:Mine").spec == f"{path}:Mine"


def test_a_class_from_outside_trains(file, world):
    body = MINE.replace(", trusted=10", "").replace("return Step(self.share", "return Step(self.task.noise_rate")
    trainer = world.finish(world.trainer(f"{file(body)}:Mine"))
    assert trainer.outcome.payload["needs"] == ["noise_rate"]
    assert trainer.history[2]["loss"][0] < trainer.history[0]["loss"][0]


def test_a_subclass_of_a_method_of_ours_has_its_hyper_parameters_in_order_and_its_own_defaults(file):
    body = '''
@dataclass(eq=False)
class Bolder(CMD):
    """Send more."""

    eta: float = 0.8  # more than half
    extra: int = 3  # a number
'''
    path = file(body, head=HEAD + "from methods.cmd import CMD\n")
    info, parent = describe(f"{path}:Bolder"), describe("cmd_p")
    assert [f.name for f in info.fields] == [*(f.name for f in parent.fields), "extra"]
    assert info.resolve({}) == parent.resolve({}) | {"eta": 0.8, "extra": 3}
    assert (info.num_networks, info.paper) == (2, parent.paper)
    assert create(f"{path}:Bolder").eta == 0.8


def test_a_subclass_of_a_class_of_the_same_file(file):
    path = file(MINE + "\n@dataclass(eq=False)\nclass Child(Mine):\n    share: float = 0.25\n")
    assert describe(f"{path}:Child").resolve({}) == {"share": 0.25, "kind": "soft"}
    assert create(f"{path}:Child").share == 0.25


@pytest.mark.parametrize(
    ("annotation", "default", "wanted"),
    [
        ("float", "1 / 4", 0.25),
        ("float", "2 * 1", 2.0),
        ("Literal['a', 'b']", "'ab'[1]", "b"),
        ("Optional[float]", "max(3, 1)", 3.0),
        ("int | None", "min(7, 8)", 7),
        ("list[int]", "field(default_factory=lambda: [1, 2])", [1, 2]),
    ],
)
def test_a_default_that_is_computed_is_found_by_importing_the_class(annotation, default, wanted, file):
    path = file(MINE.replace("share: float = 0.5", f"share: {annotation} = {default}").replace("self.share", "0.5"))
    info = describe(f"{path}:Mine")
    found = info.resolve({})["share"]
    assert (found, type(found)) == (wanted, type(wanted))
    given = info.resolve({"share": wanted})["share"]
    assert (given, type(given)) == (wanted, type(wanted))
    assert (info.needs, info.summary) == (("noise_rate", "trusted"), "Half of cross entropy.")


def test_a_base_from_outside_our_package_is_imported(file):
    body = MINE.replace("(LossMethod)", "(LossMethod, Mixin)")
    path = file(body, head=HEAD + "from string import Formatter as Mixin\n")
    assert describe(f"{path}:Mine").resolve({})["share"] == 0.5


def test_whole_and_decimal_numbers_of_a_float_are_one_value_whether_given_or_by_default(file):
    path = file(MINE.replace("share: float = 0.5", "share: float = 1"))
    info = describe(f"{path}:Mine")
    for value in (info.resolve({}), info.resolve({"share": 1}), info.resolve({"share": 1.0})):
        assert repr(value["share"]) == "1.0"


@pytest.mark.parametrize(
    ("written", "given", "wanted"),
    [
        ("float", 1, 1.0),
        ("int", 3.0, 3),
        ("float | None", None, None),
        ("float | None", 2, 2.0),
        ("Optional[float]", None, None),
        ("Optional[float]", 2, 2.0),
        ("Union[int, str]", "a", "a"),
        ("typing.Literal['a', 'b']", "b", "b"),
        ("Literal['a'] | float", 1, 1.0),
        ("Literal[1, 2]", 1.0, 1),
        ("Literal[-1, 1]", -1, -1),
        ("bool", True, True),
        ("str", "x", "x"),
        ("tuple[int, ...]", [1, 2], [1, 2]),
    ],
)
def test_a_value_takes_the_declared_type(written, given, wanted):
    found = cast(given, Field("f", written, None), "m")
    assert (found, type(found)) == (wanted, type(wanted))


@pytest.mark.parametrize(
    ("written", "given", "text"),
    [
        ("int", 1.5, "m.f must be of type int, got 1.5"),
        ("int", float("inf"), "m.f must be of type int, got inf"),
        ("float", float("nan"), "m.f must be of type float, got nan"),
        ("float", "1", "m.f must be of type float, got '1'"),
        ("float", True, "m.f must be of type float, got True"),
        ("int | None", "none", "m.f must be of type int | None, got 'none'"),
        ("bool", 1, "m.f must be of type bool, got 1"),
        ("Literal[1, 2]", True, "m.f must be one of 1, 2, got True"),
        ("Literal['soft', 'hard']", "sotf", "m.f must be one of soft, hard, got 'sotf'; did you mean 'soft'?"),
        ("Literal['soft', 'hard']", 3, "m.f must be one of soft, hard, got 3"),
    ],
)
def test_a_value_of_another_type_is_refused_with_what_is_allowed(written, given, text):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared below
        cast(given, Field("f", written, None), "m")
    assert str(error.value) == text


def test_wrong_values_of_a_method_name_it():
    with pytest.raises(ValueError, match=r"cmd_p.direction must be one of tighten, relax, got 'tight'"):
        create("cmd_p", direction="tight")
    with pytest.raises(ValueError, match=r"method 'ce' has no hyper-parameter 'eta'; allowed: none"):
        create("ce", eta=0.5)


def test_a_hyper_parameter_without_a_default_must_be_given(file):
    path = file(MINE.replace("share: float = 0.5", "share: float"))
    with pytest.raises(ValueError, match=r"method 'mine.Mine' needs a value for 'share': --set mine.Mine.share=..."):
        create(f"{path}:Mine")
    assert create(f"{path}:Mine", share=1).share == 1.0


# errors


@pytest.mark.parametrize("ask", [describe, load, create])
def test_an_unknown_name_is_told_the_nearest(ask):
    with pytest.raises(ValueError, match=r"^unknown method 'co_teachin'; did you mean 'co_teaching'\?$"):
        describe("co_teachin")
    with pytest.raises(ValueError, match="co_teachin"):
        ask("co_teachin")


def test_a_file_or_module_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*gone.py"):
        describe(f"{tmp_path}/gone.py:Mine")
    with pytest.raises(ValueError, match=r"method 'methods.gone:A': there is no module methods.gone"):
        describe("methods.gone:A")
    with pytest.raises(ValueError, match=r"cannot find module gone.away"):
        describe("gone.away:A")


def test_a_syntax_error_names_file_and_line(file):
    path = file("class Mine(:\n", head="\n\n")
    with pytest.raises(ValueError, match=r"mine.py line 3: invalid syntax"):
        describe(f"{path}:Mine")


def test_a_class_that_is_not_in_the_file_is_told_the_nearest(file):
    path = file(MINE)
    with pytest.raises(ValueError, match=r"mine.py has no class 'Mien'; did you mean 'Mine'\?"):
        describe(f"{path}:Mien")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("class Mine:\n    pass\n", "Mine is not a Method; derive it from methods.LossMethod or methods.Method"),
        ("@dataclass(eq=False)\nclass Mine(LossMethod):\n    pass\n", "Mine lacks losses"),
        (MINE.replace("(eq=False)", ""), r"put @dataclass\(eq=False\) on Mine; its fields are its hyper-parameters"),
        (MINE.replace("@dataclass(eq=False)\n", ""), r"put @dataclass\(eq=False\) on Mine"),
    ],
    ids=["no method", "abstract", "compares by value", "no dataclass"],
)
def test_a_class_that_cannot_train_is_told_what_it_lacks(body, text, file):
    with pytest.raises(ValueError, match=text):
        load(f"{file(body)}:Mine")


def test_a_file_that_fails_as_it_is_imported_says_so_in_one_line(file):
    path = file(MINE + "\nimport a_package_nobody_has\n")
    with pytest.raises(ValueError, match=r"mine.py cannot be imported: ModuleNotFoundError: No module named 'a_pack"):
        load(f"{path}:Mine")


def test_register_refuses_a_taken_name_and_a_class_that_compares_by_value():
    load("dml")
    with pytest.raises(ValueError, match=r"method name 'dml' is already taken by methods.dml.DML"):
        register("dml")(type("Other", (), {}))
    with pytest.raises(ValueError, match=r"Other: write @dataclass\(eq=False\)"):
        register("other_name")(type("Other", (), {"__eq__": lambda a, b: True, "__hash__": None}))
    assert "other_name" not in available()

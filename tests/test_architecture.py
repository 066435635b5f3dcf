"""Who may import whom, who may name whom, and what nobody may call: read off the sources, and tried in processes."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

import noise
from methods import registry

ROOT = Path(registry.__file__).resolve().parents[1]
PACKAGES = ("noise", "methods", "bench")
FILES = [*sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")), ROOT / "run_bench.py"]
HEAVY = ("torch", "torchvision", "pandas", "scipy", "sklearn", "matplotlib", "joblib")


def modules_in(*folders: str) -> list[str]:
    """The modules that lie in folders of the checkout, packages by their own name."""
    paths = [path for folder in folders for path in sorted((ROOT / folder).glob("*.py"))]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]


# what works without torch: whatever these import as they are imported must not be torch
TORCHLESS = (
    *("bench.cli", "bench.cache", "bench.config", "bench.files", "bench.fingerprint"),
    *("bench.data.datasets", "bench.data.noisy"),
    # what plans, keeps and supervises runs, here, on the nodes of a cluster and in the elements of an array
    *(f"bench.sweep.planning.{name}" for name in ("grid", "recipes", "selection", "shard")),
    *(f"bench.sweep.records.{name}" for name in ("store", "reading", "origin")),
    *(f"bench.sweep.run.{name}" for name in ("protocol", "gauges", "tensorboard")),
    *(f"bench.sweep.supervision.{name}" for name in ("executor", "progress")),
    *(f"bench.sweep.upkeep.{name}" for name in ("health", "preflight")),
    *(f"bench.sweep.backends.{name}" for name in ("placed", "watching", "launching", "on_ray", "on_dask", "on_slurm")),
    "bench.sweep.backends.element",
    # what finished runs say
    *modules_in("bench/evidence", "bench/evidence/plots", "bench/evidence/page"),
    *modules_in("bench/findings", "bench/findings/comparison", "bench/findings/sections", "bench/sharing"),
    # commands: all but those that train, or load a data set's images
    *(f"bench.commands.{name}" for name in ("run", "begin", "array", "dry_run", "where", "repro", "compare")),
    *(f"bench.commands.{name}" for name in ("list", "show", "status", "doctor", "checkup")),
    *(f"bench.commands.{name}" for name in ("table", "plot", "report", "verify", "merge", "clean")),
    *(f"bench.commands.{name}" for name in ("export", "leaderboard")),
)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def statements(node: ast.AST, everywhere: bool) -> Iterator[ast.AST]:
    """The statements that run when the module is imported, or all of them."""
    for child in ast.iter_child_nodes(node):
        if not everywhere:
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
        yield child
        yield from statements(child, everywhere)


def taken(path: Path, everywhere: bool = True) -> Iterator[tuple[str, str]]:
    """What a file imports, as (module, name), the name "" of a module as a whole; relative ones made absolute."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    for node in statements(tree_of(path), everywhere):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield from ((module, alias.name) for alias in node.names)


def imports(path: Path, everywhere: bool = True) -> set[str]:
    """Modules that a file imports, with "package.name" for names that may be modules."""
    return {
        whole for module, name in taken(path, everywhere) for whole in (module, f"{module}.{name}" if name else module)
    }


def tops(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def file_of(module: str) -> Path | None:
    path = ROOT / Path(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def reached(module: str) -> dict[str, str]:
    """Modules imported, directly or not, by importing `module` of ours: name -> who imports it."""
    found: dict[str, str] = {}
    todo = [module]
    while todo:
        name = todo.pop()
        parents = [".".join(name.split(".")[: i + 1]) for i in range(name.count("."))]
        path = file_of(name)
        wanted = {*parents, *(imports(path, everywhere=False) if path else ())}
        for other in sorted(wanted - found.keys()):
            found[other] = name
            if file_of(other):
                todo.append(other)
    return found


def needed(path: Path) -> set[str]:
    """Modules of ours that a file imports anywhere: of a package's modules these, not the package they lie in."""
    found = {f"{module}.{name}" if name and file_of(f"{module}.{name}") else module for module, name in taken(path)}
    return {module for module in found if file_of(module)} - {module_of(path)}


def circles(uses: Mapping[str, Collection[str]]) -> list[list[str]]:
    """The names that reach each other, in groups of two or more."""

    def all_from(name: str) -> set[str]:
        seen: set[str] = set()
        todo = list(uses[name])
        while todo:
            other = todo.pop()
            if other not in seen:
                seen.add(other)
                todo += uses[other]
        return seen

    far = {name: all_from(name) for name in uses}
    groups = {tuple(sorted(other for other in far[name] if name in far[other])) for name in uses if name in far[name]}
    return sorted(map(list, groups))


def docstrings(tree: ast.Module) -> set[int]:
    """The ids of the docstrings' nodes."""
    found = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            found.add(id(body[0].value))
    return found


def texts(path: Path) -> list[tuple[int, str]]:
    """The strings of a file but for its docstrings, as (line, text)."""
    skipped = docstrings(tree_of(path))
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped
    ]


def test_the_rules_below_are_applied_to_all_of_our_files():
    names = {module_of(path) for path in FILES}
    assert {
        "noise.base",
        "methods.base",
        "bench.cli",
        "bench.sweep.planning.grid",
        "bench.training.trainer",
        "run_bench",
    } <= names
    assert len(FILES) > 50


@pytest.mark.parametrize(("package", "allowed"), [("noise", {"noise"}), ("methods", {"methods"})])
def test_noise_and_methods_import_nothing_of_ours_outside_themselves(package, allowed):
    ours = {*PACKAGES, "run_bench", "tests"}
    for path in (ROOT / package).rglob("*.py"):
        assert tops(imports(path)) & ours <= allowed, path


def test_noise_knows_nothing_of_training():
    for path in (ROOT / "noise").rglob("*.py"):
        assert not tops(imports(path)) & {"torch", "torchvision"}, path


def test_the_entry_imports_the_command_line_alone():
    assert imports(ROOT / "run_bench.py") == {"sys", "bench.cli", "bench.cli.main"}


def test_nothing_of_ours_imports_the_tests():
    for path in FILES:
        assert not tops(imports(path)) & {"tests", "conftest"}, path


def test_f20_torchvision_is_named_by_one_file_alone():
    who = {module_of(path) for path in FILES if "torchvision" in tops(imports(path))}
    dynamic = {
        module_of(path)
        for path in FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("import_module")
        and any("torchvision" in ast.unparse(argument) for argument in node.args)
    }
    assert who | dynamic == {"bench.vision"}


@pytest.mark.parametrize("module", TORCHLESS)
def test_f21_what_needs_no_torch_imports_none_however_indirectly(module):
    found = reached(module)
    for name in ("torch", "torchvision"):
        assert name not in tops(set(found)), f"{module} -> ... -> {found.get(name)} -> {name}"


def test_the_search_for_indirect_imports_finds_what_is_there():
    assert "torch" in tops(set(reached("bench.sweep.run.worker")))
    assert "torch" in tops(set(reached("methods.cross_entropy")))
    assert reached("bench.commands.table")["bench.sweep.records.store"]


def test_the_evidence_knows_neither_trainer_nor_processes():
    for path in (ROOT / "bench" / "evidence").glob("*.py"):
        assert not {name for name in imports(path) if name.startswith(("bench.training", "bench.sweep"))}, path


def test_nothing_below_the_commands_asks_for_them():
    outside = [path for path in FILES if path.parent != ROOT / "bench" / "commands"]
    who = {module_of(path) for path in outside for name in imports(path) if name.startswith("bench.commands")}
    assert who == {"bench.sweep.backends.element"}  # the process of an array's element does `run`


def test_no_imports_run_in_a_circle_not_even_those_inside_functions():
    assert circles({module_of(path): needed(path) for path in FILES}) == []


def test_the_search_for_circles_finds_them():
    uses = {"a": ["b"], "b": ["c"], "c": ["b", "d"], "d": [], "e": ["f"], "f": ["a", "e"]}
    assert circles(uses) == [["b", "c"], ["e", "f"]]
    part, user = (needed(ROOT / "bench" / name) for name in ("evidence/plots/rates.py", "findings/figures.py"))
    assert {"bench.evidence.plots.canvas", "bench.evidence.plots.points"} <= part
    assert "bench.evidence.plots" in user - part


def ends(value: ast.expr | None) -> list[ast.expr]:
    """What may come out of an expression that chooses."""
    if isinstance(value, ast.IfExp):
        return [*ends(value.body), *ends(value.orelse)]
    if isinstance(value, ast.BoolOp):
        return [end for part in value.values for end in ends(part)]
    return [] if value is None else [value]


def test_commands_end_by_exit_codes_that_have_a_name():
    for path in [*(ROOT / "bench" / "commands").glob("*.py"), ROOT / "bench" / "cli.py"]:
        found = [
            value for node in ast.walk(tree_of(path)) if isinstance(node, ast.Return) for value in ends(node.value)
        ]
        assert not [value.lineno for value in found if isinstance(value, ast.Constant) and type(value.value) is int], (
            path
        )
        assert "bench.sweep.job.Exit" not in imports(path), path  # which says how the process of one run ends


DIALECTS = {dialect for family in noise.available() for dialect in noise.describe(family)["dialects"]}


SOURCES = {"bootstrap_soft", "proselflc"}  # losses of their own, which CMD takes as sources under the same names
WITH_SOURCES = {ROOT / "methods" / "losses.py", ROOT / "methods" / "cmd.py"}


@pytest.mark.parametrize("name", registry.available())
def test_no_file_names_a_method_but_its_own(name):
    own = registry.describe(name).file
    for path in FILES:
        if name in SOURCES and path in WITH_SOURCES:
            continue
        # a dialect of noise is named after the code whose draws it repeats, be it that of a method
        if path != own and not (name in DIALECTS and path.parent.name == "noise"):
            lines = [line for line, text in texts(path) if text == name]
            assert lines == [], f"{path}:{lines} names the method {name!r}"


OTHER_MEANINGS = {"none", "transition"}  # of an augmentation, and of a fact that methods may ask for


@pytest.mark.parametrize("name", sorted(set(noise.available()) - OTHER_MEANINGS))
def test_no_file_names_a_family_of_noise_but_its_own(name):
    homes = {
        path
        for path in (ROOT / "noise").glob("*.py")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "register"
        and ast.literal_eval(node.args[0]) == name
    }
    assert len(homes) == 1
    homes.add(ROOT / "noise" / "openset.py")  # whose closed-set part is one of the other families
    for path in set(FILES) - homes:
        lines = [line for line, text in texts(path) if text == name]
        assert lines == [], f"{path}:{lines} names the noise {name!r}"


BANNED_CALLS = {"eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "yaml.load", "compile"}


def banned(path: Path) -> list[str]:
    """Calls that let data run code, or that unpack what somebody else packed."""
    found = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            wrong = {("weights_only", "False"), ("allow_pickle", "True"), ("shell", "True")} & set(given.items())
            if name in BANNED_CALLS or name.endswith((".extractall", ".extract")) or wrong:
                found.append(f"{path}:{node.lineno}: {ast.unparse(node)}")
            if name == "torch.load" and given.get("weights_only") != "True":
                found.append(f"{path}:{node.lineno}: torch.load without weights_only=True")
    return found


def test_g26_no_data_can_run_code():
    assert [call for path in FILES for call in banned(path)] == []


def test_g26_the_ban_sees_what_it_bans(tmp_path):
    path = tmp_path / "bad.py"
    calls = ["eval(x)", "pickle.load(f)", "yaml.load(f)", "t.extractall()", "run(x, shell=True)", "torch.load(f)"]
    calls += ["torch.load(f, weights_only=False)", "np.load(f, allow_pickle=True)"]
    for call in calls:
        path.with_name(f"{len(call)}{calls.index(call)}.py").write_text(call)
    assert all(banned(found) for found in tmp_path.glob("*.py"))
    assert len(list(tmp_path.glob("*.py"))) == len(calls)


@pytest.mark.parametrize(
    "path", [p for p in FILES if any("__all__" in ast.unparse(n) for n in tree_of(p).body)], ids=str
)
def test_whatever_a_module_offers_can_be_imported(path):
    module = importlib.import_module(module_of(path))
    assert module.__all__
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert len(set(module.__all__)) == len(module.__all__)


def test_the_top_level_is_what_was_agreed():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no checkout: which files belong to it is not known")
    found = {line.partition("/")[0] for line in listed.stdout.splitlines() if (ROOT / line).exists()}
    folders = {"bench", "noise", "methods", "results", "tests"}
    found |= {"results"}  # data alone, which a checkout may lack
    texts = {"README.md", "DESIGN.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"}
    files = {"run_bench.py", "pyproject.toml", "Makefile", "constraints.txt"}
    assert {name for name in found if not name.startswith(".")} == folders | texts | files


def test_every_package_and_data_file_is_installed():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    ours = {module_of(path) for path in FILES if path.name == "__init__.py"}
    assert set(setuptools["packages"]) == ours
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        assert (path.parent / "__init__.py").is_file(), f"{path} lies in no package"
    others = {
        p
        for package in PACKAGES
        for p in (ROOT / package).rglob("*")
        if p.is_file() and p.suffix not in (".py", ".pyc", ".md")  # a page for readers is read where it lies
    }
    places = {path.parent.name: set() for path in others}
    for path in others:
        places[path.parent.name].add(f"*{path.suffix}")
    assert places.keys() == {"suites", "page"}
    installed = setuptools["package-data"]
    assert places["suites"] <= set(installed["bench.suites"])
    assert places["page"] <= set(installed["bench.evidence.page"])


def process(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code, *words], env=environment, capture_output=True, text=True, check=False
    )


def test_the_command_line_starts_without_any_of_the_heavy_packages():
    done = process("import sys, json, bench.cli; bench.cli.parser(); print(json.dumps(sorted(sys.modules)))")
    assert done.returncode == 0, done.stderr
    assert not tops(set(json.loads(done.stdout))) & {*HEAVY, "numpy", "rich"}


@pytest.mark.parametrize(
    "words", [["status"], ["list", "methods"], ["list", "noise"], ["list", "suites"]], ids=" ".join
)
def test_a_look_at_what_there_is_needs_none_of_the_heavy_packages(words, tmp_path):
    code = (
        "import sys, json; from bench.cli import main; code = main(sys.argv[1:]); "
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    more = ["--results", str(tmp_path / "none")] if words == ["status"] else []
    done = process(code, *words, *more)
    assert done.returncode == 0, done.stderr
    assert not tops(set(json.loads(done.stderr.splitlines()[-1]))) & set(HEAVY)


def test_f21_status_table_plot_and_show_work_where_torch_cannot_be_imported(tmp_path):
    selection = ["--dataset", "digits", "--noise", "symmetric:0.5", "--methods", "ce", "--seeds", "0", "--epochs", "2"]
    selection += ["--train-limit", "64", "--test-limit", "64", "--set", "trace_samples=32"]
    selection += ["--results", str(tmp_path / "results")]
    made = process("import sys; from bench.cli import main; sys.exit(main(sys.argv[1:]))", "run", *selection)
    assert made.returncode == 0, made.stderr
    torchless = "import sys; sys.modules['torch'] = sys.modules['torchvision'] = None; from bench.cli import main; "
    torchless += "sys.exit(main(sys.argv[1:]))"
    status = process(torchless, "status", *selection)
    assert (status.returncode, "1 done" in status.stdout) == (0, True), status.stderr
    table = process(torchless, "table", *selection)
    assert table.returncode == 0, table.stderr
    assert table.stdout == made.stdout[: made.stdout.index("\nwritten:")]
    (run,) = (tmp_path / "results" / "runs").iterdir()
    shown = process(torchless, "show", run.name[:6], "--results", str(tmp_path / "results"))
    assert (shown.returncode, run.name in shown.stdout) == (0, True), shown.stderr
    plotted = process(torchless, "plot", *selection, "--out", str(tmp_path / "plots"))
    assert plotted.returncode == 0, plotted.stderr
    assert (tmp_path / "plots" / "accuracy.png").stat().st_size > 1000

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Counts what the door does in a process of its own, since an import happens once in a process.
SCRIPT = """
    import sys, warnings
    sys.path[:0] = {path}
    from bench.vision import torchvision
    assert "torchvision" not in sys.modules
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = torchvision()
        assert torchvision() is module
    for warning in caught:
        if warning.category is RuntimeWarning:
            print("WARNING", warning.message)
"""


def python(*path: Path, then: str = "") -> subprocess.CompletedProcess[str]:
    script = textwrap.dedent(SCRIPT).format(path=[str(p) for p in path]) + textwrap.dedent(then)
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)


def fake_package(folder: Path, code: str) -> Path:
    package = folder / "torchvision"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(textwrap.dedent(code))
    (package / "part.py").write_text("import torch\nwhole = hasattr(torch.ops.torchvision, 'qnms')\n")
    info = folder / "torchvision-0.99.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.99.0\n")
    return folder


def test_the_installed_pair_works_with_at_most_one_warning() -> None:
    pytest.importorskip("torch")
    done = python(
        then="""
        import torch, torchvision as installed
        net = module.models.resnet50(weights=None).eval()
        with torch.no_grad():
            print("SHAPE", tuple(net(torch.zeros(1, 3, 32, 32)).shape))
        """
    )
    assert done.returncode == 0, done.stderr
    warned = [line for line in done.stdout.splitlines() if line.startswith("WARNING")]
    assert "SHAPE (1, 1000)" in done.stdout
    assert len(warned) <= 1
    assert all("was not built for torch" in line for line in warned)


def test_a_good_pair_gives_no_warning(tmp_path: Path) -> None:
    done = python(fake_package(tmp_path, "good = True"), then="print(module.good)")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True\n"


BROKEN = """
    import torch
    from torchvision import part
    if not hasattr(torch.ops.torchvision, "qnms"):
        raise RuntimeError("operator torchvision::nms does not exist")
    whole = part.whole
"""


def test_a_broken_pair_is_mended_with_one_warning_that_names_both_versions(tmp_path: Path) -> None:
    import torch

    then = """
        import gc, torch
        gc.collect()
        torch.library.register_fake("torchvision::nms")(lambda *args: None)  # still declared
        print(module.whole)
    """
    done = python(fake_package(tmp_path, BROKEN), then=then)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"WARNING torchvision 0.99.0 was not built for torch {torch.__version__}: "
        "its compiled operators are missing; the rest of it works",
        "True",
    ]


def test_another_failure_is_not_hidden(tmp_path: Path) -> None:
    done = python(fake_package(tmp_path, "raise RuntimeError('another trouble')"))
    assert done.returncode == 1
    assert "RuntimeError: another trouble" in done.stderr


def test_where_it_is_not_installed_the_error_says_what_to_install(tmp_path: Path) -> None:
    then = """
        import importlib
        real = importlib.import_module
        def absent(name):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        del sys.modules["torchvision"]
        importlib.import_module = absent
        try:
            torchvision()
        except ModuleNotFoundError as error:
            print(error)
    """
    done = python(fake_package(tmp_path, ""), then=then)
    assert done.stdout == "this needs torchvision, which is not installed; pip install torchvision\n", done.stderr


def test_no_other_file_imports_torchvision() -> None:
    import ast

    for path in [
        ROOT / "run_bench.py",
        *(p for room in ("noise", "methods", "bench") for p in (ROOT / room).rglob("*.py")),
    ]:
        if not path.is_file() or path == ROOT / "bench" / "vision.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert "torchvision" not in {name.partition(".")[0] for name in names}, path

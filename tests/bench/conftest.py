"""A small suite, really run once, for the verbs that keep a results folder in order."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import cli
from bench.fingerprint import ROOT
from bench.sweep.planning.grid import Planned
from bench.sweep.planning.selection import planned

WORDS = ["--dataset", "digits", "--noise", "symmetric:0.5", "pairflip:0.2", "--methods", "ce", "dml", "--seeds", "0-1"]
WORDS += ["--epochs", "2", "--train-limit", "64", "--test-limit", "100", "--set", "trace_samples=32"]


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "results"
    command = [sys.executable, str(ROOT / "run_bench.py"), "run", *WORDS, "--per-sample", "last", "--results"]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def trained(_trained: Path, tmp_path: Path) -> Path:
    """A results folder of one's own with eight finished runs, their per-sample tables, and a written table."""
    return Path(shutil.copytree(_trained, tmp_path / "results"))


@pytest.fixture
def runs(trained: Path) -> list[Planned]:
    """The runs of the suite, in table order."""
    return planned(cli.parser().parse_args(["status", *WORDS, "--results", str(trained)]))[1]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Give a command in this process: exit code, standard output, standard error."""

    def command(*words: str | os.PathLike[str]) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main([str(word) for word in words])
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def suite() -> list[str]:
    """The words that name the suite."""
    return WORDS


@pytest.fixture
def verify(
    trained: Path, suite: list[str], say: Callable[..., tuple[int, str, str]]
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """The exit code and the report of `verify --json` on the trained folder."""

    def command(*words: str) -> tuple[int, dict[str, Any]]:
        code, out, _ = say("verify", *suite, "--results", trained, "--json", *words)
        return code, json.loads(out)

    return command


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium; skips where there is none, or no playwright."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install .[browser]"
    )
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a file as a page, offline; at the end it has asked for nothing else, and its console is empty."""
    asked: list[str] = []
    said: list[str] = []
    paths: list[Path] = []
    contexts = []

    def page_of(path: Path, width: int = 1280, height: int = 900) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        paths.append(path)
        page.goto(path.as_uri())
        return page

    yield page_of
    for context in contexts:
        context.close()
    assert said == []
    assert asked == [path.as_uri() for path in paths]

"""What can go wrong, what must then happen, and the tests that make it happen: the tables of the README beside this.

`python -m tests.faults.catalogue > tests/faults/README.md` writes that page anew; a test holds both equal.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One fault, guarantee or hostile input; `elsewhere` says what of it no test here provokes, and why."""

    number: str
    what: str
    right: str
    tests: tuple[str, ...] = ()  # "tests/path/test_x.py::test_name"
    elsewhere: str = ""


def at(**files: str) -> tuple[str, ...]:
    """Names of tests by the file that they stand in: `bench__sweep__store="test_a test_b"`."""
    found = []
    for file, names in files.items():
        *folders, module = file.split("__")
        found += [
            f"tests/{''.join(f'{folder}/' for folder in folders)}test_{module}.py::{name}" for name in names.split()
        ]
    return tuple(found)


HEAD = """# Faults, guarantees, hostile inputs

What can go wrong, what must then happen, and which tests make it happen. The lines stand in `listed.py`,
`listed_data.py` and `promised.py` beside this page, and `test_catalogue.py` checks that every test named here exists.
Where a line has "not here", no test of this checkout provokes it, for the reason given.

Run one line: `pytest tests/path/test_x.py::test_name`; all tests of this folder: `pytest tests/faults`.
"""


def page() -> str:
    """The page that a reader sees."""
    from tests.faults.listed import EXECUTION
    from tests.faults.listed_data import INPUT
    from tests.faults.promised import GUARANTEES, HOSTILE

    parts = [HEAD]
    for title, columns, lines in (
        ("Faults: execution and storage", ("fault", "right behaviour"), EXECUTION),
        ("Faults: data, settings, methods, reports", ("fault", "right behaviour"), INPUT),
        ("Guarantees", ("guarantee", "what holds it"), GUARANTEES),
        ("Hostile inputs", ("input", "what must not happen"), HOSTILE),
    ):
        parts.append(f"## {title}\n\n| no. | {columns[0]} | {columns[1]} | tests |\n|---|---|---|---|")
        parts[-1] += "".join(f"\n{_row(line)}" for line in lines)
    return "\n".join(parts[:1]) + "\n" + "\n\n".join(parts[1:]) + "\n"


def _row(line: Line) -> str:
    tests = [f"`{test.removeprefix('tests/')}`" for test in line.tests]
    reason = [f"not here: {line.elsewhere}"] if line.elsewhere else []
    cells = [line.number, line.what, line.right, "<br>".join(tests + reason)]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    print(page(), end="")

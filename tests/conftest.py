"""What holds for all tests."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache folder out of it, for subprocesses too: what is computed once serves the session alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A test's name holds no bytes: those of archives have time stamps, and so differ from process to process."""
    return argname if isinstance(val, bytes) else None

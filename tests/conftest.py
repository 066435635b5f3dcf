"""What holds for all tests."""


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A test's name holds no bytes: those of archives have time stamps, and so differ from process to process."""
    return argname if isinstance(val, bytes) else None

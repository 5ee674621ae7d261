"""What all tests share."""

import os
from typing import NoReturn

import pytest


def skip(reason: str) -> NoReturn:
    """Skip on a user's machine; fail where everything has to be there, as in CI."""
    if os.environ.get("SHIM_TESTS_NO_SKIP"):
        pytest.fail(f"may not be skipped here: {reason}")
    pytest.skip(reason)

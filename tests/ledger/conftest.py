"""The file of a ledger."""

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger can be; there is nothing yet."""
    return tmp_path / "shim.db"

"""What a command imports: to ask a running shim takes no longer because of what only its settings need."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["brake", "connections", "status"])
def test_who_asks_a_running_shim_reads_no_settings(command: str) -> None:
    asked = f"import sys, shim.cli.{command}; print({{'pydantic', 'jinja2'}} & {{*sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "set()\n"

"""What a command imports: to ask a running shim takes no longer because of what only settings and
ledgers need."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "command", ["brake", "connections", "gate", "report", "status", "verdicts"]
)
def test_who_asks_a_running_shim_reads_no_settings_and_counts_nothing(command: str) -> None:
    heavy = {"aiohttp", "jinja2", "numpy", "opentelemetry", "psycopg", "pydantic"}
    asked = f"import sys, shim.cli.{command}; print({heavy} & {{*sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "set()\n"

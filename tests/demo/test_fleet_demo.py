"""The demo of a fleet as a whole: real processes, a real PostgreSQL, real clients."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shim.demo.fleet_steps import fleet_steps
from shim.demo.local_postgres import find_programs
from shim.model import InputError
from tests.demo.processes import PATIENCE, children_of, wait_for_end
from tests.support import skip
from tests.waiting import wait_for

pytestmark = [pytest.mark.real]

_COMMAND = (sys.executable, "-m", "shim", "demo", "--fleet", "--users", "36", "--seconds", "1")


@pytest.fixture(autouse=True)
def _postgres() -> None:
    try:
        find_programs()
    except InputError as error:
        skip(str(error))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for everything that the demo makes. If root runs the tests, another account runs PostgreSQL,
    which has to reach it."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.timeout(600)
def test_it_ends_by_itself_and_everything_is_as_it_had_to_be(folder: Path) -> None:
    done = subprocess.run(
        [*_COMMAND, "--factor", "12"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert len(re.findall(r"^ok  ", done.stdout, re.M)) == 8
    # What was done and what came of it, in this order.
    steps = fleet_steps(12)
    told = [f"/{len(steps)}  {re.escape(step.title)}\n.*✓ {step.goal}" for step in steps]
    assert re.search(".*".join(told), done.stdout, re.S)
    assert "insufficient evidence" in done.stdout
    assert "PGPASSWORD" not in done.stdout
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize(("number", "children"), [(signal.SIGINT, 2), (signal.SIGTERM, 5)])
def test_nothing_is_left_behind_when_it_is_interrupted(
    number: signal.Signals, children: int, folder: Path
) -> None:
    """PostgreSQL, three processes that start, and at last the clients."""
    demo = subprocess.Popen(
        _COMMAND,
        stdout=subprocess.DEVNULL,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    try:
        wait_for(
            lambda: demo.poll() is not None or len(children_of(demo.pid)) >= children, PATIENCE
        )
        begun = children_of(demo.pid)
        demo.send_signal(number)
        assert demo.wait(60) == 130
    finally:
        demo.kill()
        demo.wait()
    for process in begun:
        wait_for_end(process)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("option", [("--port", "8080"), ("--trace-url", "http://h/{trace_id}")])
def test_what_is_for_one_service_is_refused(option: tuple[str, str]) -> None:
    done = subprocess.run(
        [*_COMMAND, *option], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "--fleet" in done.stderr

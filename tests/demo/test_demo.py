"""The demo itself, with real processes and sockets."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

_COMMAND = (sys.executable, "-m", "shim", "demo")


def _processes(parent: int) -> list[int]:
    """The living children of a process (Linux)."""
    children = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            children.append(int(stat.parent.name))
    return children


def _gone(process: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not Path(f"/proc/{process}").exists():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.timeout(90)
def test_it_ends_by_itself_and_everything_is_as_it_had_to_be(tmp_path: Path) -> None:
    done = subprocess.run(
        [*_COMMAND, "--seconds", "25", "--users", "48"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=80,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert len(re.findall(r"^ok +\w+ +(?:off|shadow|live|complete)", done.stdout, re.M)) == 24
    assert "only_candidate, recovered" in done.stdout
    assert "agreement:" in done.stdout
    finding = re.search(r"of (\d+) SDK-like apps .* 1001, (\d+) stayed away", done.stdout)
    assert finding is not None
    assert finding[1] == finding[2] != "0"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)]
)
def test_nothing_is_left_behind_when_it_is_interrupted(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    demo = subprocess.Popen(
        [*_COMMAND, "--users", "36"],
        stdout=subprocess.DEVNULL,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        deadline = time.monotonic() + 20
        while not (fleet := _processes(demo.pid)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1)
        demo.send_signal(number)
        assert demo.wait(15) == code
    finally:
        demo.kill()
        demo.wait()
    assert all(_gone(process) for process in fleet)
    if number is not signal.SIGKILL:
        assert list(tmp_path.iterdir()) == []


def test_too_short_a_time_is_refused() -> None:
    done = subprocess.run(
        [*_COMMAND, "--seconds", "10"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert "--seconds 20" in done.stderr


def test_a_port_in_use_is_an_input_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*_COMMAND, "--port", port], capture_output=True, text=True, timeout=30, check=False
        )
    assert done.returncode == 2
    assert port in done.stderr
    assert "Traceback" not in done.stderr

"""The demo itself, with real processes and sockets."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from shim.demo.rollout.steps import STEPS
from tests.telemetry.collectors import grpc_collector, values

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


SHORTEST = ("--seconds", "32", "--users", "48")


@pytest.mark.timeout(240)
def test_it_ends_by_itself_and_everything_is_as_it_had_to_be(tmp_path: Path) -> None:
    done = subprocess.run(
        [*_COMMAND, *SHORTEST],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        timeout=230,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert len(re.findall(r"^ok +\w+ +(?:off|shadow|live|complete) ", done.stdout, re.M)) == 24
    assert "only_candidate, recovered" in done.stdout
    assert "agreement:" in done.stdout
    finding = re.search(r"of (\d+) SDK-like apps .* 1001, (\d+) stayed away", done.stdout)
    assert finding is not None
    assert finding[1] == finding[2] != "0"
    for step in STEPS:
        assert f"ok      {step.title}: {step.goal}" in done.stdout
    # What the ledger tells, in this order.
    story = r"off -> shadow.* shadow -> live.* refused: .* shadow -> live.* brake engaged: 5 of "
    story += r".* live -> shadow.* brake released: .* shadow -> live"
    assert re.search(story, done.stdout, re.S)
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(240)
def test_kept_it_can_be_looked_into_and_a_mismatch_s_trace_has_arrived(tmp_path: Path) -> None:
    with grpc_collector() as (endpoint, received):
        demo = subprocess.Popen(
            [*_COMMAND, *SHORTEST, "--keep", "--trace-url", "http://127.0.0.1:1/{trace_id}/here"],
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "TMPDIR": str(tmp_path),
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
                "PYTHONUNBUFFERED": "1",
            },
        )
        assert demo.stdout is not None
        try:
            said = ""
            while "SHIM_OPERATOR_TOKEN=" not in said:
                line = demo.stdout.readline()
                assert line, said
                said += line
            _look_into(said)
        finally:
            demo.send_signal(signal.SIGINT)
            demo.stdout.close()
            assert demo.wait(30) == 0
        traces = {span.trace_id.hex(): span for span in received.named("episode mismatched")}
    trace = re.search(r"http://127\.0\.0\.1:1/([0-9a-f]{32})/here$", said, re.M)
    assert trace is not None, said
    assert values(traces[trace[1]].attributes)["shim.recovered"] is True
    assert list(tmp_path.iterdir()) == []


def _look_into(said: str) -> None:
    """Follow what it says: the dashboard's address, and the command that tells the mismatch again."""
    address = re.search(r"Dashboard: (http://\S+);", said)
    assert address is not None
    with urlopen(f"{address[1]}api/report", timeout=30) as answer:
        assert json.load(answer)["connections"]["open"] > 0
    command = re.search(r"shim (verdicts \d+ --ledger \S+)$", said, re.M)
    assert command is not None, said
    told = subprocess.run(
        [sys.executable, "-m", "shim", *command[1].split()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert "the candidate alone decided" in " ".join(told.stdout.split())


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
        [*_COMMAND, "--seconds", "31"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert "--seconds 32" in done.stderr


def test_a_port_in_use_is_an_input_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*_COMMAND, "--port", port], capture_output=True, text=True, timeout=30, check=False
        )
    assert done.returncode == 2
    assert port in done.stderr
    assert "Traceback" not in done.stderr

"""The demo itself, with real processes and sockets."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from shim.demo.rollout_steps import rollout_steps
from tests.demo.processes import children_of, wait_for_end
from tests.telemetry.collectors import grpc_collector, values

pytestmark = pytest.mark.real

_COMMAND = (sys.executable, "-m", "shim", "demo")


SHORTEST = ("--seconds", "1", "--users", "48")
STEPS = rollout_steps(20, "ledger.db", None)


Alone = tuple[subprocess.Popen[bytes], Path, Path, Path]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    """A demo that runs while another test runs one, with its folder, its output and its errors."""
    folder, outputs = tmp_path_factory.mktemp("folder"), tmp_path_factory.mktemp("outputs")
    output, errors = outputs / "stdout", outputs / "stderr"
    with output.open("wb") as stdout, errors.open("wb") as stderr:
        demo = subprocess.Popen(
            [*_COMMAND, *SHORTEST],
            stdout=stdout,
            stderr=stderr,
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder)},
        )
    try:
        yield demo, folder, output, errors
    finally:
        demo.kill()
        demo.wait()


@pytest.mark.timeout(240)
def test_kept_it_can_be_looked_into_and_the_trace_of_a_lost_app_has_arrived(
    alone: Alone, tmp_path: Path
) -> None:
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
            while "still running" not in said:
                line = demo.stdout.readline()
                assert line, said
                said += line
            _look_into(said)
        finally:
            demo.send_signal(signal.SIGINT)
            demo.stdout.close()
            assert demo.wait(60) == 0
        traces = {span.trace_id.hex(): span for span in received.named("episode matched")}
    trace = re.search(r"http://127\.0\.0\.1:1/([0-9a-f]{32})/here$", said, re.M)
    assert trace is not None, said
    assert values(traces[trace[1]].attributes)["shim.recovered"] is False
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(240)
def test_it_ends_by_itself_and_everything_is_as_it_had_to_be(alone: Alone) -> None:
    demo, folder, output_file, errors_file = alone
    code = demo.wait(230)
    output, errors = output_file.read_text(), errors_file.read_text()
    assert code == 0, output + errors
    assert errors == ""
    assert len(re.findall(r"^ok  ", output, re.M)) == 9
    learned = re.search(
        r"(\d+) of (\d+) apps stayed away .* 1001, and 0 of (\d+) after 4000", output
    )
    assert learned is not None
    assert learned[1] == learned[2] != "0" != learned[3]
    # What was done and what came of it, in this order.
    told = [f"/{len(STEPS)}  {step.title}\n.*✓ {step.goal}" for step in STEPS]
    assert re.search(".*".join(told), output, re.S)
    assert "0.0% of " in output
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://" in output
    assert list(folder.iterdir()) == []


def _look_into(said: str) -> None:
    """Follow what it says: the console's address, its token, and the command that shows the episode again."""
    address = re.search(r"Console: (http://\S+)$", said, re.M)
    assert address is not None
    link = re.findall(r"^(http://\S+/login\?code=\S+)$", said, re.M)[-1]
    assert link.startswith(address[1])
    browser = build_opener(HTTPCookieProcessor())
    with browser.open(link, timeout=30) as answer:
        assert answer.url == address[1]
    with browser.open(f"{address[1]}api/report", timeout=30) as answer:
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
    assert "the client is lost: it has not come back" in " ".join(told.stdout.split())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)]
)
def test_nothing_is_left_behind_when_it_is_interrupted(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    demo = subprocess.Popen(
        [*_COMMAND, "--users", "36"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
    )
    assert demo.stdout is not None
    try:
        # The first goal is reached by clients that are connected.
        assert any("✓" in line for line in demo.stdout)
        begun = children_of(demo.pid)
        assert begun
        demo.send_signal(number)
        assert demo.wait(60) == code
    finally:
        demo.kill()
        demo.wait()
        demo.stdout.close()
    for process in begun:
        wait_for_end(process)
    if number is not signal.SIGKILL:
        assert list(tmp_path.iterdir()) == []


def test_no_time_at_all_is_refused() -> None:
    done = subprocess.run(
        [*_COMMAND, "--seconds", "0"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "--seconds" in done.stderr


def test_a_port_in_use_is_an_input_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*_COMMAND, "--port", port], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 2
    assert port in done.stderr
    assert "Traceback" not in done.stderr

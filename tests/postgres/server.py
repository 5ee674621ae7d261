"""The PostgreSQL server of the tests, which can be killed and frozen."""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from shim.demo.local_postgres import LocalPostgres
from shim.model import InputError
from tests.support import skip

OWNER = "shim_tests"
"""The superuser. Every role has a password."""

PASSWORD = "correct horse: 100 % battery/staple?"


class PostgresServer(LocalPostgres):
    """A server of a test's own; the tests are skipped where there is none (`LocalPostgres`)."""

    def __init__(
        self,
        *,
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
        parent: Path | None = None,
    ) -> None:
        try:
            super().__init__(
                owner=OWNER, password=PASSWORD, durable=durable, settings=settings, parent=parent
            )
        except InputError as error:
            skip(str(error))
        self._numbers = count(1)

    def create_data(self) -> None:
        """The first server of this process makes a cluster; all others get a copy, which takes less time."""
        template = _template_folder() / "data"
        if not template.exists():
            super().create_data()
            _copy_folder(self.data, template)
        else:
            _copy_folder(template, self.data)

    # -- The server's life ------------------------------------------------------------------------

    def kill(self) -> None:
        """Kill the server and all of its processes, as a loss of power does."""
        for process in self._processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._end(signal.SIGKILL)

    def stop_at_once(self) -> None:
        """End every connection; the next start has to recover what was committed."""
        self._end(signal.SIGQUIT)

    def answers(self) -> bool:
        """Whether the server answers now; it is started if it has ended by itself."""
        assert self._process is not None
        if self._process.poll() is not None:
            self.start()
        with suppress(psycopg.OperationalError):
            self.connect().close()
            return True
        return False

    def backends(self) -> list[int]:
        """The processes of the server that serve the shims."""
        with self.connect() as connection:
            asked = "SELECT pid FROM pg_stat_activity WHERE application_name = 'shim'"
            return [pid for (pid,) in connection.execute(asked)]

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

    def _processes(self) -> list[int]:
        """The server and its children, the server first."""
        assert self._process is not None
        server = self._process.pid
        children = Path(f"/proc/{server}/task/{server}/children").read_text()
        return [server, *map(int, children.split())]

    # -- Databases and roles ----------------------------------------------------------------------

    def url(self, database: str, user: str = OWNER, password: str | None = PASSWORD) -> str:
        """How a shim reaches a database."""
        secret = "" if password is None else f":{quote(password, safe='')}"
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str = "template0") -> str:
        """Create a database; its name."""
        name = f"test_{next(self._numbers)}"
        self.add_database(name, template)
        return name

    def drop_database(self, name: str) -> None:
        with self.connect() as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def create_role(self, name: str) -> None:
        """A role that may log in, with `PASSWORD`, and has no rights."""
        with self.connect() as connection:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(name), sql.Literal(PASSWORD)
                )
            )


@cache
def _template_folder() -> Path:
    """A folder of this process, for a cluster that was never started."""
    folder = tempfile.mkdtemp(prefix="shim-pg-template-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _copy_folder(source: Path, target: Path) -> None:
    """With the owner of each file, which is another account than root's."""
    subprocess.run(["cp", "-a", source, target], check=True)


def _state(process: int) -> str:
    """The state of a process as Linux calls it: `T` is stopped, `X` and `Z` are ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return "X"

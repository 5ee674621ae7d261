"""A store that cannot be used: every command says so in words, with exit code 2, and nothing is half done."""

import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from struct import pack

import pytest
from click.testing import CliRunner, Result

from shim.cli import main
from shim.ledger.postgres.store_connection import connect
from shim.model.ledger_url import LedgerUrl
from tests.ledger.helpers import ledger, verdict
from tests.live.servers import QUICK, ROLLOUT
from tests.postgres.helpers import FLEET, change, listed, look
from tests.postgres.server import OWNER, PASSWORD, PostgresServer
from tests.support import skip

SECRET = "hunter2-" + PASSWORD

ASKING = (
    "gate --ledger URL",
    "verdicts --ledger URL --json",
    "report --ledger URL",
    "report --config shim.yaml --json",
    "retire --ledger URL --report report --force --reason x",
    "status --ledger URL",
    "status --ledger URL --json",
    "brake status --ledger URL",
    "flags pull --ledger URL",
    "flags log --ledger URL --json",
    "gate --config shim.yaml --json",
    "verdicts --config shim.yaml",
    "rollout status --config shim.yaml --json",
    "rollout advance --config shim.yaml",
)
ORDERING = (
    "brake engage --ledger URL --reason why",
    "brake release --ledger URL --reason why",
    "flags push rollout.yaml --ledger URL --reason why",
    "flags push rollout.yaml --config shim.yaml --reason why",
    "ledger forget b --ledger URL --reason why",
)
MAKING = ("ledger init URL", "ledger push one.db URL")
SERVING = ("serve --dev --port 0 --config shim.yaml",)
EVERY = (*ASKING, *ORDERING, *MAKING, *SERVING)
"""What names a store; `URL` stands for its URL, which is in `shim.yaml`, too."""

SOME = (ASKING[0], ASKING[-2], *ORDERING[::4], *MAKING[:1], *SERVING)
"""One of each kind, where only the connection matters."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a single ledger and flags."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PGHOST", raising=False)
    (tmp_path / "rollout.yaml").write_text(ROLLOUT.replace("STAGE", "shadow"))
    with ledger(tmp_path / "one.db") as writer:
        writer.append(verdict(1))
    return tmp_path


def run(command: str, url: str, *, lines: str = "") -> Result:
    """One command, with settings that name the store."""
    plan = "promotion: {steps: [{percent: {shadow: 10}}]}"
    Path("shim.yaml").write_text(
        f"{QUICK}\n{plan}\nrollout: ledger\nfleet: {FLEET}\nledger: {json.dumps(url)}\n{lines}"
    )
    words = [url if word == "URL" else word for word in command.split()]
    return CliRunner().invoke(main, words, env={"SHIM_LOG": None})


def files() -> set[str]:
    """What is in the working directory; SQLite may put a log beside a ledger that it reads."""
    return {path.name for path in Path.cwd().iterdir() if not path.name.startswith("one.db-")}


def refused(command: str, url: str, told: str) -> None:
    before = {*files(), "shim.yaml"}
    result = run(command, url)
    assert result.exit_code == 2, (command, result.output, result.exception)
    assert told in result.stderr, (command, result.output)
    assert "Traceback" not in result.output
    for secret in (PASSWORD, "hunter2", "correct%20horse"):
        assert secret not in result.output, (command, result.output)
    assert files() == before, command


def test_doctor(server: PostgresServer, database: str, folder: Path) -> None:
    result = run("doctor --config shim.yaml", server.url(database, password=SECRET))
    assert result.exit_code == 1
    assert "password authentication failed" in " ".join(result.stdout.split())
    assert "hunter2" not in result.output


def test_doctor_tries_what_a_shim_does(
    server: PostgresServer, store: LedgerUrl, folder: Path
) -> None:
    def said(url: str) -> str:
        findings = json.loads(run("doctor --config shim.yaml --json", url).stdout)
        return "\n".join(f"{one['health']} {one['words']}" for one in findings)

    before = look(store, "SELECT * FROM lease")
    assert "bad shim.yaml" not in said(store.url)
    assert look(store, "SELECT * FROM lease") == before
    read_only = f"{store.url}?options=-c%20default_transaction_read_only%3Don"
    assert "name the primary server" in said(read_only)
    reader = f"looks_{store.url.rpartition('/')[2]}"
    server.create_role(reader)
    assert run(f"ledger init URL --reader {reader}", store.url).exit_code == 0
    assert "has not the rights" in said(server.url(store.url.rpartition("/")[2], reader))
    change(store, "UPDATE store SET fleet = 'others'")
    assert "is the store of the fleet 'others'" in said(store.url)


# -- What cannot be reached ------------------------------------------------------------------------

LASTING = {
    "postgresql://shim_tests:hunter2-x@127.0.0.1:PORT/DB": "password authentication failed",
    "postgresql://nobody:hunter2-x@127.0.0.1:PORT/DB": "password authentication failed",
    "postgresql://shim_tests:PASS@127.0.0.1:PORT/not_there": "does not exist",
    "postgresql://shim_tests:PASS@127.0.0.1:PORT": "does not exist",
    "postgresql://shim_tests:PASS@127.0.0.1:PORT/DB?sslmode=require": "SSL",
    "postgresql://shim_tests:PASS@127.0.0.1:PORT/DB?sslmode=verify-full": "SSL",
    "postgresql://shim_tests:PASS@127.0.0.1:PORT/DB?sslmode=requier": "sslmode",
    "postgresql://shim_tests:PASS@127.0.0.1:PORT/DB?connect_timeout=soon": "connect_timeout",
    "postgresql://shim_tests:PASS@127.0.0.1:PORT/DB?pasword=hunter2": "pasword",
    "postgresql://shim_tests:PASS@127.0.0.1:PORT/DB?sslmode": "must be like",
    "postgresql://shim_tests:PASS@127.0.0.1:http/DB": "must be like",
    "postgresql://shim_tests:PASS@127.0.0.1:999999/DB": "port",
    "postgresql://shim_tests:hunter2/@127.0.0.1:PORT/DB": "must be like",
    "postgresql:/shim_tests:PASS@127.0.0.1:PORT/DB": "must be like",
    "postgresql//shim_tests:PASS@127.0.0.1:PORT/DB": "must be like",
    "postgres:shim_tests:PASS@127.0.0.1:PORT/DB": "must be like",
    "postgre://shim_tests:PASS@127.0.0.1:PORT/DB": "postgresql://host/database",
    "PostgreSQL://shim_tests:PASS@127.0.0.1:PORT/DB": "postgresql://host/database",
    "mysql://shim_tests:PASS@127.0.0.1:PORT/DB": "postgresql://host/database",
    "postgresql://?service=nowhere": "service",
}
"""URLs that no waiting mends, and what is said of each."""


@pytest.mark.parametrize("url", LASTING, ids=range(len(LASTING)))
def test_a_url_that_cannot_work(
    server: PostgresServer, empty_store: str, folder: Path, url: str
) -> None:
    password = server.url(empty_store).partition("@")[0].rpartition(":")[2]
    written = (
        url.replace("PASS", password).replace("PORT", str(server.port)).replace("DB", empty_store)
    )
    for command in EVERY if "not_there" in url or "//" not in url else SOME:
        refused(command, written, LASTING[url])


@pytest.mark.parametrize("place", ["nowhere.invalid", "127.0.0.1:1"])
def test_a_store_that_does_not_answer(folder: Path, place: str) -> None:
    """A shim serves at once (R23); every other command says why it cannot."""
    for command in SOME:
        if command not in SERVING:
            refused(command, f"postgresql://shim:hunter2@{place}/db", "does not answer")


# -- A server that is no good ----------------------------------------------------------------------


@contextmanager
def old_server(version: str) -> Iterator[int]:
    """The port of what says that it is such a PostgreSQL, and asks for no password."""

    def answer(connection: socket.socket) -> None:
        with connection:
            while len(started := connection.recv(4096)) <= 8:
                connection.sendall(b"N" if started else b"")  # neither TLS nor GSS
                if not started:
                    return
            told = b"server_version\0" + version.encode() + b"\0"
            connection.sendall(b"R" + pack("!ii", 8, 0))
            connection.sendall(b"S" + pack("!i", 4 + len(told)) + told)
            connection.sendall(b"K" + pack("!iii", 12, 1, 1) + b"Z" + pack("!ic", 5, b"I"))
            connection.recv(4096)

    def serve() -> None:
        while True:
            try:
                answer(listener.accept()[0])
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("version", ["12.22 (Debian 12.22-1)", "9.6.24"])
def test_an_old_postgresql(folder: Path, version: str) -> None:
    with old_server(version) as port:
        for command in SOME:
            told = f"is PostgreSQL {version.split()[0]}: a store needs version 13 or newer"
            refused(command, f"postgresql://shim@127.0.0.1:{port}/db", told)


def test_a_server_that_only_reads(store: LedgerUrl, folder: Path) -> None:
    """As a replica does: it can be asked, and nothing can be changed."""
    assert run("ledger push one.db URL", store.url).exit_code == 0
    url = f"{store.url}?options=-c%20default_transaction_read_only%3Don"
    for command in (*ORDERING[::2], "ledger push one.db URL", *SERVING):
        if command.startswith("ledger push"):
            with ledger(folder / "one.db") as writer:
                writer.append(verdict(2))
        refused(command, url, "name the primary server")
    assert run("verdicts --ledger URL", url).exit_code == 0
    assert run("gate --ledger URL", url).exit_code == 3


@contextmanager
def pooler(folder: Path, server: PostgresServer, mode: str) -> Iterator[int]:
    """The port of a PgBouncer that asks for no password."""
    places = f"{os.environ['PATH']}:/usr/sbin"
    program = shutil.which("pgbouncer", path=places) or skip("there is no pgbouncer")
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    (folder / "pooler.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port} user={OWNER} password='{PASSWORD}'\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = any\npool_mode = {mode}\n"
    )
    for place in (folder, *folder.parents[:2]):
        place.chmod(0o755)
    options = ["--user=nobody"] if os.geteuid() == 0 else []
    with subprocess.Popen(
        [program, *options, folder / "pooler.ini"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if "process up" in line:
                    break
            else:
                raise AssertionError("the pooler has ended")
            yield port
        finally:
            process.terminate()
            process.stderr.read()


@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
def test_a_pooler(server: PostgresServer, store: LedgerUrl, folder: Path, mode: str) -> None:
    database = store.url.rpartition("/")[2]
    with pooler(folder, server, mode) as port:
        url = f"postgresql://{OWNER}@127.0.0.1:{port}/{database}"
        if mode == "session":
            for _ in range(3):
                assert run("gate --ledger URL", url).exit_code == 3
            return
        for command in SOME:
            refused(command, url, "a connection pooler in transaction mode")


# -- A store of others -----------------------------------------------------------------------------


def test_a_newer_store(store: LedgerUrl, folder: Path) -> None:
    change(store, "UPDATE store SET version = 99")
    for command in EVERY:
        refused(command, store.url, "is a newer shim's store (version 99")


def test_no_store_yet(server: PostgresServer, database: str, folder: Path) -> None:
    for command in (*ASKING, *ORDERING):
        refused(command, server.url(database), "has no store yet")
    assert look(LedgerUrl(server.url(database)), "SELECT to_regclass('shim.store')") == [(None,)]


def test_another_fleet(store: LedgerUrl, folder: Path) -> None:
    change(store, "UPDATE store SET fleet = 'others'")
    for command in (f"{making} --fleet {FLEET}" for making in MAKING):
        refused(command, store.url, "is the store of the fleet 'others'")
    refused(*SERVING, store.url, "is the store of the fleet 'others'")
    assert look(store, "SELECT 1 FROM run") == []


def test_a_name_that_is_in_use(store: LedgerUrl, folder: Path) -> None:
    with closing(connect(store)) as connection:
        listed(connection, "a")
        connection.execute("UPDATE process SET seen_at = seen_at + 60000000")
    url, told = store.url, "another process is called 'a' (on host-a, number "
    before = {*files(), "shim.yaml"}
    result = run(*SERVING, url, lines="process: a\n")
    assert (result.exit_code, told in result.stderr) == (2, True), result.output
    assert files() == before
    assert len(look(store, "SELECT 1 FROM process")) == 1


# -- Rights ----------------------------------------------------------------------------------------


def test_roles(server: PostgresServer, store: LedgerUrl, folder: Path) -> None:
    database = store.url.rpartition("/")[2]
    without, reader = f"without_{database}", f"reads_{database}"
    for role in (without, reader):
        server.create_role(role)
    assert run(f"ledger init URL --reader {reader}", store.url).exit_code == 0
    for command in EVERY:
        refused(command, server.url(database, without), "has not the rights")
    url = server.url(database, reader)
    for command in (*ORDERING[::2], *MAKING[1:], *SERVING):
        refused(command, url, "has not the rights")
    for command in ("gate --ledger URL", "verdicts --ledger URL", "status --ledger URL"):
        assert run(command, url).exit_code in (0, 3)
    refused(f"ledger init URL --reader {reader}_x", store.url, f'"{reader}_x" does not exist')

"""Real `shim serve` processes that share a store."""

import json
import subprocess
import sys
from contextlib import AsyncExitStack, closing
from pathlib import Path

import aiohttp
import pytest

from shim.ledger.postgres.store_reader import PostgresReader
from shim.ledger.rows import VerdictRow
from shim.ledger.run_row import wall_clock
from shim.ledger.sqlite.reader import SqliteReader
from shim.model.ledger_url import LedgerUrl
from tests.live.servers import app_client, server_process
from tests.postgres.helpers import FLEET, look
from tests.postgres.server import PostgresServer
from tests.waiting import until

pytestmark = pytest.mark.real


def of_process(folder: Path, store: LedgerUrl, name: str) -> str:
    """The lines of the settings about the ledger of a process of a fleet."""
    url = json.dumps(store.url)
    return f"ledger: {url}\noutbox: {folder}/outbox.db\nprocess: {name}\nfleet: {FLEET}"


async def test_three_processes_one_answer(store: LedgerUrl, tmp_path: Path) -> None:
    """A client of each process falls silent: three verdicts about one user, in one store."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        silent = []
        for name in ("a", "b", "c"):
            folder = tmp_path / name
            folder.mkdir()
            lines = of_process(folder, store, name)
            process = await stack.enter_async_context(server_process(folder, ledger=lines))
            silent.append(await app_client(http, process.url, "u1"))
        await until(lambda: len(look(store, "SELECT 1 FROM verdict")) == 3, timeout=60)
        assert look(store, 'SELECT DISTINCT "user" FROM verdict') == [("u1",)]
        with closing(PostgresReader(store)) as reader:
            assert [one.alive for one in reader.processes(wall_clock())] == [True] * 3
        await close_all(silent)
    with closing(PostgresReader(store)) as reader:
        found = [(one.name, one.alive, one.waiting) for one in reader.processes(wall_clock())]
        assert found == [("a", False, 0), ("b", False, 0), ("c", False, 0)]


async def test_clients_are_served_while_the_store_is_away(tmp_path: Path) -> None:
    """The process starts without the store; the store comes, goes, and comes back."""
    with PostgresServer() as server:
        store = LedgerUrl(server.url(server.create_database()))
        server.stop()
        lines = of_process(tmp_path, store, "a")
        async with (
            aiohttp.ClientSession() as http,
            server_process(tmp_path, ledger=lines) as process,
        ):
            silent = [await app_client(http, process.url, "u1")]
            await until(lambda: verdicts_in(tmp_path / "outbox.db") == 1, timeout=30)
            server.start()
            await until(lambda: verdicts_of(store) == 1, timeout=60)
            with server.frozen():
                silent.append(await app_client(http, process.url, "u2"))
            await until(lambda: verdicts_of(store) == 2, timeout=60)
            await close_all(silent)
        log = (tmp_path / "serve.log").read_text()
        assert "does not answer" in log
        assert store.secrets[0] not in log


async def close_all(silent: list[aiohttp.ClientWebSocketResponse]) -> None:
    """They were told to go, and did not listen."""
    for client in silent:
        await client.close()


def verdicts_in(outbox: Path) -> int:
    return len(SqliteReader(outbox).rows(VerdictRow))


def verdicts_of(store: LedgerUrl) -> int:
    """How many verdicts are there; 0 before the process has begun the store."""
    (begun,) = look(store, "SELECT to_regclass('shim.verdict')")
    return 0 if begun == (None,) else len(look(store, "SELECT 1 FROM verdict"))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("postgresql://shim_tests:geheim@127.0.0.1:PORT/DATABASE", "password authentication"),
        ("postgresql://shim_tests:gehe@im@127.0.0.1/DATABASE", "must be like postgresql://"),
    ],
)
def test_a_start_that_is_refused(
    server: PostgresServer, store: LedgerUrl, tmp_path: Path, wrong: str, told: str
) -> None:
    database = store.url.rpartition("/")[2]
    url = LedgerUrl(wrong.replace("PORT", str(server.port)).replace("DATABASE", database))
    config = tmp_path / "shim.yaml"
    config.write_text(f"rollout: null\n{of_process(tmp_path, url, 'a')}\n")
    done = subprocess.run(
        [sys.executable, "-m", "shim", "serve", "--dev", "--port", "0", "--config", str(config)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == 2
    assert told in done.stderr
    assert f"{config}:2" in done.stderr
    assert "gehe" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert [*tmp_path.iterdir()] == [config]

"""The page of the fleet in a real browser: it updates itself, and leaves everything in its place."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shim.aio import Shim
from shim.console.listener import listen, url_of
from shim.flags.targeting import everyone_at
from shim.ledger.postgres.brake_orders import give_order
from shim.ledger.postgres.store_connection import connect
from shim.model import Stage
from shim.model.ledger_url import LedgerUrl
from shim.server.serving import serving
from tests.live.servers import QUICK
from tests.postgres.helpers import FLEET, change, listed
from tests.postgres.server import PostgresServer
from tests.web.browser import Browser, browser
from tests.web.servers import SECRETS, Server
from tests.web.test_browser import log_in

pytestmark = pytest.mark.real
LIVE = "document.querySelector('#live').classList.contains('on')"
STATE = "document.querySelector('#fleet_state').innerText"
TABLE = "document.querySelector('#fleet_processes').innerText"


@asynccontextmanager
async def looking_at(
    folder: Path, store: LedgerUrl, *, width: int = 1440
) -> AsyncIterator[tuple[Browser, Server]]:
    """An operator who looks at the page of the fleet, of which `me` is one process."""
    (folder / "shim.yaml").write_text(
        f"{QUICK}\nledger: {json.dumps(store.url)}\noutbox: {folder}/outbox.db\n"
        f"process: me\nfleet: {FLEET}\n"
    )
    shim = Shim.open(folder / "shim.yaml", secrets=SECRETS, targeting=everyone_at(Stage.LIVE))
    listener = listen("127.0.0.1", 0)
    async with serving(shim, listener), browser(folder / "profile") as page:
        it = Server(shim, url_of(listener), url_of(listener))
        await page.look_like(width)
        await log_in(page, it)
        await page.open(f"{it.url}/fleet")
        await page.until(LIVE)
        yield page, it
        assert page.faults == []


def connected(store: LedgerUrl) -> "closing[psycopg.Connection[Any]]":
    return closing(connect(store))


async def test_the_page_follows_the_fleet(store: LedgerUrl, tmp_path: Path) -> None:
    with connected(store) as connection:
        listed(connection, "a", flags=None)
        change(store, "UPDATE process SET clock_offset = 0")
        async with looking_at(tmp_path, store, width=700) as (page, _):
            await page.until(f"{TABLE}.includes('me')")
            # What the user does stays: the table is scrolled and focused, a word is selected.
            await page.run(
                "{ const table = document.querySelector('#fleet_processes'); table.focus();"
                " table.scrollLeft = 30; window.cell = table.querySelector('td');"
                " getSelection().selectAllChildren(window.cell); }"
            )
            listed(connection, "b", settings="bbbb", behind=7200, waiting=12)
            await page.until(f"{TABLE}.includes('12 rows wait')")
            for words in (
                "b is behind",
                "The processes differ in their settings",
                "a trial begins when the last old process is gone",
                "Clocks are not that of the store: b is 0.7 s ahead",
                "complete until 2.0 h ago",
            ):
                assert words in (await page.run(STATE)).replace("\xa0", " "), words
            kept = await page.run(
                "[document.activeElement.id, document.activeElement.scrollLeft,"
                " getSelection().toString(), window.cell.isConnected]"
            )
            assert kept == ["fleet_processes", 30, "a", True]
            give_order(connection, engaged=True, reason="false kills", process="b")
            await page.until(f"{STATE}.includes('The brake of the fleet is engaged, by b, since')")
            # A process that leaves takes its row and its words along.
            change(store, "UPDATE process SET ended = true, waiting = 0 WHERE name = 'b'")
            await page.until(f"!{TABLE}.includes('12 rows wait')")
            assert "b is behind" not in await page.run(STATE)
            assert await page.run("document.documentElement.scrollWidth") <= 700


async def test_who_was_forgotten_and_who_is_silent(store: LedgerUrl, tmp_path: Path) -> None:
    with connected(store) as connection:
        listed(connection, "dead <b>")
        listed(connection, "gone")
        change(
            store,
            "UPDATE process SET seen_at = seen_at - 7200000000;"
            "UPDATE process SET ended = true, forgotten_at = seen_at + 7200000000, "
            "forgotten_by = 'ann', forgotten_reason = 'the <i>node</i>' WHERE name = 'gone'",
        )
        async with looking_at(tmp_path, store, width=390) as (page, _):
            assert "ann forgot gone at " in await page.run(STATE)
            assert ": the <i>node</i>. Its record ends at " in await page.run(STATE)
            assert "dead <b> silent for 2.0" in (await page.run(TABLE)).replace("\n", " ")
            assert await page.run("document.documentElement.scrollWidth") <= 390


async def test_while_the_store_is_away(tmp_path: Path) -> None:
    with PostgresServer(durable=True) as server:
        store = LedgerUrl(server.url(server.create_database()))
        async with looking_at(tmp_path, store) as (page, it):
            await page.until(f"{TABLE}.includes('just now')")
            server.kill()
            await page.until(f"{STATE}.includes('The store does not tell at present')")
            assert "Below is what was known at" in await page.run(STATE)
            assert "me" in await page.run(TABLE)
            assert store.secrets[0] not in await page.text("body")
            server.start()
            await page.until(f"!{STATE}.includes('The store does not tell at present')")
            assert it.shim.assembly.reader.fleet().behind == []

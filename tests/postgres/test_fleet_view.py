"""R27: the list of the processes of a fleet, as people see it."""

import asyncio
import json
from contextlib import AsyncExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from shim.cli import main
from shim.cli.fleet_table import render_fleet
from shim.ledger.fleet_record import ALONE, DEPLOY, FleetRecord, format_differences
from shim.ledger.postgres.brake_orders import give_order
from shim.ledger.postgres.process_list import ProcessName, Sign, enter, give_sign, read_clock
from shim.ledger.postgres.shipment import note_run
from shim.ledger.run_row import shared_settings_digest
from shim.ledger.stores import read_ledger
from shim.model.ledger_url import LedgerUrl
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import settings_from
from tests.ledger.helpers import ledger, run
from tests.live.servers import ServerProcess, app_client
from tests.postgres.helpers import (
    FLEET,
    STAGES,
    Store,
    change,
    eventually,
    fleet_of,
    listed,
    process_of,
)
from tests.postgres.server import PASSWORD, PostgresServer


def shim(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_what_a_process_said_of_itself(connection: Store, store: LedgerUrl) -> None:
    listed(connection, "a", brake=True, waiting=3)
    fleet = fleet_of(store)
    (a,) = fleet.processes
    assert (fleet.name, fleet.brake, fleet.differing, fleet.behind) == (FLEET, None, [], [])
    assert (a.name, a.host, a.alive, a.waiting) == ("a", "host-a", True, 3)
    assert (a.settings, a.flags, a.connections, a.brake) == ("aaaa", "ffff", STAGES, True)
    # A sign that says nothing new takes nothing away.
    give_sign(connection, a.run, Sign(None, None, 0))
    (again,) = fleet_of(store).processes
    assert (again.settings, again.connections, again.waiting) == ("aaaa", STAGES, 0)
    assert FleetRecord.from_dict(fleet.as_dict()) == fleet


def test_who_is_behind_and_who_differs(connection: Store, store: LedgerUrl) -> None:
    for name in "abc":
        listed(connection, name)
    listed(connection, "d", settings="bbbb", flags=None, behind=90)
    # What has ended differs from nobody, and is on the list only while rows of it are to come.
    listed(connection, "old", settings="cccc", ended=True)
    listed(connection, "lost", settings="cccc", ended=True, waiting=9)
    # A process that was killed is listed for a day; what it had in force is in force nowhere.
    listed(connection, "killed", settings="dddd", behind=70)
    change(store, "UPDATE process SET seen_at = seen_at - 70000000 WHERE name = 'killed'")
    fleet = fleet_of(store)
    names = [process.name for process in fleet.processes]
    assert names == ["a", "b", "c", "d", "killed", "lost"]
    assert fleet.behind == ["d", "killed"]
    assert format_differences(fleet) == [
        "the processes differ in their settings: a, b, c have aaaa; d has bbbb",
        "the processes differ in their flags: a, b, c have ffff; d has no flags",
        DEPLOY,
    ]


def test_a_process_that_has_said_nothing(connection: Store, store: LedgerUrl) -> None:
    stored = note_run(connection, run(read_clock(connection)), 0)
    enter(connection, ProcessName("a", "host"), stored.id, [], "the store")
    listed(connection, "b")
    fleet = fleet_of(store)
    assert (fleet.differing, fleet.behind) == ([], ["a"])
    assert "not known yet" in shim("status", "--ledger", store.url).stdout


@pytest.mark.parametrize("state", ["{", "[]", '{"settings": 7}', '{"more": 1}'])
def test_the_state_of_another_version(connection: Store, store: LedgerUrl, state: str) -> None:
    listed(connection, "a")
    change(store, f"UPDATE process SET state = '{state}'")
    (a,) = fleet_of(store).processes
    assert (a.settings, a.flags, a.connections, a.brake) == (None, None, None, None)
    assert shim("gate", "--ledger", store.url).exit_code == 3


def test_status_shows_the_fleet_of_a_store(connection: Store, store: LedgerUrl) -> None:
    listed(connection, "a")
    listed(connection, "b [bold]", settings="bbbb", behind=8000, waiting=1200)
    give_order(connection, engaged=True, reason="kills", process="a")
    shown = shim("status", "--ledger", store.url)
    assert shown.exit_code == 0, shown.stderr
    for words in (
        "BRAKE by a: kills",
        "2 h ago",
        "1,200",
        "-0.7 s",
        "b [bold] has bbbb",
    ):
        assert words in shown.stdout
    assert store.secrets[0] not in shown.stdout
    answer = json.loads(shim("status", "--ledger", store.url, "--json").stdout)
    assert answer == {**fleet_of(store).as_dict(), "now": answer["now"]}
    assert answer["processes"][0]["clock_offset"] == -0.7


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_fits_the_terminal(connection: Store, store: LedgerUrl, width: int) -> None:
    listed(connection, "chat-0", settings="0123456789")
    listed(connection, "chat-1", behind=7200, waiting=12_000)
    change(store, "UPDATE process SET seen_at = seen_at - 7200000000 WHERE name = 'chat-1'")
    console = Console(width=width)
    with console.capture() as shown:
        console.print(*render_fleet(fleet_of(store)))
    words = " ".join(shown.get().split())
    for part in (
        "chat-0",
        "2 h ago",
        "12,000 -0.7 s 0 2 4 0",
        "silent for",
        "the record of chat-1 is complete until",
        "clocks are not that of the store: chat-0 is 0.7 s ahead",
    ):
        assert part in words
    assert ("01234567" in words) == (width == 200)


def test_without_a_fleet_nothing_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "shim.db"
    with ledger(file):
        pass
    with closing(read_ledger(LedgerUrl.of_file(file))) as reader:
        assert reader.fleet() == ALONE
    refused = shim("status", "--ledger", str(file))
    assert refused.exit_code == 2
    assert "needs the store of a fleet" in refused.stderr


def test_the_digest_is_about_what_should_be_the_same() -> None:
    types = monitor_types(plugin_manager())

    def digest(**settings: Any) -> str:
        return shared_settings_digest(settings_from(settings, types))

    plain = digest()
    assert digest(process="a", outbox="a.db", server={"port": 81}) == plain
    others: list[dict[str, Any]] = [
        {"monitors": {"candidate": {"timeout": "50s"}}},
        {"comparison": {"tolerance": "20s"}},
        {"brake": {"window": "2h"}},
        {"gate": {"min_agreement": 0.9}},
        {"guard": {"count": 7}},
    ]
    assert len({plain, *(digest(**other) for other in others)}) == 1 + len(others)


async def ask(process: ServerProcess, path: str, status: int = 200) -> Any:
    headers = {"Authorization": f"Bearer {process.secrets['SHIM_OPERATOR_TOKEN']}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.get(f"{process.url}{path}") as answer,
    ):
        assert answer.status == status
        return await (answer.json() if path.startswith("/api") else answer.text())


async def metric(process: ServerProcess, name: str) -> float:
    lines = (await ask(process, "/metrics")).splitlines()
    (value,) = (line.split()[1] for line in lines if line.startswith(f"shim_{name} "))
    return float(value)


@pytest.mark.real
async def test_two_processes_show_each_other(store: LedgerUrl, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        a, b = await asyncio.gather(
            *(
                stack.enter_async_context(process_of(tmp_path, store, name, rollout="ledger"))
                for name in "ab"
            )
        )
        client = await app_client(http, a.url, "u1")

        async def seen() -> Any:
            fleet = await ask(b, "/api/fleet")
            return [
                (one["name"], one["connections"] and sum(one["connections"].values()))
                for one in fleet["processes"]
            ]

        await eventually(seen, ([("a", 1), ("b", 0)],))
        fleet = await ask(b, "/api/fleet")
        assert (fleet["differing"], fleet["behind"]) == ([], [])
        assert all(one["brake"] is False and one["flags"] for one in fleet["processes"])
        page = await ask(b, "/fleet")
        assert f"Fleet {FLEET}" in page
        assert 'href="/fleet"' in page

        async def leaders() -> float:
            return await metric(a, "fleet_leader") + await metric(b, "fleet_leader")

        await eventually(leaders, (1,))
        assert 0 <= await metric(b, "fleet_concluded_age_seconds") < 60
        await client.close()


@pytest.mark.real
async def test_while_the_store_is_away(tmp_path: Path) -> None:
    with PostgresServer(durable=True) as server:
        store = LedgerUrl(server.url(server.create_database()))
        async with process_of(tmp_path, store, "a", rollout="ledger") as process:
            for name in ("store_answers", "fleet_linked"):
                await eventually(partial(metric, process, name), (1,))
            server.kill()
            for name in ("store_answers", "fleet_linked", "fleet_leader"):
                await eventually(partial(metric, process, name), (0,))
            refusal = await ask(process, "/api/fleet", 503)
            assert refusal["status"] == 503
            told_of = [json.dumps(refusal), await ask(process, "/fleet", 503)]
            told_of.append((tmp_path / "a" / "serve.log").read_text())
            for text in told_of:
                assert "does not answer" in text
                assert store.secrets[0] not in text
                assert PASSWORD not in text
            runner = CliRunner(env=process.secrets)
            shown, told = [
                await asyncio.to_thread(
                    runner.invoke, main, ["status", "--url", process.url, *options]
                )
                for options in ([], ["--json"])
            ]
            assert (shown.exit_code, told.exit_code) == (0, 0)
            assert "fleet     no answer: " in shown.stdout
            assert json.loads(told.stdout)["fleet"] is None

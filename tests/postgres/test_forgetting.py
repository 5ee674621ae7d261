"""`shim ledger forget`: a process that died for good no longer holds the fleet's answers back (R23, R24)."""

import asyncio
import os
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from shim.cli import main
from shim.ledger.fleet_record import FleetRecord
from shim.ledger.postgres.conclusions import read_frontier
from shim.ledger.postgres.openings import EVERYTHING
from shim.ledger.postgres.process_list import NOW, ProcessName, Sign, enter, give_sign, read_clock
from shim.ledger.postgres.shipment import note_run
from shim.ledger.protocols import UnusableError
from shim.model.ledger_url import LedgerUrl
from tests.ledger.helpers import run
from tests.postgres.helpers import Store, change, eventually, fleet_of, look, process_of

MINUTE = 60_000_000


def listed(connection: Store, name: str, *, silent: int = 0, ended: bool = False) -> int:
    """The run of a process that was last heard of so many microseconds ago; 3 rows wait."""
    now = read_clock(connection)
    stored = note_run(connection, run(now - 2 * silent), 0)
    enter(
        connection, ProcessName(name, "host"), stored.id, [], "the store", lived_since=now - silent
    )
    give_sign(connection, stored.id, Sign(now - silent, 0, 0 if ended else 3, ended))
    connection.execute(
        "UPDATE process SET seen_at = seen_at - %s WHERE run = %s", (silent, stored.id)
    )
    return stored.id


def forget(store: LedgerUrl, name: str, reason: str = "its disk is lost") -> Result:
    return CliRunner().invoke(
        main, ["ledger", "forget", name, "--ledger", store.url, "--reason", reason]
    )


def test_a_process_that_died(connection: Store, store: LedgerUrl) -> None:
    listed(connection, "a")
    dead = listed(connection, "b", silent=100 * MINUTE)
    assert fleet_of(store).behind == ["b"]
    done = forget(store, "b")
    assert done.exit_code == 0, done.stderr
    assert "the record of b counts as ended, by " in done.stdout
    fleet = fleet_of(store)
    assert ([one.name for one in fleet.processes], fleet.behind) == (["a"], [])
    (b,) = fleet.forgotten
    assert (b.run, b.alive, b.waiting) == (dead, False, 0)
    assert b.forgotten is not None
    assert b.forgotten.reason == "its disk is lost"
    assert abs(b.forgotten.at - fleet.now) < MINUTE  # type: ignore[operator]
    assert FleetRecord.from_dict(fleet.as_dict()) == fleet
    # What it could have said until now is not known: losses of its time are censored.
    frontier = read_frontier(connection, read_clock(connection), latest=EVERYTHING, gives_up=True)
    assert frontier is not None
    assert [one for one in frontier.unknown if one[1] == b.forgotten.at]
    again = forget(store, "b", "--json")
    assert "has ended" in again.stderr
    # It comes back after all.
    give_sign(connection, dead, Sign(None, None, 0))
    fleet = fleet_of(store)
    assert ([one.name for one in fleet.processes], fleet.forgotten) == (["a", "b"], [])
    # And it ends in order.
    give_sign(connection, dead, Sign(None, None, 0, ended=True))
    assert fleet_of(store).forgotten == []


def test_what_cannot_be_forgotten(connection: Store, store: LedgerUrl) -> None:
    listed(connection, "alive", silent=MINUTE // 2)
    listed(connection, "ended", silent=2 * MINUTE, ended=True)
    before = look(store, "SELECT * FROM process ORDER BY run")
    for name, told in (
        ("alive", r"was heard of [345]\d s ago, so it is alive"),
        ("ended", "has ended, and nobody waits for more"),
        ("unknown\x00", "no process is called"),
        (os.fsdecode(b"caf\xe9"), "no process is called"),
        ("a'; DROP TABLE process", "no process is called"),
    ):
        refused = forget(store, name)
        assert refused.exit_code == 2
        assert re.search(told, refused.stderr)
    assert forget(store, "alive", " ").exit_code == 2
    assert look(store, "SELECT * FROM process ORDER BY run") == before


def test_rows_that_a_process_left_when_it_ended(connection: Store, store: LedgerUrl) -> None:
    left = listed(connection, "b", silent=2 * MINUTE)
    connection.execute("UPDATE process SET ended = true WHERE run = %s", (left,))
    assert [one.waiting for one in fleet_of(store).processes] == [3]
    assert forget(store, "b").exit_code == 0
    assert fleet_of(store).processes == []


def test_a_name_that_is_in_use_again(connection: Store, store: LedgerUrl) -> None:
    """A pod that has lost its disk has the name of the pod before."""
    lost = listed(connection, "pod-0", silent=2 * MINUTE)
    found = listed(connection, "pod-0")
    fleet = fleet_of(store)
    assert [one.run for one in fleet.processes] == [found]
    assert [one.run for one in fleet.forgotten] == [lost]
    with pytest.raises(UnusableError, match="another process is called 'pod-0'"):
        listed(connection, "pod-0")


def test_an_older_store(connection: Store, store: LedgerUrl) -> None:
    """A store of the first version gets the columns."""
    change(
        store,
        "ALTER TABLE process DROP forgotten_at, DROP forgotten_by, DROP forgotten_reason; "
        "UPDATE store SET version = 1",
    )
    assert "let a shim of this version write to it once" in forget(store, "b").stderr
    assert CliRunner().invoke(main, ["ledger", "init", store.url]).exit_code == 0
    listed(connection, "b", silent=2 * MINUTE)
    assert forget(store, "b").exit_code == 0
    assert look(store, "SELECT version FROM store") == [(2,)]


def listing(store: LedgerUrl) -> tuple[list[str], list[str]]:
    """The names of those who are alive, and of those who were forgotten."""
    fleet = fleet_of(store)
    return [one.name for one in fleet.processes if one.alive], [one.name for one in fleet.forgotten]


async def forget_b(store: LedgerUrl) -> None:
    """A minute after it was heard of last."""

    async def is_silent() -> Any:
        return look(store, f"SELECT {NOW} - seen_at > 1000000 FROM process WHERE name = 'b'")

    await eventually(is_silent, ([(True,)],))  # what was on its way has arrived
    change(store, f"UPDATE process SET seen_at = seen_at - {2 * MINUTE} WHERE name = 'b'")
    done = await asyncio.to_thread(forget, store, "b")
    assert done.exit_code == 0, done.output
    assert listing(store) == ([], ["b"])


@pytest.mark.real
async def test_a_process_that_comes_back(store: LedgerUrl, tmp_path: Path) -> None:
    async def listed_now() -> tuple[list[str], list[str]]:
        return listing(store)

    async with process_of(tmp_path, store, "b") as b:
        await eventually(listed_now, ((["b"], []),))
        b.pause()
        await forget_b(store)
        b.resume()
        await eventually(listed_now, ((["b"], []),))


@pytest.mark.real
async def test_an_outbox_that_is_found_again(store: LedgerUrl, tmp_path: Path) -> None:
    async with process_of(tmp_path, store, "b") as b:
        b.process.kill()
        await b.process.wait()
        await forget_b(store)
    async with process_of(tmp_path, store, "b"):

        async def runs() -> Any:
            return look(store, "SELECT count(*), bool_or(NOT ended) FROM process")

        await eventually(runs, ([(2, True)],))
        assert listing(store)[0] == ["b"]

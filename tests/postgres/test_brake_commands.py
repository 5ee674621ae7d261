"""R25: the fleet's brake, ordered and shown without any process."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from shim.cli import main
from shim.ledger.postgres.brake_orders import give_order, last_order
from shim.ledger.postgres.store_connection import connect
from shim.ledger.rows import BrakeRow
from shim.model.ledger_url import LedgerUrl
from shim.rollout.changes import this_user
from tests.ledger.helpers import NOW, ledger
from tests.postgres.brake_members import all_have
from tests.postgres.helpers import fleet, look, ship_all


def brake(command: str, place: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["brake", command, "--ledger", place, *arguments])


def test_orders_in_the_store(store: LedgerUrl) -> None:
    nobody = "no process of the fleet is listed as alive"
    assert brake("status", store.url).stdout == f"released\n{nobody}\n"
    engaged = brake("engage", store.url, "--reason", " kills [bold] ")
    assert engaged.exit_code == 0, engaged.stderr
    first, *lines, record = engaged.stdout.splitlines()
    assert record == nobody
    assert first == "engaged: kills [bold]"
    assert [line.partition("engaged")[2].strip() for line in lines] == [
        f"kills [bold] ({this_user()})"
    ]
    again = brake("engage", store.url, "--reason", "again")
    assert (again.exit_code, again.stdout) == (2, "")
    assert "the brake is engaged already" in again.stderr
    answer = json.loads(brake("release", store.url, "--reason", "mended", "--json").stdout)
    assert (answer["engaged"], answer["reason"]) == (False, None)
    assert [event["reason"] for event in answer["history"]] == ["mended", "kills [bold]"]
    asked = json.loads(brake("status", store.url, "--json").stdout)
    assert asked == {**answer, "record": {**answer["record"], "now": asked["record"]["now"]}}
    assert "released already" in brake("release", store.url, "--reason", "again").stderr
    assert len(look(store, "SELECT 1 FROM brake_order")) == 2


def test_an_order_of_a_process_is_released_by_hand(store: LedgerUrl) -> None:
    with closing(connect(store)) as connection:
        give_order(connection, engaged=True, reason="kills", process="a", origin="a 5")
        assert brake("release", store.url, "--reason", "mended").exit_code == 0
        order = last_order(connection)
    assert order is not None
    assert (order.engaged, order.process) == (False, this_user())


@pytest.mark.parametrize("reason", ["", "ab", "  a ", "a\nb c", "x" * 501])
def test_a_reason_is_a_line(store: LedgerUrl, reason: str) -> None:
    refused = brake("engage", store.url, "--reason", reason)
    assert refused.exit_code == 2
    assert "3 to 500 characters" in refused.stderr
    assert look(store, "SELECT 1 FROM brake_order") == []


def test_only_a_store_takes_orders(database: str, store: LedgerUrl, tmp_path: Path) -> None:
    refused = brake("engage", str(tmp_path / "shim.db"), "--reason", "kills")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "needs the store of a fleet" in refused.stderr
    empty = store.url.replace(store.url.rsplit("/", 1)[1].partition("?")[0], database)
    refused = brake("engage", empty, "--reason", "kills")
    assert refused.exit_code == 2
    assert "has no store yet" in refused.stderr
    assert not any(secret in refused.stderr for secret in store.secrets)


def test_the_brake_of_a_ledger_that_was_pushed(store: LedgerUrl, tmp_path: Path) -> None:
    file = tmp_path / "one.db"
    with ledger(file) as writer:
        writer.append(BrakeRow(True, "kills", NOW))
    ship_all(file, store)
    assert brake("status", store.url).stdout.startswith("engaged: kills\n")


@pytest.mark.real
async def test_processes_follow_an_order_in_the_store(store: LedgerUrl, tmp_path: Path) -> None:
    async with fleet(tmp_path, store, "ab") as processes:
        for command, reason in (("engage", "by hand"), ("release", None)):
            assert brake(command, store.url, "--reason", "by hand").exit_code == 0
            await all_have(processes, reason)

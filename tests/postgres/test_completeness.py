"""Every answer about a fleet says up to when each process's record is complete, by the store's clock (R23)."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from shim.cli import main
from shim.ledger.completeness import Completeness, format_completeness
from shim.ledger.fleet_record import FleetRecord
from shim.ledger.postgres.process_list import read_clock
from shim.ledger.postgres.store_connection import connect
from shim.ledger.run_row import wall_clock
from shim.model.ledger_url import LedgerUrl
from tests.ledger.helpers import S, ledger, verdict
from tests.live.servers import QUICK, ROLLOUT
from tests.postgres.helpers import FLEET, Store, change, eventually, insert_row, listed, process_of
from tests.postgres.server import PostgresServer
from tests.postgres.test_fleet_view import ask

HOUR = 3600 * S


@pytest.fixture
def connection(store: LedgerUrl) -> Iterator[Store]:
    """To a store in which `a` is in time, `b` is 2 hours behind, and `c` was forgotten."""
    with closing(connect(store)) as opened:
        listed(opened, "a")
        listed(opened, "b", behind=7200, waiting=3)
        listed(opened, "c", behind=300)
        change(store, f"UPDATE process SET seen_at = seen_at - {HOUR} WHERE name = 'c'")
        assert shim("ledger", "forget", "c", "--ledger", store.url, "--reason", "x")[0] == 0
        yield opened


@pytest.fixture
def folder(tmp_path: Path, store: LedgerUrl, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the settings of a process."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rollout.yaml").write_text(ROLLOUT.replace("STAGE", "shadow"))
    (tmp_path / "shim.yaml").write_text(
        f"{QUICK}\nledger: {json.dumps(store.url)}\nfleet: {FLEET}\n"
        "promotion: {steps: [{percent: {shadow: 10}}]}\n"
    )
    return tmp_path


def shim(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments)
    assert "Traceback" not in result.output
    return result.exit_code, result.output


COMMANDS = (
    "gate --ledger URL",
    "gate --ledger URL --at 2026-11-20",
    "gate --config shim.yaml",
    "verdicts --ledger URL",
    "verdicts --config shim.yaml",
    "retire --ledger URL",
    "retire --ledger URL --force --reason x",
    "rollout status --config shim.yaml",
    "rollout advance --config shim.yaml --dry-run",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_it(
    connection: Store, store: LedgerUrl, folder: Path, command: str
) -> None:
    words = [store.url if word == "URL" else word for word in command.split()]
    _, text = shim(*words)
    assert "the record of all 2 processes is complete until " in text
    assert "the record of b is complete until " in text
    assert ", 3 rows are to come" in text
    assert "the record of c, which was forgotten, ends at " in text
    assert "the record of a " not in text
    _, answer = shim(*words, "--json")
    record = Completeness.from_dict(json.loads(answer)["record"])
    assert [one.name for one in record.processes] == ["a", "b", "c"]
    assert [one.behind for one in record.processes] == [False, True, False]
    assert [one.forgotten for one in record.processes] == [False, False, True]
    assert record.complete_until == record.processes[1].complete_until
    assert abs(record.now - read_clock(connection)) < HOUR
    if "--force" in words:
        for file in ("report.md", "report.json"):
            assert "record" in (folder / "retirement" / file).read_text()


def test_without_a_fleet_there_is_nothing_to_say(tmp_path: Path) -> None:
    with ledger(tmp_path / "one.db") as writer:
        writer.append(verdict(1))
    _, answer = shim("verdicts", "--ledger", str(tmp_path / "one.db"), "--json")
    assert [*json.loads(answer)] == ["verdicts", "cursor"]
    assert format_completeness(None) == []


def test_what_is_said_of_a_fleet_that_begins(store: LedgerUrl) -> None:
    assert "no process of the fleet is listed as alive" in shim("gate", "--ledger", store.url)[1]
    with closing(connect(store)) as connection:
        listed(connection, "a")
        change(store, "UPDATE process SET complete_until = NULL")
        text = shim("gate", "--ledger", store.url)[1]
    assert "the record of the one process is not known yet" in text
    assert "the record of a has not begun" in text


@pytest.mark.real
async def test_every_answer_of_the_api_says_it(store: LedgerUrl, tmp_path: Path) -> None:
    with closing(connect(store)) as connection:
        listed(connection, "b", behind=7200, waiting=3)
    async with process_of(tmp_path, store, "a") as process:

        async def names() -> list[str]:
            fleet = FleetRecord.from_dict(await ask(process, "/api/fleet"))
            return [one.name for one in fleet.processes if one.complete_until]

        await eventually(names, (["a", "b"],))
        for path in ("gate", "gate?at=1795000000", "verdicts", "outcomes", "report"):
            record = Completeness.from_dict((await ask(process, f"/api/{path}"))["record"])
            assert [(one.name, one.behind) for one in record.processes] == [
                ("a", False),
                ("b", True),
            ]
        for page in ("/", "/verdicts", "/outcomes"):
            assert "b is behind" in await ask(process, page), page
        told = await asyncio.to_thread(
            CliRunner(env=process.secrets).invoke, main, ["gate", "--url", process.url]
        )
        assert "the record of b is complete until " in told.output
        told = await asyncio.to_thread(
            CliRunner(env=process.secrets).invoke,
            main,
            ["verdicts", "--url", process.url, "--json"],
        )
        assert [one["name"] for one in json.loads(told.output)["record"]["processes"]] == ["a", "b"]


# -- The store's clock -----------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [-5 * HOUR, 5 * HOUR])
def test_the_time_is_that_of_the_store(
    connection: Store,
    store: LedgerUrl,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    ahead: int,
) -> None:
    """Whatever the clock of the machine says on which somebody asks."""
    now = read_clock(connection)
    for number, age in enumerate((S, 2 * HOUR), 1):
        insert_row(connection, 1, number, verdict(number, at=now - age))
    for module in ("cli.verdicts", "runtime.machine_start", "cli.checkup"):
        monkeypatch.setattr(
            import_module(f"shim.{module}"), "wall_clock", lambda: wall_clock() + ahead
        )
    _, answer = shim("verdicts", "--ledger", store.url, "--since", "1h", "--json")
    assert len(json.loads(answer)["verdicts"]) == 1
    _, text = shim("gate", "--ledger", store.url, "--json")
    assert abs(json.loads(text)["inputs"]["now"] * S - now) < HOUR
    _, text = shim("doctor", "--config", "shim.yaml")
    side = "behind" if ahead > 0 else "ahead of"
    told = f"the store's clock is 1(7999|8000).. s {side} the clock of this machine"
    assert re.search(told, " ".join(text.split()))
    assert "is from the future" not in text


def test_doctor_before_the_first_start(server: PostgresServer, database: str, folder: Path) -> None:
    text = (folder / "shim.yaml").read_text()
    place = server.url(database)
    lines = [f"ledger: {place}" if line.startswith("ledger") else line for line in text.split("\n")]
    (folder / "shim.yaml").write_text("\n".join(lines))
    findings = json.loads(shim("doctor", "--config", "shim.yaml", "--json")[1])
    (found,) = (one for one in findings if one["about"] == "ledger")
    assert found["health"] == "good"
    assert "has no store yet" in found["words"]

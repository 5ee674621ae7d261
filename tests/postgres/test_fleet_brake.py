"""R25: one brake for a fleet. The store is a real one; the last tests have real processes."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from shim.fleet.fleet_brake import FleetBrake
from shim.fleet.fleet_memory import FleetMemory
from shim.fleet.merged_brake import MergedBrake
from shim.gate.question import QuestionTimes
from shim.gate.trial import TrialIdentity
from shim.ledger.postgres.brake_orders import StoredOrder, give_order, last_order
from shim.ledger.postgres.lease import Lease
from shim.ledger.postgres.process_list import ProcessName, Sign, enter, give_sign, read_clock
from shim.ledger.postgres.shipment import note_run
from shim.ledger.postgres.store_connection import connect
from shim.ledger.postgres.store_reader import PostgresReader
from shim.ledger.rows import DecisionRow, RunRow, VerdictRow, Wall
from shim.model import SECOND, InputError, Kind, Role, VerdictKind, VerdictName
from shim.model.ledger_url import LedgerUrl
from shim.router import BrakeChanged
from shim.settings.sections import BrakeSettings
from tests.live.servers import ServerProcess
from tests.postgres.helpers import change, eventually, fleet, insert_row, look, lose_lease
from tests.postgres.server import PostgresServer

Store = psycopg.Connection[Any]


@pytest.fixture
def connection(store: LedgerUrl) -> Iterator[Store]:
    with closing(connect(store)) as opened:
        yield opened


# -- Orders ----------------------------------------------------------------------------------------


def order(connection: Store, engaged: bool, reason: str = "r", **facts: Any) -> StoredOrder:
    return give_order(connection, engaged=engaged, reason=reason, process="p", **facts)


def test_the_last_order_is_in_force(connection: Store) -> None:
    assert last_order(connection) is None
    first = order(connection, True, "kills")
    assert (first.engaged, first.reason, first.process) == (True, "kills", "p")
    assert last_order(connection) == first
    # What is in force already is not ordered again.
    assert order(connection, True, "another") == first
    released = order(connection, False, knowing=first.id)
    assert released.id > first.id
    assert not released.engaged
    assert order(connection, False) == released


def test_nobody_releases_what_nobody_there_could_know_of(connection: Store) -> None:
    first = order(connection, True)
    for knowing in (None, first.id - 1):
        assert order(connection, False, knowing=knowing) == first


def test_an_order_is_given_once(connection: Store) -> None:
    """It was given before a crash, and is given again after the restart; it was released meanwhile."""
    first = order(connection, True, origin="p 5")
    released = order(connection, False, knowing=first.id)
    assert order(connection, True, origin="p 5") == released
    assert order(connection, True, origin="p 6").engaged


def test_any_text_is_a_reason(connection: Store) -> None:
    assert order(connection, True, "a\0b\ud800").engaged


# -- The lease -------------------------------------------------------------------------------------


def test_one_process_has_the_lease(connection: Store, store: LedgerUrl) -> None:
    first, second = Lease("brake", "first"), Lease("brake", "second")
    assert first.hold(connection)
    assert not second.hold(connection)
    assert Lease("another duty", "second").hold(connection)
    assert first.hold(connection)
    # The first one froze, and its lease has ended.
    change(store, "UPDATE lease SET until = until - 5000000 WHERE duty = 'brake'")
    assert second.hold(connection)
    assert not first.hold(connection)
    first.give_up(connection)
    assert not first.hold(connection)
    second.give_up(connection)
    assert first.hold(connection)


# -- One process follows ---------------------------------------------------------------------------


class Brake:
    """The brake of a process, and its observers."""

    def __init__(self, reason: str | None = None) -> None:
        self.reason = reason
        self.told: Callable[[BrakeChanged], None] = lambda changed: None

    def engage_brake(self, reason: str, *, by_itself: bool = False) -> None:
        if self.reason is None:
            self.reason = reason
            self.told(BrakeChanged(True, reason, 5, by_itself))

    def release_brake(self, reason: str) -> None:
        if self.reason is not None:
            self.reason = None
            self.told(BrakeChanged(False, reason, 7))


class Member:
    """A process whose event loop runs what is posted at once."""

    def __init__(self, folder: Path, name: str, left: str | None = None) -> None:
        self.brake = Brake(left)
        self.fleet = FleetBrake(
            self.brake,
            name,
            FleetMemory(folder / f"{name}-fleet"),
            post=lambda function: function(),
            to_wall=lambda at: at,
            engaged=None if left is None else (left, 5),
        )
        self.brake.told = self.fleet.on


def test_all_follow(connection: Store, tmp_path: Path) -> None:
    a, b = Member(tmp_path, "a"), Member(tmp_path, "b")
    a.brake.engage_brake("kills")
    for member in (a, b):
        member.fleet.attend(connection)
    assert b.brake.reason == "kills"
    b.brake.release_brake("mended")
    for member in (b, a):
        member.fleet.attend(connection)
    assert a.brake.reason is None
    # Following is no order: nothing goes to and fro.
    for member in (a, b, a, b):
        member.fleet.attend(connection)
    assert len(connection.execute("SELECT 1 FROM brake_order").fetchall()) == 2


def test_a_brake_engaged_while_the_store_was_away_stays_engaged(
    connection: Store, tmp_path: Path
) -> None:
    """The others were engaged and released meanwhile; that release was about another matter."""
    a, b = Member(tmp_path, "a"), Member(tmp_path, "b")
    b.brake.engage_brake("a matter of b")
    b.fleet.attend(connection)
    b.brake.release_brake("mended")
    b.fleet.attend(connection)
    a.brake.engage_brake("kills")
    a.fleet.attend(connection)
    b.fleet.attend(connection)
    assert (a.brake.reason, b.brake.reason) == ("kills", "kills")


def test_after_a_restart_without_the_store(connection: Store, tmp_path: Path) -> None:
    Member(tmp_path, "a").brake.engage_brake("kills")  # and nobody was told
    again = Member(tmp_path, "a", left="kills")
    again.fleet.attend(connection)
    other = Member(tmp_path, "b")
    other.fleet.attend(connection)
    assert other.brake.reason == "kills"
    other.brake.release_brake("mended")
    other.fleet.attend(connection)
    # The process was down when the brake was released: it follows, and orders nothing.
    last = Member(tmp_path, "a", left="kills")
    last.fleet.attend(connection)
    assert last.brake.reason is None
    assert last_order(connection) is not None
    assert len(connection.execute("SELECT 1 FROM brake_order").fetchall()) == 2


def test_an_order_is_known_again_by_a_process_of_another_name(
    connection: Store, tmp_path: Path
) -> None:
    """A process without a name in the settings gets another one at each start, and its memory is lost."""
    a, b = Member(tmp_path, "a"), Member(tmp_path, "b")
    a.brake.engage_brake("kills")
    for member in (a, b):
        member.fleet.attend(connection)
    b.brake.release_brake("mended")
    b.fleet.attend(connection)
    again = Member(tmp_path, "another", left="kills")
    again.fleet.attend(connection)
    assert again.brake.reason is None


def test_what_could_not_be_written_is_kept_when_there_is_room(
    connection: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The brake was released while the process was down, whose disk was full when it followed the order."""
    folder = tmp_path / "full"
    a, b = Member(folder, "a"), Member(tmp_path, "b")
    b.brake.engage_brake("kills")
    b.fleet.attend(connection)
    for _ in range(3):
        a.fleet.attend(connection)
    assert a.brake.reason == "kills"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    folder.mkdir()
    a.fleet.attend(connection)
    b.brake.release_brake("mended")
    b.fleet.attend(connection)
    again = Member(folder, "a", left="kills")
    again.fleet.attend(connection)
    assert again.brake.reason is None


def _lose_connection(*_: object, **__: object) -> None:
    raise psycopg.OperationalError


def _attend_in_vain(member: Member, connection: Store) -> None:
    with pytest.raises(psycopg.OperationalError):
        member.fleet.attend(connection)


async def test_a_release_needs_the_store(
    connection: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shim.fleet.fleet_brake._RELEASE_TAKES", 0.05)
    a = Member(tmp_path, "a")
    a.brake.engage_brake("kills")
    a.fleet.attend(connection)
    with pytest.raises(InputError, match="does not answer"):
        await a.fleet.release("mended")
    a.fleet.attend(connection)
    assert a.brake.reason == "kills"
    # The store is asked, and whether it has heard of that is not known.
    with monkeypatch.context() as lost:
        lost.setattr("shim.fleet.fleet_brake.give_order", _lose_connection)
        asyncio.get_running_loop().call_soon(_attend_in_vain, a, connection)
        with pytest.raises(InputError, match="may still release"):
            await a.fleet.release("mended")
    a.fleet.attend(connection)
    assert a.brake.reason == "kills"
    monkeypatch.setattr("shim.fleet.fleet_brake._RELEASE_TAKES", 30)
    asyncio.get_running_loop().call_soon(a.fleet.attend, connection)
    await a.fleet.release("mended")
    assert a.brake.reason is None


@pytest.mark.parametrize("text", ["", "{", "[]", "\0"])
def test_a_memory_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text)
    memory = FleetMemory(tmp_path / "x")
    assert memory.recall("brake") is None
    memory.keep("brake", {"id": 1})
    assert FleetMemory(tmp_path / "x").recall("brake") == {"id": 1}


# -- The merged record -----------------------------------------------------------------------------

IDENTITY = TrialIdentity("m", "c", "f")
TIMES = QuestionTimes(0, 7 * 86_400 * SECOND, 86_400 * SECOND, 60 * SECOND)


class Shipping:
    """Processes whose rows are put into the store by hand."""

    def __init__(self, connection: Store) -> None:
        self.connection = connection
        self.now: Wall = read_clock(connection)
        self.runs: dict[str, int] = {}
        self.number = 0

    def begin(self, name: str, monitors: str = "m") -> None:
        run = RunRow(
            uuid=name * 32,
            started_at=self.now - 3600 * SECOND,
            pid=1,
            version="1",
            settings="s",
            tolerance=1,
            window=1,
            return_window=1,
            monitors=monitors,
            comparison="c",
        )
        self.runs[name] = note_run(self.connection, run, 0).id
        enter(self.connection, ProcessName(name, "host"), self.runs[name], (), "the store")
        self.complete(name, self.now)

    def complete(self, name: str, until: Wall) -> None:
        give_sign(self.connection, self.runs[name], Sign(until, 0, 0))

    def kill(self, name: str, at: Wall) -> None:
        """A false kill of the candidate."""
        self.number += 1
        who: dict[str, Any] = {
            "connection": f"c{self.number}",
            "connection_kind": Kind.APP,
            "user": f"u{self.number}",
            "session": "s",
            "package": "p",
        }
        decision = DecisionRow(
            **who,
            role=Role.CANDIDATE,
            acted=False,
            at=at,
            deadline=at,
            silence=1,
            code=1001,
            pings=(),
        )
        verdict = VerdictRow(
            **who,
            verdict=VerdictName.MISMATCHED,
            kind=VerdictKind.ONLY_CANDIDATE,
            at=at,
            first=Role.CANDIDATE,
            acting=Role.CONTROL,
            control_at=None,
            candidate_at=at,
            recovered=True,
            last_activity=at,
            rule=None,
            trace=None,
        )
        for row in (decision, verdict):
            insert_row(self.connection, self.runs[name], self.number, row)


@pytest.fixture
def shipping(connection: Store) -> Shipping:
    return Shipping(connection)


@pytest.fixture
def reader(store: LedgerUrl) -> Iterator[PostgresReader]:
    with closing(PostgresReader(store)) as opened:
        yield opened


def judge(reader: PostgresReader, holder: str = "a") -> MergedBrake:
    return MergedBrake(
        reader, BrakeSettings(), TIMES, lambda: IDENTITY, holder=holder, process=holder
    )


def test_five_false_kills_on_five_processes(
    connection: Store, shipping: Shipping, reader: PostgresReader
) -> None:
    judging, now = judge(reader), shipping.now
    for name in "abcde":
        shipping.begin(name)
    judging.attend(connection)
    for minute, name in enumerate("abcde", 1):
        shipping.kill(name, now + minute * 60 * SECOND)
        shipping.complete(name, now + 400 * SECOND)
        judging.attend(connection)
        engaged = last_order(connection)
        assert (engaged is not None) == (name == "e")
    assert engaged is not None
    assert engaged.reason.startswith("5 of the candidate's 5 decisions within 15 min")
    # After the release only new evidence counts.
    order(connection, False, knowing=engaged.id)
    for name in "abcde":
        shipping.complete(name, now + 500 * SECOND)
        judging.attend(connection)
    assert last_order(connection) != engaged


def test_kills_of_another_candidate_do_not_count(
    connection: Store, shipping: Shipping, reader: PostgresReader
) -> None:
    judging, now = judge(reader), shipping.now
    for name in "abcde":
        shipping.begin(name, monitors="m" if name == "a" else "another")
    judging.attend(connection)
    for minute, name in enumerate("abcde", 1):
        shipping.kill(name, now + minute * 60 * SECOND)
        shipping.complete(name, now + 400 * SECOND)
    judging.attend(connection)
    assert last_order(connection) is None


def test_another_process_takes_over_what_was_known(
    connection: Store, store: LedgerUrl, shipping: Shipping, reader: PostgresReader
) -> None:
    """The first judge dies after one false kill; the second one counts it, too."""
    first, second, day = judge(reader, "a"), judge(reader, "b"), 86_400 * SECOND
    # Both are on one day: each day begins to count anew.
    now = shipping.now = min(shipping.now, (shipping.now // day + 1) * day - 600 * SECOND)
    for name in "ab":
        shipping.begin(name)
    shipping.kill("a", now + 60 * SECOND)
    for name in "ab":
        shipping.complete(name, now + 300 * SECOND)
    for judging in (first, second):
        judging.attend(connection)
    change(store, "UPDATE lease SET until = until - 5000000")
    second.attend(connection)
    shipping.kill("b", now + 330 * SECOND)
    for name in "ab":
        shipping.complete(name, now + 400 * SECOND)
    first.attend(connection)
    assert last_order(connection) is None
    second.attend(connection)
    engaged = last_order(connection)
    assert engaged is not None
    assert (engaged.process, engaged.engaged) == ("b", True)


def test_the_judge_dies_before_it_has_read_the_last_false_kill(
    connection: Store, store: LedgerUrl, shipping: Shipping, reader: PostgresReader
) -> None:
    """What the record required before another process took over is done by that process."""
    first, second, now = judge(reader, "a"), judge(reader, "b"), shipping.now
    for name in "ab":
        shipping.begin(name)
    first.attend(connection)
    for minute in range(1, 6):
        shipping.kill("a", now + minute * 60 * SECOND)
    for name in "ab":
        shipping.complete(name, now + 400 * SECOND)
    change(store, "UPDATE lease SET until = until - 5000000")
    second.attend(connection)
    engaged = last_order(connection)
    assert engaged is not None
    assert engaged.process == "b"


def test_a_judge_that_stood_still_engages_nothing(
    connection: Store, store: LedgerUrl, shipping: Shipping, reader: PostgresReader
) -> None:
    """Another process has taken the lease between its reading and its writing."""
    judging, now = judge(reader), shipping.now
    shipping.begin("a")
    judging.attend(connection)
    for minute in range(1, 6):
        shipping.kill("a", now + minute * 60 * SECOND)
    shipping.complete("a", now + 400 * SECOND)
    lose_lease(store, "brake", lambda: judging.attend(connection))
    judging.attend(connection)
    assert last_order(connection) is None
    assert not judging.leads


def test_after_a_release_only_new_evidence_counts(
    connection: Store, shipping: Shipping, reader: PostgresReader
) -> None:
    """Also before any process has recorded that the brake was released."""
    judging = judge(reader)
    # The kills are over when the brake is released, which is now.
    now = shipping.now = shipping.now - 400 * SECOND
    shipping.begin("a")
    judging.attend(connection)
    for minute in range(1, 6):
        shipping.kill("a", now + minute * 60 * SECOND)
    shipping.complete("a", now + 390 * SECOND)
    judging.attend(connection)
    engaged = last_order(connection)
    assert engaged is not None
    assert engaged.engaged
    order(connection, False, knowing=engaged.id)
    for seconds in (395, 450, 500):
        shipping.complete("a", now + seconds * SECOND)
        judging.attend(connection)
    shipping.kill("a", now + 520 * SECOND)
    shipping.complete("a", now + 600 * SECOND)
    judging.attend(connection)
    released = last_order(connection)
    assert released is not None
    assert not released.engaged


def test_a_process_that_is_not_heard_of_holds_nobody_up_for_long(
    connection: Store, store: LedgerUrl, shipping: Shipping, reader: PostgresReader
) -> None:
    judging, now = judge(reader), shipping.now
    for name in "ab":
        shipping.begin(name)
    judging.attend(connection)
    for minute in range(1, 6):
        shipping.kill("a", now + minute * 60 * SECOND)
    shipping.complete("a", now + 400 * SECOND)
    judging.attend(connection)
    assert last_order(connection) is None
    change(store, "UPDATE process SET seen_at = seen_at - 61000000 WHERE name = 'b'")
    judging.attend(connection)
    assert last_order(connection) is not None


# -- Real processes --------------------------------------------------------------------------------


async def brake_of(process: ServerProcess) -> str | None:
    reason: str | None = (await process.report())["brake"]
    return reason


async def give(process: ServerProcess, engaged: bool, reason: str) -> int:
    token = process.secrets["SHIM_OPERATOR_TOKEN"]
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http,
        http.post(
            f"{process.url}/api/brake", json={"engaged": engaged, "reason": reason}
        ) as answer,
    ):
        return answer.status


async def all_have(processes: list[ServerProcess], reason: str | None) -> None:
    for process in processes:
        await eventually(partial(brake_of, process), (reason,))


@pytest.mark.real
async def test_three_processes_have_one_brake(store: LedgerUrl, tmp_path: Path) -> None:
    async with fleet(tmp_path, store, "abc") as (a, b, c):
        assert await give(a, True, "by hand") == 200
        await all_have([a, b, c], "by hand")
        assert await give(c, False, "mended") == 200
        await all_have([a, b, c], None)
        assert await give(b, True, "again") == 200
        await all_have([a, b, c], "again")
    # All processes are new ones, and the brake is still engaged.
    async with fleet(tmp_path, store, "abc") as processes:
        await all_have(processes, "again")
    # Engaged, released, engaged; nobody has repeated an order by following it.
    assert len(look(store, "SELECT 1 FROM brake_order")) == 3


@pytest.mark.real
async def test_without_the_store_a_process_keeps_what_it_knew(tmp_path: Path) -> None:
    with PostgresServer(durable=True) as server:
        store = LedgerUrl(server.url(server.create_database()))
        async with fleet(tmp_path, store, "ab") as (a, b):
            assert await give(a, True, "by hand") == 200
            await all_have([a, b], "by hand")
            server.kill()
            assert await give(a, False, "mended") == 503
            assert await brake_of(a) == "by hand"
        async with fleet(tmp_path, store, "ab") as (a, b):
            await all_have([a, b], "by hand")
            server.start()
            # Released as soon as the store answers.
            await eventually(partial(give, a, False, "mended"), (200,))
            await all_have([a, b], None)

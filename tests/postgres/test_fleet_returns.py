"""R24: returns anywhere in a fleet. The store is a real one; duties are driven by hand, each in its turn."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from random import Random
from typing import Any

import psycopg
import pytest

from shim.compare.fleet_returns import AT_ONCE, FleetReturns
from shim.compare.outcomes import Outcomes
from shim.fleet.opening_teller import OpeningTeller
from shim.fleet.outcome_judge import OutcomeJudge
from shim.ledger.postgres.process_list import ProcessName, Sign, enter, give_sign, read_clock
from shim.ledger.postgres.shipment import note_run
from shim.ledger.postgres.store_connection import connect
from shim.ledger.postgres.store_reader import PostgresReader
from shim.ledger.process_record import StoreStatus
from shim.ledger.rows import ActionRow, RunRow
from shim.model import SECOND, Connection, Kind, Outcome, Role, Time
from shim.model.ledger_url import LedgerUrl
from tests.postgres.helpers import change, insert_row, lose_lease

S = SECOND
WINDOW, PATIENCE = 120 * S, 30 * S
Store = psycopg.Connection[Any]


@dataclass
class Opened:
    connection: Connection
    opened_at: Time


class Member:
    """A process whose event loop runs what is posted at once, and whose rows are put into the store by hand."""

    def __init__(self, fleet: "Fleet", name: str, capacity: int = 1000) -> None:
        self.fleet = fleet
        self.name = name
        run = RunRow(
            uuid=f"{name:0>32}",
            started_at=fleet.now,
            pid=1,
            version="1",
            settings="s",
            tolerance=1,
            window=1,
            return_window=1,
        )
        self.run = note_run(fleet.store, run, 0).id
        enter(
            fleet.store, ProcessName(name, "host"), self.run, (), "here", lived_since=run.started_at
        )
        self.returns = FleetReturns(WINDOW, PATIENCE, capacity=capacity)
        self.outcomes: list[Outcome] = []
        self.waiting: list[ActionRow] = []
        self.teller = OpeningTeller(
            self.returns,
            run.uuid,
            post=lambda function: function(),
            clock=lambda: fleet.now,
            to_wall=lambda time: time,
            store=lambda: StoreStatus(None, 0, None, 0),
            tell=self.outcomes.append,
        )

    def connection(self, id: str, user: str) -> Connection:
        return Connection(f"{self.name}{id}", Kind.APP, user, "s", "com.example.app1")

    def open(self, id: str, user: str = "u1") -> None:
        self.returns.opened(Opened(self.connection(id, user), self.fleet.now))

    def close(self, id: str, user: str = "u1") -> None:
        self.returns.closed(self.connection(id, user), self.fleet.now)

    def act(self, id: str, user: str = "u1", silence: Time = 45 * S) -> None:
        """Close a connection of which nothing was heard for so long; its row waits to be shipped."""
        now, connection = self.fleet.now, self.connection(id, user)
        last = now - silence
        self.returns.acted(connection, Role.CANDIDATE, now, last)
        self.waiting.append(
            ActionRow(
                connection.id,
                connection.kind,
                user,
                connection.session,
                connection.package,
                role=Role.CANDIDATE,
                acted_at=now,
                code=1001,
                window_ends=self.returns.window_end(now, last),
                last_activity=last,
            )
        )

    def ship(self) -> None:
        for number, row in enumerate(self.waiting):
            insert_row(self.fleet.store, self.run, self.fleet.now + number, row)
        self.waiting.clear()
        give_sign(self.fleet.store, self.run, Sign(self.fleet.now, 0, 0))

    def round(self) -> None:
        self.ship()
        self.teller.attend(self.fleet.store)

    def told(self) -> list[tuple[str, str, float | None]]:
        """The outcomes that this process has told, with delays in seconds."""
        return [
            (one.connection.id, one.result.value, one.delay and one.delay / S)
            for one in self.outcomes
        ]


class Fleet:
    """Processes with one clock, which is the store's, too."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now: Time = read_clock(store)
        self.members: dict[str, Member] = {}
        self.judge = OutcomeJudge("judge", settle=0, rest=0)

    def begin(self, names: str, capacity: int = 1000) -> list[Member]:
        for name in names:
            self.members[name] = Member(self, name, capacity)
        return [self.members[name] for name in names]

    def after(self, seconds: float) -> None:
        self.now += round(seconds * S)

    def rounds(self, *silent: Member) -> None:
        """Everything that happened becomes known, except to those that are silent."""
        self.after(0.001)
        able = [member for member in self.members.values() if member not in silent]
        for member in able:
            member.ship()
        for member in able:
            member.round()
        self.judge.attend(self.store)
        for member in able:
            member.round()


@pytest.fixture
def fleet(store: LedgerUrl) -> Iterator[Fleet]:
    with closing(connect(store)) as connection:
        yield Fleet(connection)


def test_an_answer_that_failed_is_asked_for_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    (member,) = fleet.begin("a")
    fleet.rounds()
    with monkeypatch.context() as broken:
        broken.setattr(member.returns, "tell", None)
        with pytest.raises(TypeError):
            member.round()
    member.round()
    assert look_told(fleet) == fleet.now


def look_told(fleet: Fleet) -> int:
    ((until,),) = fleet.store.execute("SELECT told_until FROM process").fetchall()
    return int(until)


def test_a_client_comes_back_to_another_process(fleet: Fleet) -> None:
    a, b, c = fleet.begin("abc")
    a.open("1")
    fleet.after(60)
    a.act("1")
    fleet.after(7)
    b.open("1")
    fleet.after(0.5)
    c.open("1")
    fleet.rounds()
    assert a.told() == [("a1", "returned", 7.0)]
    fleet.after(300)
    fleet.rounds()
    assert a.told() == [("a1", "returned", 7.0)]
    assert b.told() == c.told() == []


def test_it_comes_back_after_the_action_is_known_everywhere(fleet: Fleet) -> None:
    a, b = fleet.begin("ab")
    a.open("1")
    fleet.after(60)
    a.act("1")
    fleet.rounds()
    assert a.told() == []
    fleet.after(110)
    b.open("1")
    fleet.rounds()
    assert a.told() == [("a1", "returned", 110.001)]


def test_a_mass_of_clients_comes_back_at_once(fleet: Fleet) -> None:
    """More actions and more openings than a process handles in one go."""
    a, b = fleet.begin("ab")
    users = [f"u{number}" for number in range(AT_ONCE + 10)]
    for number, user in enumerate(users):
        a.open(f"{number}", user)
    fleet.after(60)
    for number, user in enumerate(users):
        a.act(f"{number}", user)
    fleet.after(5)
    for number, user in enumerate(users):
        b.open(f"{number}", user)
    fleet.after(1)
    fleet.rounds()
    assert sorted(a.told()) == sorted((f"a{n}", "returned", 5.0) for n in range(len(users)))


def test_two_processes_in_the_same_instant(fleet: Fleet) -> None:
    """The client counts once for each action: two actions, two openings, and no third outcome."""
    a, b, c = fleet.begin("abc")
    a.open("1")
    c.open("9")
    fleet.after(60)
    a.act("1")
    fleet.after(1)
    b.open("1")
    c.open("1")
    fleet.rounds()
    assert a.told() == [("a1", "returned", 1.0)]
    c.act("9", silence=70 * S)
    fleet.rounds()
    assert c.told() == [("c9", "replaced", None)]


def test_replaced_by_a_connection_to_another_process(fleet: Fleet) -> None:
    a, b = fleet.begin("ab")
    a.open("1", "u1")
    a.open("2", "u2")
    fleet.after(60)
    b.open("1", "u1")
    b.open("2", "u2")
    fleet.after(10)
    b.close("2", "u2")
    fleet.after(10)
    a.act("1", "u1")
    a.act("2", "u2")
    fleet.rounds()
    assert a.told() == [("a1", "replaced", None)]
    fleet.after(200)
    fleet.rounds()
    assert a.told()[1:] == [("a2", "lost", None)]


def test_a_loss_only_when_every_process_has_told(fleet: Fleet) -> None:
    a, b, c = fleet.begin("abc")
    a.open("1")
    fleet.after(60)
    a.act("1")
    fleet.after(100)
    c.open("1")  # and c is cut off from the store
    fleet.after(100)
    fleet.rounds(c)
    assert a.told() == []
    fleet.rounds()
    assert a.told() == [("a1", "returned", 100.0)]
    assert b.told() == []


def test_what_was_closed_again_before_the_action_was_known(fleet: Fleet) -> None:
    a, b = fleet.begin("ab")
    a.open("1")
    fleet.after(60)
    a.act("1")
    fleet.after(3)
    b.open("1")
    fleet.after(1)
    b.close("1")
    fleet.after(5)
    fleet.rounds()
    assert a.told() == [("a1", "returned", 3.0)]


def test_what_a_process_had_to_forget(fleet: Fleet) -> None:
    """The store was away, and more connections were closed than a process remembers."""
    (a,) = fleet.begin("a")
    (b,) = fleet.begin("b", capacity=2)
    a.open("1", "u1")
    a.open("2", "u2")
    fleet.after(60)
    a.act("1", "u1")
    fleet.after(1)
    for number in range(5):
        b.open(f"{number}", f"v{number}")
        b.close(f"{number}", f"v{number}")
        fleet.after(1)
    a.act("2", "u2")
    fleet.after(200)
    fleet.rounds()
    assert a.told() == [("a1", "censored", None), ("a2", "lost", None)]


def test_a_killed_process_cannot_tell(fleet: Fleet, store: LedgerUrl) -> None:
    a, b, c = fleet.begin("abc")
    for user in ("u1", "u2"):
        a.open(user, user)
    fleet.after(60)
    fleet.rounds()
    for user in ("u1", "u2"):
        a.act(user, user)
    fleet.after(5)
    fleet.rounds(b)
    b.open("1", "u1")
    c.open("2", "u2")
    fleet.after(200)
    fleet.rounds(b)
    assert a.told() == []
    # The next process of this outbox says that b has ended.
    change(store, f"UPDATE process SET ended = true, seen_at = {fleet.now} WHERE name = 'b'")
    a.open("3", "u3")
    fleet.after(50)
    a.act("3", "u3")
    fleet.after(200)
    fleet.rounds(b)
    assert sorted(a.told()) == [
        ("a3", "lost", None),
        ("au1", "censored", None),
        ("au2", "returned", 5.001),
    ]


@pytest.mark.parametrize("pace", [1.6, 2.5])
def test_a_process_that_is_not_heard_of_is_given_up(
    fleet: Fleet, store: LedgerUrl, pace: float
) -> None:
    """The store may have been away: nobody is given up before the judge could hear of all for a minute. Its
    rounds may be slow meanwhile."""
    moment = 0.0
    fleet.judge = OutcomeJudge("judge", settle=0, rest=0, clock=lambda: moment)
    a, b = fleet.begin("ab")
    a.open("1")
    fleet.after(60)
    a.act("1")
    fleet.after(200)
    change(store, "UPDATE process SET seen_at = seen_at - 70000000 WHERE name = 'b'")
    while moment < 59:
        fleet.rounds(b)
        assert a.told() == []
        moment += pace
    moment = 60.5
    fleet.rounds(b)
    assert a.told() == [("a1", "censored", None)]
    a.open("2")
    a.act("2")
    fleet.after(200)
    moment += 30
    fleet.rounds(b)
    assert len(a.told()) == 1


def test_a_clean_end_censors_nothing(fleet: Fleet) -> None:
    a, b = fleet.begin("ab")
    a.open("1", "u1")
    a.open("2", "u2")
    fleet.after(60)
    b.open("2", "u2")
    fleet.after(5)
    a.act("1", "u1")
    a.act("2", "u2", silence=20 * S)
    b.close("2", "u2")
    a.ship()
    fleet.after(0.01)
    a.ship()
    b.ship()
    b.teller.leave(fleet.store)
    give_sign(fleet.store, b.run, Sign(fleet.now, 0, 0, ended=True))
    fleet.after(200)
    fleet.rounds(b)
    assert a.told() == [("a1", "lost", None), ("a2", "lost", None)]


def test_a_time_in_which_no_process_lived(fleet: Fleet, store: LedgerUrl) -> None:
    (a,) = fleet.begin("a")
    a.open("1")
    fleet.after(60)
    a.act("1")
    a.ship()
    fleet.after(0.01)
    a.ship()
    a.teller.leave(fleet.store)
    change(store, f"UPDATE process SET ended = true, seen_at = {fleet.now}")
    fleet.after(10)
    (b,) = fleet.begin("b")
    fleet.after(200)
    fleet.rounds(a)
    assert fleet.store.execute("SELECT result FROM action").fetchall() == [("censored",)]
    with closing(PostgresReader(store)) as reader:
        assert reader.concluded_until() == fleet.now
    assert b.told() == []


def test_an_action_that_becomes_known_late(fleet: Fleet) -> None:
    """Its process was cut off for the whole window; another one has forgotten what it saw."""
    a, b = fleet.begin("ab")
    a.open("1")
    fleet.after(60)
    a.act("1")
    fleet.after(5)
    b.open("1")
    fleet.after(300)
    fleet.rounds(a)
    fleet.rounds()
    assert a.told() == [("a1", "returned", 5.0)]


def test_names_that_postgresql_cannot_keep(fleet: Fleet) -> None:
    (a,) = fleet.begin("a")
    a.open("1", "u\\x00")
    fleet.after(60)
    a.act("1", "u\\x00")
    fleet.after(200)
    fleet.rounds()
    assert a.told() == [("a1", "censored", None)]


def test_openings_are_not_kept_for_ever(fleet: Fleet) -> None:
    a, b = fleet.begin("ab")
    a.open("1")
    fleet.after(60)
    a.act("1")
    fleet.after(1)
    b.open("1")
    fleet.rounds()
    assert fleet.store.execute("SELECT used FROM opening").fetchall() == [(True,)]
    fleet.after(3700)
    fleet.judge = OutcomeJudge("judge", settle=0, rest=0)
    fleet.rounds()
    assert fleet.store.execute("SELECT used FROM opening").fetchall() == []


def test_a_judge_that_stood_still_writes_nothing(fleet: Fleet, store: LedgerUrl) -> None:
    """Another process has taken the lease between its reading and its writing."""
    a, b = fleet.begin("ab")
    fleet.rounds()
    a.open("1")
    fleet.after(60)
    a.act("1")
    fleet.after(1)
    b.open("1")
    fleet.after(1)
    for member in (a, b, a, b):
        member.round()
    lose_lease(store, "returns", lambda: fleet.judge.attend(fleet.store))
    fleet.judge.attend(fleet.store)
    assert fleet.store.execute("SELECT result FROM action").fetchall() == [(None,)]
    change(store, "DELETE FROM lease")
    fleet.rounds()
    assert a.told() == [("a1", "returned", 1.0)]


def test_a_slow_judge_concludes_what_is_old_enough(fleet: Fleet) -> None:
    """Each of its rounds takes so long that the store may have been away meanwhile."""
    moment = 0.0
    fleet.judge = OutcomeJudge("judge", clock=lambda: moment)
    fleet.now -= 300 * S
    a, _ = fleet.begin("ab")
    a.open("1")
    fleet.after(60)
    a.act("1")
    fleet.after(239)
    for moment in (0.0, 2.5, 5.0, 7.5):  # noqa: B007 - the judge's clock
        assert a.told() == []
        fleet.rounds()
    assert a.told() == [("a1", "lost", None)]


def test_after_an_absence_of_the_store_what_is_older_is_concluded_first(fleet: Fleet) -> None:
    """A process that started meanwhile may not be on the list yet, and have seen the client."""
    moment = 0.0
    fleet.judge = OutcomeJudge("judge", clock=lambda: moment)
    fleet.now -= 250 * S
    a, _ = fleet.begin("ab")
    for name, since in (("1", 30), ("2", 70)):
        a.open(name, f"u{name}")
        fleet.after(since)
        a.act(name, f"u{name}")
    fleet.after(149)
    told = []
    for moment in (0.0, 30.0, 31.0, 36.0):  # noqa: B007 - the judge's clock
        fleet.rounds()
        told.append([name for name, *_ in a.told()])
    assert told == [[], ["a1"], ["a1"], ["a1", "a2"]]


@pytest.mark.parametrize("seed", range(4))
def test_r24_a_fleet_is_one_process(fleet: Fleet, seed: int) -> None:
    """Whatever happens where, and whoever hears of it when: the outcomes are those of one process."""
    random = Random(seed)
    members = fleet.begin("abc")
    truth = Outcomes(WINDOW, PATIENCE)
    expected: dict[str, tuple[str, Time, Time | None]] = {}
    opened: list[tuple[Member, str, str, Time]] = []

    def keep(outcome: Outcome | None) -> None:
        if outcome is not None:
            result = (outcome.result.value, outcome.at, outcome.delay)
            expected[outcome.connection.id] = result

    for number in range(300):
        fleet.after(random.choice([0.2, 1, 5, 20]))
        for outcome in truth.expire(fleet.now):
            keep(outcome)
        what = random.random()
        if what < 0.55 or not opened:
            member, user = random.choice(members), f"u{random.randrange(12)}"
            member.open(f"{number}", user)
            connection = member.connection(f"{number}", user)
            keep(truth.opened(Opened(connection, fleet.now)))
            opened.append((member, f"{number}", user, fleet.now))
        else:
            member, id, user, at = opened.pop(random.randrange(len(opened)))
            silence = min(45 * S, fleet.now - at)
            if what < 0.85:
                member.act(id, user, silence)
                last = fleet.now - silence
                keep(truth.acted(member.connection(id, user), Role.CANDIDATE, fleet.now, last))
            else:
                member.close(id, user)
                truth.closed(member.connection(id, user), fleet.now)
        if random.random() < 0.3:
            fleet.after(0.001)
            random.choice(members).round()
        if random.random() < 0.2:
            fleet.judge.attend(fleet.store)
    fleet.after(400)
    for outcome in truth.expire(fleet.now):
        keep(outcome)
    fleet.rounds()
    told = [outcome for member in members for outcome in member.outcomes]
    assert {one.connection.id: (one.result.value, one.at, one.delay) for one in told} == expected
    assert len(told) == len(expected)

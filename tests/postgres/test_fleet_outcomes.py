"""R24: outcomes that a process or the store holds up, and judges that are late."""

from contextlib import closing

import pytest

from shim.fleet.outcome_judge import OutcomeJudge
from shim.ledger.postgres.process_list import Sign, give_sign
from shim.ledger.postgres.store_reader import PostgresReader
from shim.model.ledger_url import LedgerUrl
from tests.postgres.helpers import change, lose_lease
from tests.postgres.returning_fleet import Fleet, S


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

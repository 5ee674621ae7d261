"""R24: returns anywhere in a fleet. The store is a real one."""

from random import Random

import pytest

from shim.compare.fleet_returns import AT_ONCE
from shim.compare.outcomes import Outcomes
from shim.model import Outcome, Role, Time
from shim.model.ledger_url import LedgerUrl
from tests.postgres.helpers import change
from tests.postgres.returning_fleet import PATIENCE, WINDOW, Fleet, Member, Opened, S


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
    while len(a.told()) < len(users):
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

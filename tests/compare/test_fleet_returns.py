"""R24: what one process of a fleet tells about the identities that the fleet asks about."""

import pickle
from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.compare.fleet_outcomes import FleetAction, FleetOpening, conclude
from shim.compare.fleet_returns import AT_ONCE, FleetReturns, PublishedAction, Told, ToldOpening
from shim.compare.outcomes import Outcomes
from shim.model import SECOND, Connection, Kind, Outcome, Placement, Return, Role, Time

S = SECOND
WINDOW, PATIENCE = 120 * S, 30 * S
AHEAD = 5 * S
"""How much the store's clock is ahead of the router's."""


@dataclass
class Opened:
    connection: Connection
    opened_at: Time


def connection(id: str, user: str = "u1", package: str = "com.example.app1") -> Connection:
    return Connection(id, Kind.APP, user, "s", package)


def process(capacity: int = 1000) -> FleetReturns:
    return FleetReturns(WINDOW, PATIENCE, capacity=capacity)


def opened(returns: FleetReturns, id: str, at: Time, user: str = "u1") -> None:
    assert returns.opened(Opened(connection(id, user), at)) is None


def published(
    number: int = 1, acted_at: Time = 100 * S, last: Time = 55 * S, user: str = "u1"
) -> PublishedAction:
    """An action as another process published it; its window ends 120 s after."""
    return PublishedAction(
        number, connection("dead", user).identity, acted_at, last, acted_at + WINDOW
    )


def told(
    returns: FleetReturns,
    *actions: PublishedAction,
    known_until: Time | None = None,
    now: Time = 100 * S,
) -> tuple[list[tuple[str, Time, Time | None]], list[int]]:
    found = returns.tell(actions, lambda at: at + AHEAD, known_until, now)
    openings = [(one.connection.id, one.opened_at, one.closed_at) for one in found.openings]
    return openings, found.unsure


def test_nothing_is_told_about_identities_that_nobody_asks_about() -> None:
    returns = process()
    opened(returns, "c1", 60 * S)
    returns.closed(connection("c1"), 70 * S)
    opened(returns, "c2", 80 * S, "u2")
    assert told(returns, published(user="u3")) == ([], [])
    # While the fleet asks about another identity, too.
    opened(returns, "c3", 90 * S)
    returns.closed(connection("c3"), 91 * S)
    assert told(returns) == ([], [])


def test_an_opening_after_the_last_sign_of_life_is_told_open_and_closed() -> None:
    returns = process()
    opened(returns, "c1", 50 * S)  # 55 s by the store's clock: not after the last sign of life
    opened(returns, "c2", 50 * S + 1)
    assert told(returns, published()) == ([("c2", 55 * S + 1, None)], [])
    assert told(returns) == ([], [])
    returns.closed(connection("c1"), 101 * S)
    returns.closed(connection("c2"), 102 * S)
    assert told(returns) == ([("c2", 55 * S + 1, 107 * S)], [])
    assert told(returns) == ([], [])


def test_what_was_closed_before_the_action_was_known_is_told() -> None:
    returns = process()
    for id, at in (("c1", 50 * S), ("c2", 50 * S + 1)):
        opened(returns, id, at)
        returns.closed(connection(id), at + S)
    assert told(returns, published()) == ([("c2", 55 * S + 1, 56 * S + 1)], [])


def test_other_connections_of_the_same_user_are_not_told() -> None:
    returns = process()
    for id in ("c1", "c2"):
        other = connection(id, package="com.example.app2")
        assert returns.opened(Opened(other, 60 * S)) is None
    returns.closed(connection("c2", package="com.example.app2"), 70 * S)
    assert told(returns, published()) == ([], [])


def test_a_connection_that_is_closed_again_or_unknown_is_nothing_new() -> None:
    returns = process()
    opened(returns, "c1", 60 * S)
    returns.closed(connection("c1"), 70 * S)
    returns.closed(connection("c1"), 80 * S)
    returns.closed(connection("c2"), 80 * S)
    assert told(returns, published()) == ([("c1", 65 * S, 75 * S)], [])


@pytest.mark.parametrize("acted_at", [(100 * S, 90 * S), (90 * S, 100 * S)])
def test_an_identity_is_watched_to_the_end_of_its_last_window(acted_at: tuple[Time, Time]) -> None:
    returns = process()
    ends = 220 * S
    told(returns, *(published(number, acted_at=at) for number, at in enumerate(acted_at)))
    told(returns, now=ends)
    opened(returns, "c1", 1)
    assert told(returns, now=ends) == ([("c1", 1 + AHEAD, None)], [])
    told(returns, now=ends + 1)
    opened(returns, "c2", 2)
    assert told(returns, now=ends + 1) == ([], [])


def test_the_window_that_ends_first_is_forgotten_first() -> None:
    returns = process()
    actions = [published(n, acted_at=n * 100 * S, user=f"u{n}") for n in (1, 2, 3)]
    told(returns, *actions)
    told(returns, now=220 * S + 1)
    for number in (1, 2, 3):
        opened(returns, f"c{number}", number, f"u{number}")
    names = [id for id, _, _ in told(returns, now=220 * S + 1)[0]]
    assert names == ["c2", "c3"]


def test_a_process_remembers_nothing_of_what_nobody_asks_for_any_more() -> None:
    returns = process()

    def live(number: int) -> None:
        """A user comes, is asked for, goes; then the window passes, and every action is known."""
        user, start = f"u{number:03}", number * 1000 * S
        told(returns, published(number, acted_at=start, last=start, user=user), now=start)
        opened(returns, f"c{number:03}", start, user)
        told(returns, now=start)
        returns.closed(connection(f"c{number:03}", user), start + S)
        told(returns, known_until=start + 10 * S, now=start + WINDOW + 1)

    live(100)
    before = len(pickle.dumps(returns))
    for number in range(101, 150):
        live(number)
    assert len(pickle.dumps(returns)) == before


def test_a_process_is_unsure_where_it_forgot_for_want_of_room() -> None:
    returns = process(capacity=2)
    for number in range(3):
        opened(returns, f"c{number}", 60 * S, f"u{number}")
        returns.closed(connection(f"c{number}", f"u{number}"), 70 * S + number)
    # The first closing is forgotten: 75 s by the store's clock.
    until = 75 * S
    actions = [published(number, acted_at=until + number) for number in (0, 1)]
    assert told(returns, *actions)[1] == [0]


def test_without_patience_the_window_begins_with_the_action() -> None:
    assert FleetReturns(WINDOW).window_end(100 * S, 100 * S) == 100 * S + WINDOW


def test_a_process_remembers_50_000_closings() -> None:
    """As docs/fleet.md says. The closing after them takes the place of the first."""
    returns = FleetReturns(WINDOW, PATIENCE)
    action = published(acted_at=65 * S, user="another")
    for number in range(50_001):
        opened(returns, f"c{number}", 60 * S)
        if number == 50_000:
            assert told(returns, action) == ([], [])
        returns.closed(connection(f"c{number}"), 60 * S)
    assert told(returns, action) == ([], [1])


def test_a_mass_of_openings_is_told_in_pieces() -> None:
    """Other work of the event loop waits for `AT_ONCE` openings at most (R24)."""
    returns = process(capacity=3 * AT_ONCE)
    names = [f"c{number}" for number in range(2 * AT_ONCE + 1)]
    for place, name in enumerate(names):
        opened(returns, name, 60 * S + place)
        if place % 2:
            returns.closed(connection(name), 70 * S)
    found: list[str] = []
    pieces: list[Told] = []
    actions = [published()]
    while not pieces or pieces[-1].more:
        pieces.append(returns.tell(actions, lambda at: at, None, 100 * S))
        found += [one.connection.id for one in pieces[-1].openings]
        actions = []
    assert (sorted(found), len(pieces)) == (sorted(names), 3)
    assert [len(piece.openings) for piece in pieces] == [AT_ONCE, AT_ONCE, 1]


def test_closings_are_forgotten_once_every_action_of_their_time_is_known() -> None:
    returns = process()
    for id, at in (("c1", 60 * S), ("c2", 61 * S)):
        opened(returns, id, at - 10 * S)
        returns.closed(connection(id), at)
    assert told(returns, published(1, acted_at=66 * S, last=S), known_until=65 * S) == (
        [("c1", 55 * S, 65 * S), ("c2", 56 * S, 66 * S)],
        [],
    )
    # An earlier border changes nothing.
    told(returns, known_until=64 * S)
    actions = [published(2, acted_at=65 * S, last=S), published(3, acted_at=65 * S + 1, last=S)]
    assert told(returns, *actions) == ([("c2", 56 * S, 66 * S)], [2])
    told(returns, known_until=70 * S)
    actions = [published(4, acted_at=70 * S, last=S), published(5, acted_at=70 * S + 1, last=S)]
    assert told(returns, *actions) == ([], [4])


@pytest.mark.parametrize(
    ("result", "delay", "at"),
    [
        (Return.RETURNED, 7 * S, 107 * S),
        (Return.REPLACED, None, 100 * S),
        (Return.LOST, None, 220 * S + 1),
        (Return.CENSORED, None, 220 * S + 1),
    ],
)
def test_an_action_of_its_own_waits_for_the_conclusion_of_the_fleet(
    result: Return, delay: Time | None, at: Time
) -> None:
    returns = process()
    opened(returns, "c1", 10 * S)
    placement = Placement("a rule", override=True)
    dead = connection("c1")
    assert returns.acted(dead, Role.CONTROL, 100 * S, 70 * S, 4000, placement) is None
    assert (returns.next_loss, [*returns.expire(999 * S)], [*returns.finish(999 * S)]) == (
        None,
        [],
        [],
    )
    assert returns.concluded("c2", result, delay) is None
    assert returns.concluded("c1", result, delay) == Outcome(
        connection=dead,
        role=Role.CONTROL,
        result=result,
        acted_at=100 * S,
        at=at,
        delay=delay,
        code=4000,
        placement=placement,
        window_ends=220 * S,
        last_activity=70 * S,
    )
    assert returns.concluded("c1", result, delay) is None
    # The connection has ended by the action, and was told as closed then.
    assert told(returns, published(last=S))[0] == [("c1", 15 * S, 105 * S)]


@dataclass
class Fact:
    """One event of a small fleet: at a process, about a user; `closes` picks among the open connections."""

    wait: Time
    process: int
    user: int
    act: bool
    closes: int | None
    tells: int | None


FACTS = st.lists(
    st.builds(
        Fact,
        wait=st.sampled_from([0, 1, S, 20 * S, 60 * S, 130 * S]),
        process=st.integers(0, 2),
        user=st.integers(0, 2),
        act=st.booleans(),
        closes=st.none() | st.integers(0, 9),
        tells=st.none() | st.integers(0, 2),
    ),
    max_size=40,
)


class Exchange:
    """Three processes that tell each other through a list, whenever somebody asks them to."""

    def __init__(self) -> None:
        self.processes = [process() for _ in range(3)]
        self.actions: list[tuple[PublishedAction, str]] = []
        self.seen = [0, 0, 0]
        self.openings: dict[str, ToldOpening] = {}

    def tell(self, number: int, now: Time) -> None:
        new = [action for action, _ in self.actions[self.seen[number] :]]
        self.seen[number] = len(self.actions)
        found = self.processes[number].tell(new, lambda at: at, None, now)
        assert found.unsure == []
        self.openings |= {one.connection.id: one for one in found.openings}

    def conclusions(self, until: Time) -> dict[str, tuple[str, Time, Time | None]]:
        identities = {action.identity for action, _ in self.actions}
        return {
            each.action.key[1]: (each.result.value, each.at, each.delay)
            for identity in identities
            for each in conclude(
                [_fact(action, id) for action, id in self.actions if action.identity == identity],
                _openings(self.openings.values(), identity),
                until,
            )
        }


def _fact(action: PublishedAction, id: str) -> FleetAction:
    return FleetAction(
        key=("", id),
        acted_at=action.acted_at,
        last_activity=action.last_activity,
        window_ends=action.window_ends,
    )


def _openings(openings: Iterable[ToldOpening], identity: object) -> list[FleetOpening]:
    return [
        FleetOpening(key=("", one.connection.id), opened_at=one.opened_at, closed_at=one.closed_at)
        for one in openings
        if one.connection.identity == identity
    ]


@given(FACTS)
def test_r24_what_processes_tell_makes_the_outcomes_of_one_process(facts: list[Fact]) -> None:
    fleet, truth = Exchange(), Outcomes(WINDOW, PATIENCE)
    outcomes: list[Outcome] = []
    open_now: list[tuple[int, Connection, Time]] = []
    now = 0
    for number, fact in enumerate(facts):
        # No two facts in the same instant: which was first would be told by nothing.
        now += fact.wait + 1
        outcomes += truth.expire(now)
        if fact.closes is None or not open_now:
            new = connection(f"c{number:02}", f"u{fact.user}")
            fleet.processes[fact.process].opened(Opened(new, now))
            outcomes += [found] if (found := truth.opened(Opened(new, now))) else []
            open_now.append((fact.process, new, now))
        else:
            at, old, since = open_now.pop(fact.closes % len(open_now))
            if fact.act:
                last = max(since, now - 45 * S)
                fleet.processes[at].acted(old, Role.CANDIDATE, now, last)
                ends = truth.window_end(now, last)
                action = PublishedAction(number, old.identity, now, last, ends)
                fleet.actions.append((action, old.id))
                found = truth.acted(old, Role.CANDIDATE, now, last)
                outcomes += [found] if found else []
            else:
                fleet.processes[at].closed(old, now)
                truth.closed(old, now)
        if fact.tells is not None:
            fleet.tell(fact.tells, now)
    for number in range(3):
        fleet.tell(number, now)
    now += 200 * S
    outcomes += truth.expire(now)
    for number in range(3):
        fleet.tell(number, now)
    assert fleet.conclusions(now) == {
        one.connection.id: (one.result.value, one.at, one.delay) for one in outcomes
    }

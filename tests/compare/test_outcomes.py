"""R15: returns, losses, replacements and what the record does not cover."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.compare.outcomes import Outcomes
from shim.model import SECOND, Connection, Kind, Outcome, Return, Role, Time

S = SECOND
WINDOW = 120 * S


@dataclass
class Opening:
    connection: Connection
    opened_at: Time


def app(id: str, user: str = "u1", session: str = "s1", package: str = "p1") -> Connection:
    return Connection(id, Kind.APP, user, session, package)


def acted(
    outcomes: Outcomes, connection: Connection, at: Time, since: Time = 0, role: Role = Role.CONTROL
) -> Outcome | None:
    return outcomes.acted(connection, role, at, since)


def test_r15_a_new_connection_of_the_identity_is_a_return_with_its_delay() -> None:
    outcomes = Outcomes(WINDOW)
    first, again = app("c1"), app("c2", session="s2")  # an identity has no session
    assert outcomes.opened(Opening(first, 0)) is None
    assert acted(outcomes, first, 60 * S, role=Role.CANDIDATE) is None
    assert outcomes.opened(Opening(again, 67 * S)) == Outcome(
        connection=first,
        role=Role.CANDIDATE,
        result=Return.RETURNED,
        acted_at=60 * S,
        at=67 * S,
        delay=7 * S,
        window_ends=180 * S,
        last_activity=0,
    )
    assert outcomes.next_loss is None
    assert list(outcomes.finish(10**12)) == []


@pytest.mark.parametrize(
    "other",
    [
        app("c2", user="u2"),
        app("c2", package="p2"),
        Connection("c2", Kind.GLASSES, "u1", "s1"),
    ],
)
def test_r15_another_identity_is_nobodys_return(other: Connection) -> None:
    outcomes = Outcomes(WINDOW)
    outcomes.opened(Opening(app("c1"), 0))
    acted(outcomes, app("c1"), 60 * S)
    assert outcomes.opened(Opening(other, 61 * S)) is None
    assert [o.result for o in outcomes.finish(10**12)] == [Return.LOST]


def test_r15_another_identity_of_the_user_replaces_nothing() -> None:
    outcomes = Outcomes(WINDOW)
    for one in (app("c1"), app("c2", package="p2")):
        outcomes.opened(Opening(one, S))
    assert acted(outcomes, app("c1"), 60 * S) is None
    assert [o.result for o in outcomes.finish(10**12)] == [Return.LOST]


@pytest.mark.parametrize(("delay", "result"), [(WINDOW, "returned"), (WINDOW + 1, "lost")])
def test_r15_the_return_window_is_inclusive(delay: int, result: str) -> None:
    outcomes = Outcomes(WINDOW)
    outcomes.opened(Opening(app("c1"), 0))
    acted(outcomes, app("c1"), 60 * S)
    assert outcomes.next_loss == 60 * S + WINDOW + 1
    now = 60 * S + delay
    lost = [outcome.result.value for outcome in outcomes.expire(now)]
    back = outcomes.opened(Opening(app("c2"), now))
    assert lost + [back.result.value for back in [back] if back] == [result]


def test_r15_a_loss_is_known_when_the_window_has_passed() -> None:
    outcomes = Outcomes(WINDOW)
    outcomes.opened(Opening(app("c1"), 0))
    acted(outcomes, app("c1"), 60 * S)
    assert list(outcomes.expire(60 * S + WINDOW)) == []
    (lost,) = outcomes.expire(10**12)
    at = 60 * S + WINDOW + 1
    assert lost == Outcome(
        connection=app("c1"),
        role=Role.CONTROL,
        result=Return.LOST,
        acted_at=60 * S,
        at=at,
        delay=None,
        window_ends=180 * S,
        last_activity=0,
    )


def test_r15_one_opening_settles_the_oldest_action_pending() -> None:
    outcomes = Outcomes(WINDOW)
    for number in (1, 2, 3):
        outcomes.opened(Opening(app(f"c{number}"), 0))
    for number in (1, 2, 3):
        acted(outcomes, app(f"c{number}"), (60 + number) * S, since=0)
    back = [outcomes.opened(Opening(app(f"d{number}"), 70 * S)) for number in (1, 2)]
    assert [o.connection.id for o in back if o is not None] == ["c1", "c2"]
    assert [(o.connection.id, o.result.value) for o in outcomes.finish(10**12)] == [("c3", "lost")]


def test_r15_after_a_loss_the_next_pending_is_the_oldest() -> None:
    outcomes = Outcomes(WINDOW)
    outcomes.opened(Opening(app("c1"), 0))
    outcomes.opened(Opening(app("c2"), 0))
    acted(outcomes, app("c1"), 0)
    acted(outcomes, app("c2"), 50 * S)
    now = WINDOW + 1
    assert [o.connection.id for o in outcomes.expire(now)] == ["c1"]
    back = outcomes.opened(Opening(app("c3"), now))
    assert back is not None
    assert (back.connection.id, back.delay) == ("c2", now - 50 * S)


@pytest.mark.parametrize(("opened", "replaced"), [(10 * S, False), (10 * S + 1, True)])
def test_r15_replaced_by_a_connection_opened_after_the_last_sign_of_life(
    opened: Time, replaced: bool
) -> None:
    outcomes = Outcomes(WINDOW)
    outcomes.opened(Opening(app("c1"), 0))
    outcomes.opened(Opening(app("c2"), opened))
    answer = acted(outcomes, app("c1"), 60 * S, since=10 * S)
    if replaced:
        assert answer == Outcome(
            connection=app("c1"),
            role=Role.CONTROL,
            result=Return.REPLACED,
            acted_at=60 * S,
            at=60 * S,
            delay=None,
            window_ends=180 * S,
            last_activity=10 * S,
        )
        assert outcomes.next_loss is None
    else:  # "after" is strict
        assert answer is None
        assert outcomes.next_loss is not None


def test_r15_only_what_is_still_open_replaces() -> None:
    outcomes = Outcomes(WINDOW)
    outcomes.opened(Opening(app("c1"), 0))
    outcomes.opened(Opening(app("c2"), 20 * S))
    outcomes.closed(app("c2"), 0)
    assert acted(outcomes, app("c1"), 60 * S) is None


def test_r15_what_a_monitor_closed_is_not_open_any_more() -> None:
    outcomes = Outcomes(WINDOW)
    outcomes.opened(Opening(app("c1"), 0))
    outcomes.opened(Opening(app("c2"), 20 * S))
    assert acted(outcomes, app("c2"), 60 * S, since=20 * S) is None
    assert acted(outcomes, app("c1"), 60 * S, since=0) is None


def test_r15_a_connection_does_not_replace_itself() -> None:
    outcomes = Outcomes(WINDOW)
    outcomes.opened(Opening(app("c1"), 10 * S))
    assert acted(outcomes, app("c1"), 60 * S, since=5 * S) is None


@pytest.mark.parametrize(
    ("end", "result"), [(60 * S + WINDOW - 1, "censored"), (60 * S + WINDOW, "lost")]
)
def test_r15_a_window_that_the_record_does_not_cover_is_censored(end: Time, result: str) -> None:
    outcomes = Outcomes(WINDOW)
    outcomes.opened(Opening(app("c1"), 0))
    acted(outcomes, app("c1"), 60 * S)
    (outcome,) = outcomes.finish(end)
    assert (outcome.result.value, outcome.at, outcome.delay) == (result, end, None)


@pytest.mark.parametrize(
    ("acted_at", "ends"),
    [(45 * S, 180 * S), (60 * S, 180 * S), (61 * S, 181 * S)],
    ids=["exact", "the control at its latest", "later than the control"],
)
def test_r15_the_window_ends_at_one_time_whichever_monitor_acted(
    acted_at: Time, ends: Time
) -> None:
    outcomes = Outcomes(WINDOW, patience=60 * S)
    outcomes.opened(Opening(app("c1"), 0))
    acted(outcomes, app("c1"), acted_at)
    assert outcomes.next_loss == ends + 1
    assert list(outcomes.expire(ends)) == []
    returned = outcomes.opened(Opening(app("c2"), ends))
    assert returned is not None
    assert (returned.result, returned.delay) == (Return.RETURNED, ends - acted_at)


def test_r15_losses_come_in_the_order_of_their_windows() -> None:
    outcomes = Outcomes(WINDOW, patience=60 * S)
    for name in ("u1", "u2"):
        outcomes.opened(Opening(app(name, user=name), 0))
    acted(outcomes, app("u1", user="u1"), 50 * S, since=5 * S)
    acted(outcomes, app("u2", user="u2"), 51 * S, since=1 * S)
    lost = list(outcomes.expire(10**12))
    assert [(o.connection.user, o.at) for o in lost] == [
        ("u2", 181 * S + 1),
        ("u1", 185 * S + 1),
    ]


def test_r15_losses_of_one_window_come_in_the_order_of_the_actions() -> None:
    outcomes = Outcomes(WINDOW)
    names = ["u2", "u1", "u3"]
    for name in names:
        acted(outcomes, app(name, user=name), 50 * S)
    assert [lost.connection.user for lost in outcomes.expire(10**12)] == names


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["open", "open", "act", "act", "close"]),
        st.sampled_from([0, 1, 5, 10, 11]),
        st.integers(0, 5),
    ),
    max_size=30,
)


@given(MOVES, st.sampled_from([0, 9, 10, 11]), st.sampled_from([0, 4, 9]))
def test_r15_against_a_look_at_the_whole_log(
    moves: list[tuple[str, int, int]], tail: int, patience: int
) -> None:
    window = 10
    outcomes = Outcomes(window, patience)
    now = 0
    said: list[tuple[str, str]] = []
    open_now: dict[str, tuple[Connection, Time]] = {}
    log: list[tuple[Time, str, Connection, Time]] = []

    def keep(outcome: Outcome | None) -> None:
        if outcome is not None:
            said.append((outcome.connection.id, outcome.result.value))

    for number, (what, step, who) in enumerate(moves):
        now += step
        for outcome in outcomes.expire(now):
            keep(outcome)
        if what == "open" or not open_now:
            connection = app(f"c{number}", user=f"u{who % 2}")
            open_now[connection.id] = (connection, now)
            log.append((now, "open", connection, 0))
            keep(outcomes.opened(Opening(connection, now)))
            continue
        id = sorted(open_now)[who % len(open_now)]
        connection, opened_at = open_now.pop(id)
        since = max(opened_at, now - 3 * who)
        log.append((now, what, connection, since))
        if what == "act":
            keep(acted(outcomes, connection, now, since))
        else:
            outcomes.closed(connection, now)
    end = now + tail
    for outcome in outcomes.finish(end):
        keep(outcome)

    told: list[tuple[str, str]] = []
    taken: set[int] = set()
    for place, (at, what, connection, since) in enumerate(log):
        if what != "act":
            continue
        same = [
            (n, entry)
            for n, entry in enumerate(log)
            if entry[2].identity == connection.identity and entry[1] == "open"
        ]
        gone = {entry[2].id for entry in log[: place + 1] if entry[1] != "open"}
        if any(n < place and e[0] > since and e[2].id not in gone for n, e in same):
            told.append((connection.id, "replaced"))
            continue
        ends = max(at, since + patience) + window
        back = [n for n, e in same if n > place and e[0] <= ends and n not in taken]
        if back:
            taken.add(back[0])
            told.append((connection.id, "returned"))
        else:
            told.append((connection.id, "lost" if ends <= end else "censored"))
    assert Counter(said) == Counter(told)


def test_r15_at_the_end_of_the_record_a_loss_has_the_time_at_which_its_window_had_passed() -> None:
    outcomes = Outcomes(WINDOW)
    for number, at in ((1, 60 * S), (2, 100 * S)):
        outcomes.opened(Opening(app(f"c{number}", user=f"u{number}"), 0))
        acted(outcomes, app(f"c{number}", user=f"u{number}"), at)
    end = 60 * S + WINDOW + 30 * S
    assert [(outcome.result, outcome.at) for outcome in outcomes.finish(end)] == [
        (Return.LOST, 60 * S + WINDOW + 1),
        (Return.CENSORED, end),
    ]


def test_nothing_is_kept_of_clients_who_have_gone() -> None:
    """Memory does not grow with the users that there ever were."""
    outcomes = Outcomes(WINDOW)
    for number in range(10):
        connection = app(f"c{number}", user=f"u{number}")
        outcomes.opened(Opening(connection, number))
        acted(outcomes, connection, number + 1)
        back = app(f"d{number}", user=f"u{number}")
        if number % 2:
            assert outcomes.opened(Opening(back, number + 2)) is not None
            outcomes.closed(back, 0)
    assert len(list(outcomes.expire(10**12))) == 5
    assert outcomes.next_loss is None
    assert (outcomes._open, outcomes._pending, list(outcomes._windows)) == ({}, {}, [])

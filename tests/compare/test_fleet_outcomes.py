"""R24: the outcomes of a fleet do not depend on the order in which its facts become known."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.compare.fleet_outcomes import (
    Conclusion,
    FactKey,
    FleetAction,
    FleetOpening,
    Unknown,
    conclude,
)
from shim.compare.outcomes import Outcomes
from shim.model import Connection, Kind, Outcome, Return, Role, Time

WINDOW, PATIENCE = 12, 6
END = 10_000


def action(number: int, acted_at: Time, last_activity: Time) -> FleetAction:
    ends = max(acted_at, last_activity + PATIENCE) + WINDOW
    return FleetAction(
        key=("p1", f"c{number:02}"),
        acted_at=acted_at,
        last_activity=last_activity,
        window_ends=ends,
    )


def opening(number: int, at: Time, closed_at: Time | None = None, run: str = "p2") -> FleetOpening:
    return FleetOpening(key=(run, f"c{number:02}"), opened_at=at, closed_at=closed_at)


def results(conclusions: list[Conclusion]) -> dict[str, tuple[str, Time, int | None]]:
    return {each.action.key[1]: (each.result.value, each.at, each.delay) for each in conclusions}


# -- One by one ------------------------------------------------------------------------------------

A = action(1, 20, 10)  # its window ends at 32


@pytest.mark.parametrize(
    ("openings", "expected"),
    [
        ([], ("lost", 33, None)),
        ([opening(1, 32)], ("returned", 32, 12)),
        ([opening(1, 33)], ("lost", 33, None)),
        ([opening(1, 21, closed_at=22)], ("returned", 21, 1)),
        # Two processes in the same instant, and a later one: the earliest settles it.
        ([opening(1, 25, run="p3"), opening(2, 25), opening(3, 30)], ("returned", 25, 5)),
        ([opening(1, 20)], ("replaced", 20, None)),
        ([opening(1, 11)], ("replaced", 20, None)),
        ([opening(1, 10)], ("lost", 33, None)),
        ([opening(1, 11, closed_at=20)], ("lost", 33, None)),
        ([opening(1, 11, closed_at=21)], ("replaced", 20, None)),
        # The connection that was acted on replaces nothing.
        ([opening(1, 11, run="p1")], ("lost", 33, None)),
        ([replace(opening(1, 25), used=True)], ("lost", 33, None)),
        ([replace(opening(1, 15), used=True)], ("replaced", 20, None)),
    ],
)
def test_one_action(openings: list[FleetOpening], expected: tuple[str, Time, int | None]) -> None:
    assert results(list(conclude([A], openings, END)))["c01"] == expected


@pytest.mark.parametrize(("until", "count"), [(19, 0), (20, 0), (32, 0), (33, 1)])
def test_nothing_is_concluded_before_it_is_known(until: Time, count: int) -> None:
    assert len(list(conclude([A], [], until))) == count
    if until < 25:
        assert not list(conclude([A], [opening(1, 25)], until))


def test_what_is_later_than_what_is_known_changes_nothing_yet() -> None:
    """An action of which the fleet knows early neither is replaced nor ends the windows before it."""
    later, early = action(2, 40, 30), opening(1, 35)
    assert not list(conclude([A, later], [], 32))
    assert not list(conclude([later], [early], 39))
    assert results(list(conclude([later], [early], 40))) == {"c02": ("replaced", 40, None)}
    assert results(list(conclude([A], [opening(1, 25)], 25))) == {"c01": ("returned", 25, 5)}


@pytest.mark.parametrize("run", ["p0", "p2"])
def test_an_opening_of_the_same_time_comes_before_the_action(run: str) -> None:
    """The client was there, and had gone again, when its old connection was acted on."""
    found = conclude([A], [opening(1, 20, closed_at=20, run=run)], END)
    assert results(list(found)) == {"c01": ("lost", 33, None)}


def test_losses_are_concluded_in_the_order_of_their_windows() -> None:
    patient = replace(A, window_ends=90)
    found = conclude([patient, action(2, 22, 12)], [], END)
    assert [each.at for each in found] == [35, 91]


def test_one_opening_settles_one_action_the_oldest_first() -> None:
    older, newer = action(1, 20, 10), action(2, 22, 12)
    found = list(conclude([newer, older], [opening(5, 30)], END))
    assert results(found) == {"c01": ("returned", 30, 10), "c02": ("lost", 35, None)}
    assert [each.opening for each in found] == [opening(5, 30), None]


def test_at_one_time_actions_and_openings_count_in_the_order_of_their_keys() -> None:
    actions = [action(2, 20, 10), action(1, 20, 10)]
    openings = [opening(6, 30), opening(5, 30), opening(4, 33)]
    for known in (actions, actions[::-1]):
        found = list(conclude(known, openings, END))
        assert results(found) == {"c01": ("returned", 30, 10), "c02": ("returned", 30, 10)}
        assert [each.opening for each in found] == [opening(5, 30), opening(6, 30)]


@pytest.mark.parametrize(
    ("unknown", "result"),
    [
        ((0, 9), "lost"),
        ((0, 10), "censored"),
        ((15, 16), "censored"),
        ((32, 50), "censored"),
        ((33, 50), "lost"),
    ],
)
def test_what_a_process_cannot_tell_any_more(unknown: tuple[Time, Time], result: str) -> None:
    times = [Unknown(*unknown)]
    assert results(list(conclude([A], [], END, times)))["c01"] == (result, 33, None)
    # A client that was seen has come back, whatever others may have seen.
    assert results(list(conclude([A], [opening(1, 30)], END, times)))["c01"][0] == "returned"
    assert results(list(conclude([A], [opening(1, 15)], END, times)))["c01"][0] == "replaced"


# -- Against one process, and against another order ------------------------------------------------


@dataclass(frozen=True)
class History:
    """What happened to one identity, in the order of time."""

    actions: tuple[FleetAction, ...]
    openings: tuple[FleetOpening, ...]

    @property
    def keys(self) -> set[FactKey]:
        return {*(one.key for one in self.actions), *(one.key for one in self.openings)}


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Connections of one identity; some are acted on, some closed by others, some stay open."""
    actions, openings = [], []
    for number in range(draw(st.integers(1, 6))):
        opened = draw(st.integers(0, 40))
        run = draw(st.sampled_from(["p1", "p2", "p3"]))
        length = draw(st.none() | st.integers(1, 30))
        key: FactKey = (run, f"c{number:02}")
        closed_at = None if length is None else opened + length
        openings.append(FleetOpening(key=key, opened_at=opened, closed_at=closed_at))
        if closed_at is not None and draw(st.booleans()):
            last_activity = draw(st.integers(opened, closed_at))
            acted = action(number, closed_at, last_activity)
            actions.append(replace(acted, key=key))
    return History(tuple(actions), tuple(openings))


def in_one_process(history: History) -> dict[str, tuple[str, Time, int | None]]:
    """The outcomes as one process tells them that sees everything."""
    outcomes = Outcomes(WINDOW, PATIENCE)
    connections = {
        key: Connection(":".join(key), Kind.APP, "u", "s", "com.example.app1")
        for key in history.keys
    }
    acted = {action.key: action for action in history.actions}

    @dataclass
    class Open:
        connection: Connection
        opened_at: Time

    # Closings by others come before openings and actions of the same time.
    facts: list[tuple[Time, int, FactKey]] = [
        (opening.opened_at, 1, opening.key) for opening in history.openings
    ]
    for opening in history.openings:
        if opening.closed_at is not None:
            facts.append((opening.closed_at, 2 if opening.key in acted else 0, opening.key))
    told: list[Outcome | None] = []
    for at, rank, key in sorted(facts):
        told += outcomes.expire(at)
        if rank == 0:
            outcomes.closed(connections[key], at)
        elif rank == 1:
            told.append(outcomes.opened(Open(connections[key], at)))
        else:
            told.append(
                outcomes.acted(connections[key], Role.CANDIDATE, at, acted[key].last_activity)
            )
    told += outcomes.expire(END)
    return {
        each.connection.id.partition(":")[2]: (each.result.value, each.at, each.delay)
        for each in told
        if each is not None
    }


@given(histories())
def test_a_fleet_of_one_process_is_that_process(history: History) -> None:
    assert results(list(conclude(history.actions, history.openings, END))) == in_one_process(
        history
    )


@given(histories(), st.data())
def test_r24_the_answer_does_not_depend_on_when_facts_become_known(
    history: History, data: st.DataObject
) -> None:
    """Each fact becomes known at any moment before everything is known up to it; then rounds follow."""
    whole = results(list(conclude(history.actions, history.openings, END)))
    stops = [*sorted(data.draw(st.sets(st.integers(0, 70), max_size=5))), END]
    early = {key: data.draw(st.integers(0, 40)) for key in sorted(history.keys)}
    found: list[Conclusion] = []
    for until in stops:
        used = {each.opening.key for each in found if each.opening is not None}
        done = {each.action.key for each in found}
        openings = [
            replace(
                opening,
                used=opening.key in used,
                # A closing is known up to the same time.
                closed_at=opening.closed_at
                if opening.closed_at is not None and opening.closed_at <= until + early[opening.key]
                else None,
            )
            for opening in history.openings
            if opening.opened_at <= until + early[opening.key]
        ]
        waiting = [
            action
            for action in history.actions
            if action.key not in done and action.acted_at <= until + early[action.key]
        ]
        # The order in which a store gives them must not matter either.
        order = data.draw(st.permutations(openings))
        found += conclude(data.draw(st.permutations(waiting)), order, until)
    assert results(found) == whole
    assert len(found) == len(history.actions)
    openings_used = [each.opening.key for each in found if each.opening is not None]
    assert len(openings_used) == len(set(openings_used))
    assert {each.result for each in found} <= {Return.RETURNED, Return.REPLACED, Return.LOST}

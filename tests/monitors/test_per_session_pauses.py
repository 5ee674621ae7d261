"""R3: pauses of the process are no silence of a connection."""

import pytest

from shim.model import Confirmation
from tests.monitors.driven_session import NOTHING, Driven, S


@pytest.mark.parametrize(
    ("pauses", "last_seen", "deadline"),
    [
        ([(10, 15)], 0, 45),  # not longer than the threshold
        ([(10, 15.000001)], 0, 50.000001),
        ([(10, 22)], 0, 57),
        ([(10, 22)], 10, 55),  # last seen at its start: strictly before
        ([(10, 22)], 9.999999, 66.999999),
        ([(10, 16), (16, 23)], 0, 58),  # they add up
        ([(10, 16), (20, 25), (30, 37)], 0, 58),  # the short one does not count
        ([(10, 16), (20, 26), (30, 37)], 0, 64),
    ],
)
def test_r3_a_pause_of_the_server_is_not_silence(
    pauses: list[tuple[float, float]], last_seen: float, deadline: float
) -> None:
    driven = Driven()
    driven.register(last_seen=round(last_seen * S))
    for start, end in pauses:
        driven.machine.paused(round(start * S), round(end * S))
    driven.run(200 * S)
    assert [(d.at, d.deadline) for d in driven.decisions] == [(round(deadline * S),) * 2]


@pytest.mark.parametrize("sign", ["last_seen", "last_data"])
def test_r3_shifts_last_until_the_next_sign_of_life_or_data(sign: str) -> None:
    driven = Driven()
    pulse = driven.register()
    driven.machine.paused(10 * S, 30 * S)
    setattr(pulse, sign, 31 * S)
    driven.run(76 * S - 1)
    assert driven.decisions == []
    driven.machine.paused(75 * S, 81 * S)  # and begin anew: 31 + 45 + 6
    driven.run(200 * S)
    assert [d.at for d in driven.decisions] == [82 * S]


def test_r3_a_pause_moves_the_connections_last_seen_before_it_alone() -> None:
    driven = Driven()
    driven.register("before", 0, 9 * S)
    driven.register("at", 0, 10 * S)
    driven.machine.paused(10 * S, 20 * S)
    driven.register("after", 20 * S)
    driven.run(200 * S)
    assert [(d.connection_id, d.at) for d in driven.decisions] == [
        ("at", 55 * S),
        ("before", 64 * S),
        ("after", 65 * S),
    ]


def test_r3_a_pause_moves_a_deadline_beyond_what_it_was_put_off_to() -> None:
    driven = Driven()
    driven.register()
    driven.evidence["c1"] = Confirmation(unread=True)
    driven.run(45 * S)  # put off to 60
    driven.machine.paused(50 * S, 70 * S)
    driven.evidence["c1"] = NOTHING
    driven.wake(70 * S)
    (decision,) = driven.decisions
    assert (decision.at, decision.deadline) == (70 * S, 65 * S)


def test_r3_patience_is_measured_without_the_pauses() -> None:
    driven = Driven()
    driven.register()
    driven.machine.paused(20 * S, 30 * S)
    driven.evidence["c1"] = Confirmation(unread=True)
    driven.run(500 * S)
    assert [d.at for d in driven.decisions] == [145 * S]


def test_r3_evidence_from_between_two_pauses_ends_the_shift_of_the_first() -> None:
    driven = Driven()
    driven.register()
    driven.machine.paused(10 * S, 20 * S)
    driven.machine.paused(30 * S, 40 * S)
    driven.evidence["c1"] = Confirmation(data_at=25 * S)
    driven.run(200 * S)
    assert [d.at for d in driven.decisions] == [80 * S]


def test_r3_the_last_thousand_pauses_count() -> None:
    driven = Driven()
    driven.register()
    driven.machine.paused(S, 101 * S)
    for number in range(1, 1001):
        driven.machine.paused(number * 200 * S, number * 200 * S + 6 * S)
    driven.run(10_000 * S)
    assert [decision.at for decision in driven.decisions] == [(45 + 1000 * 6) * S]


def test_r3_a_pause_in_which_no_heartbeat_was_due_sends_none_at_its_end() -> None:
    driven = Driven(stall_threshold=0)
    driven.register()
    first = driven.machine.next_wake
    assert first is not None
    driven.run(first)
    # One pause between two heartbeats, and one that swallows the next.
    driven.machine.paused(first + 2 * S, first + 9 * S)
    driven.run(first + 9 * S)
    driven.machine.paused(first + 14 * S, first + 20 * S)
    driven.wake(first + 20 * S)
    driven.run(100 * S)
    (decision,) = driven.decisions
    assert decision.pings == tuple(first + at * S for at in (0, 20, 30, 45))
    assert decision.pings == tuple(at for at, _, _ in driven.pings)


def test_r3_a_pause_that_ends_with_a_heartbeat_hides_no_ping() -> None:
    driven = Driven(stall_threshold=0)
    driven.register()
    first = driven.machine.next_wake
    assert first is not None
    driven.machine.paused(first - 2 * S, first)
    driven.run(100 * S)
    (decision,) = driven.decisions
    assert decision.pings == tuple(at for at, _, _ in driven.pings)

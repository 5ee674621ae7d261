"""R3b: the per-session monitor asks for evidence of life before each decision."""

import pytest

from shim.model import Confirmation, Time
from tests.monitors.driven_session import NOTHING, Driven, S


def test_r3b_confirm_is_asked_before_each_decision() -> None:
    driven = Driven()
    driven.register("c1")
    driven.register("c2", 0, 1 * S)
    driven.machine.wake(45 * S)  # a confirm that nobody answers decides nothing
    assert driven.decisions == []
    driven.wake(46 * S)
    assert driven.asked == [(46 * S, "c1"), (46 * S, "c2")]
    assert [d.connection_id for d in driven.decisions] == ["c1", "c2"]


def test_r3b_newer_data_moves_the_deadline() -> None:
    driven = Driven()
    driven.register()
    driven.evidence["c1"] = Confirmation(data_at=40 * S)
    driven.run(85 * S - 1)
    assert driven.asked == [(45 * S, "c1")]
    assert driven.decisions == []
    driven.run(85 * S)
    assert driven.asked[1:] == [(85 * S, "c1")]
    assert [(d.at, d.silence) for d in driven.decisions] == [(85 * S, 45 * S)]


@pytest.mark.parametrize("data_at", [None, -1, 0])
def test_r3b_older_data_does_not(data_at: Time | None) -> None:
    driven = Driven()
    driven.register()
    driven.evidence["c1"] = Confirmation(data_at)
    driven.run(45 * S)
    assert [d.at for d in driven.decisions] == [45 * S]


def test_r3b_data_that_is_older_than_what_the_shim_saw_does_not() -> None:
    driven = Driven()
    driven.register().last_data = 20 * S
    driven.evidence["c1"] = Confirmation(data_at=15 * S)
    driven.run(65 * S)
    assert [(d.at, d.silence) for d in driven.decisions] == [(65 * S, 45 * S)]


def test_r3b_data_seen_by_the_shim_counts_too() -> None:
    driven = Driven()
    driven.register().last_data = 20 * S
    driven.run(64 * S)
    assert driven.asked == []
    driven.run(65 * S)
    assert [d.at for d in driven.decisions] == [65 * S]


def test_r3b_unread_bytes_put_the_decision_off_by_a_heartbeat_interval() -> None:
    driven = Driven()
    driven.register()
    driven.evidence["c1"] = Confirmation(unread=True)
    driven.run(59 * S)
    assert driven.asked == [(45 * S, "c1")]
    driven.evidence["c1"] = NOTHING
    driven.run(60 * S)
    assert driven.asked[1:] == [(60 * S, "c1")]
    assert [(d.at, d.silence) for d in driven.decisions] == [(60 * S, 60 * S)]


@pytest.mark.parametrize("interval", [15, 20, 40, 7])
def test_r3b_but_at_most_until_idle_is_three_timeouts(interval: int) -> None:
    driven = Driven(heartbeat_interval=interval * S)
    driven.register()
    driven.evidence["c1"] = Confirmation(unread=True)
    driven.run(500 * S)
    asked = [at // S for at, _ in driven.asked]
    assert asked == [*range(45, 135, interval), 135]
    assert [(d.at, d.deadline) for d in driven.decisions] == [(135 * S, 135 * S)]


@pytest.mark.parametrize("late", [135, 140])
def test_r3b_a_decision_that_is_late_by_a_pause_says_until_when_it_was_put_off(late: int) -> None:
    driven = Driven()
    driven.register()
    driven.evidence["c1"] = Confirmation(unread=True)
    driven.run(60 * S)
    assert driven.decisions == []
    driven.wake(late * S)
    assert [(d.at, d.deadline) for d in driven.decisions] == [(late * S, 75 * S)]


def test_r3b_a_sign_of_life_ends_the_putting_off() -> None:
    driven = Driven()
    pulse = driven.register()
    driven.evidence["c1"] = Confirmation(unread=True)
    driven.run(50 * S)
    pulse.last_seen = 50 * S
    driven.evidence.clear()
    driven.run(95 * S)
    assert driven.asked == [(45 * S, "c1"), (95 * S, "c1")]
    assert [d.at for d in driven.decisions] == [95 * S]


def test_r3b_a_sign_of_life_ends_it_also_where_the_next_heartbeat_is_far() -> None:
    driven = Driven(heartbeat_interval=200 * S)
    pulse = driven.register()
    driven.evidence["c1"] = Confirmation(unread=True)
    driven.run(46 * S)
    pulse.last_seen = 46 * S
    driven.evidence.clear()
    driven.run(300 * S)
    assert [d.at for d in driven.decisions] == [91 * S]


def test_r3b_with_newer_data_and_unread_bytes_the_later_of_both_counts() -> None:
    driven = Driven()
    driven.register()
    driven.evidence["c1"] = Confirmation(data_at=5 * S, unread=True)  # 50, put off to 60
    driven.run(60 * S)
    assert [at // S for at, _ in driven.asked] == [45, 60]
    driven.run(500 * S)
    assert [d.at for d in driven.decisions] == [140 * S]  # 5 + 3 x 45


def test_r3b_the_shift_is_kept_when_the_confirmed_data_is_older_than_the_pause() -> None:
    driven = Driven()
    driven.register()
    driven.machine.paused(20 * S, 30 * S)
    driven.evidence["c1"] = Confirmation(data_at=15 * S)
    driven.run(70 * S - 1)
    assert driven.asked == [(55 * S, "c1")]
    driven.run(200 * S)
    assert [d.at for d in driven.decisions] == [70 * S]  # 15 + 45 + 10
    driven = Driven()
    driven.register()
    driven.machine.paused(20 * S, 30 * S)
    driven.evidence["c1"] = Confirmation(data_at=20 * S)  # no longer before it
    driven.run(200 * S)
    assert [d.at for d in driven.decisions] == [65 * S]

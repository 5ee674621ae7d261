"""R2: the per-session monitor, example by example."""

from dataclasses import fields
from typing import Any

import pytest

from shim.model import Close, Decision, Forget, Pulse, Scope, Time
from shim_per_session import PerSession, PerSessionMonitor, PerSessionSettings
from tests.monitors.driven_session import NOTHING, Driven, S, connection


def test_r2_each_session_has_its_own() -> None:
    assert PerSession.scope is Scope.SESSION
    machine = PerSession().create(PerSessionSettings(), "s1", 0)
    assert machine.next_wake is None  # it watches nothing, so it sleeps


@pytest.mark.parametrize("last_seen", [0, 3_200_000, -7 * S])
def test_r2_it_decides_at_the_deadline_itself(last_seen: Time) -> None:
    driven = Driven()
    driven.register(now=4 * S, last_seen=last_seen)
    deadline = last_seen + 45 * S
    driven.run(deadline - 1)
    assert driven.decisions == []
    assert driven.machine.next_wake == deadline
    driven.run(deadline)
    assert [(d.at, d.deadline, d.silence) for d in driven.decisions] == [
        (deadline, deadline, 45 * S)
    ]


def test_r2_the_deadline_follows_the_pulse_and_nothing_is_asked_before() -> None:
    driven = Driven()
    pulse = driven.register()
    driven.run(44 * S)
    pulse.last_seen = 44 * S
    driven.run(89 * S - 1)
    assert driven.asked == []
    driven.run(89 * S)
    assert driven.asked == [(89 * S, "c1")]
    assert [d.at for d in driven.decisions] == [89 * S]


def test_r2_a_late_wake_says_when_the_deadline_was() -> None:
    driven = Driven()
    driven.register()
    driven.wake(47 * S)
    (decision,) = driven.decisions
    assert (decision.at, decision.deadline, decision.silence) == (47 * S, 45 * S, 47 * S)


def test_r2_a_decision_closes_with_code_reason_and_timeout_and_forgets() -> None:
    driven = Driven()
    driven.register()
    driven.run(45 * S)
    assert driven.decisions[0].effects == (
        Close(1001, "Connection timeout detected", 5 * S),
        Forget(),
    )
    settings_ = PerSessionSettings(close_code=4000, close_reason="zu spät", close_timeout=2 * S)
    machine = PerSessionMonitor(settings_, "s1", 0)
    machine.register(connection(), 0, 0)
    (decision,) = machine.confirmed("c1", NOTHING, 45 * S)
    assert isinstance(decision, Decision)
    assert decision.effects == (Close(4000, "zu spät", 2 * S), Forget())


def test_r2_a_decision_drops_and_an_empty_monitor_sleeps() -> None:
    driven = Driven()
    driven.register()
    driven.run(45 * S)
    assert driven.machine.next_wake is None
    assert driven.machine.confirmed("c1", NOTHING, 46 * S) == ()  # not twice
    driven.register("c2", 100 * S)
    driven.run(145 * S)
    assert [(d.connection_id, d.at) for d in driven.decisions] == [
        ("c1", 45 * S),
        ("c2", 145 * S),
    ]


def test_r2_each_connection_has_its_own_deadline() -> None:
    driven = Driven()
    driven.register("c1", 0, 0)
    driven.register("c2", 0, -20 * S)
    driven.register("c3", 0, -5 * S)
    driven.machine.unregister("c3", 1 * S)
    driven.machine.unregister("nobody", 1 * S)
    driven.run(60 * S)
    assert [(d.connection_id, d.at) for d in driven.decisions] == [("c2", 25 * S), ("c1", 45 * S)]


def test_r2_heartbeats_come_on_the_sessions_own_grid() -> None:
    driven = Driven()
    pulse = driven.register()
    first = driven.machine.next_wake
    assert first is not None
    assert 0 <= first < 15 * S
    pulse.last_seen = 200 * S
    driven.run(100 * S)
    beats = sorted({at for at, _, _ in driven.pings})
    assert beats == [first + n * 15 * S for n in range(len(beats))]
    assert beats[-1] + 15 * S > 100 * S


def test_r2_the_first_heartbeats_of_sessions_are_spread_over_one_interval() -> None:
    firsts = []
    for number in range(400):
        driven = Driven(session=f"user{number}@example.com", start=7 * S)
        driven.register(now=7 * S)
        assert driven.machine.next_wake is not None
        firsts.append(driven.machine.next_wake - 7 * S)
    assert min(firsts) >= 0
    assert max(firsts) < 15 * S
    tenths = [sum(n * 1.5 * S <= first < (n + 1) * 1.5 * S for first in firsts) for n in range(10)]
    assert min(tenths) >= 15  # 40 expected in each
    again = Driven(session="user3@example.com", start=7 * S)
    again.register(now=7 * S)
    assert again.machine.next_wake == firsts[3] + 7 * S  # by its id, not by chance


@pytest.mark.parametrize("session", ["", "\x00", "Zo\u00eb", "u\ud800", "\udcff", "x" * 100_000])
def test_r2_any_text_may_be_a_session(session: str) -> None:
    driven = Driven(session=session)
    driven.register()
    driven.run(until=45 * S)
    assert len(driven.decisions) == 1


def test_r2_a_heartbeat_pings_every_connection_of_the_session() -> None:
    driven = Driven()
    for id in ("c1", "c2", "c3"):
        driven.register(id, 0, 30 * S)
    assert driven.machine.next_wake is not None
    driven.run(driven.machine.next_wake)
    assert [id for _, id, _ in driven.pings] == ["c1", "c2", "c3"]


def test_r2_a_swallowed_heartbeat_is_lost_and_the_rhythm_kept() -> None:
    driven = Driven()
    pulse = driven.register()
    first = driven.machine.next_wake
    assert first is not None
    pulse.last_seen = first + 40 * S
    driven.wake(first + 40 * S)  # `first`, + 15 and + 30 in one
    assert len(driven.pings) == 1
    assert driven.machine.next_wake == first + 45 * S


def test_r2_an_idle_monitor_comes_back_to_its_own_rhythm() -> None:
    driven = Driven()
    driven.register()
    first = driven.machine.next_wake
    assert first is not None
    driven.machine.unregister("c1", 1)
    driven.register("c2", first + 100 * S)
    assert driven.machine.next_wake == first + 105 * S  # and no burst of what was missed


@pytest.mark.parametrize(("interval", "begin"), [(15 * S, 5_700_000), (10 * S, 3_800_000)])
def test_r2_a_session_has_the_same_rhythm_in_every_version(interval: int, begin: Time) -> None:
    """What a replay says depends on it."""
    driven = Driven(session="user@example.com", heartbeat_interval=interval)
    driven.register()
    assert driven.machine.next_wake == begin


def test_r2_heartbeats_of_all_sessions_fall_on_one_grid() -> None:
    firsts = set()
    for number in range(400):
        driven = Driven(session=f"user{number}", start=number * 12_345)
        driven.register(now=number * 12_345)
        firsts.add(driven.machine.next_wake)
    assert {first % 20_000 for first in firsts if first is not None} == {0}


def test_r2_a_decision_says_when_the_connection_was_pinged() -> None:
    driven = Driven()
    driven.register("old", 0, -44 * S)
    driven.run(2 * S)
    driven.register("taken over", 30 * S, 0)
    driven.run(40 * S)
    driven.machine.paused(40 * S, 60 * S)
    driven.wake(60 * S)
    driven.run(100 * S)
    sent = [at for at, id, _ in driven.pings if id == "taken over"]
    assert [d.pings for d in driven.decisions] == [(), tuple(sent)]
    assert sent[0] > 30 * S


def test_r2_ping_ids_have_8_characters_and_are_never_repeated() -> None:
    driven = Driven(heartbeat_interval=1, timeout=10**9)
    for n in range(10):
        driven.register(f"c{n}")
    driven.run(3_000)
    payloads = [payload for _, _, payload in driven.pings]
    assert len(payloads) > 29_000
    assert len(set(payloads)) == len(payloads)
    assert {len(payload) for payload in payloads} == {8}
    assert all(payload.decode().isalnum() for payload in payloads)


def test_r2_the_ping_ids_of_half_a_year_differ() -> None:
    """Those of heartbeats 2, 4, 8, … intervals later, of 4096 connections; after 2**20 they come again."""
    firsts = []
    for exponent in range(1, 21):
        driven = Driven(start=2**exponent * 15 * S)
        driven.register("c1", now=2**exponent * 15 * S)
        driven.wake(driven.machine.next_wake or 0)
        firsts.append(driven.pings[0][2])
    none = Driven()
    for number in range(4096):
        none.register(f"c{number}")
    none.wake(none.machine.next_wake or 0)
    ids = [payload for _, _, payload in none.pings]
    assert len({*ids, *firsts[:-1]}) == 4096 + 19
    assert firsts[-1] == ids[0]


def round_trip(pulse: Pulse) -> int | None:
    value: int | None = pulse.round_trip  # type: ignore[attr-defined]
    return value


def test_r2_the_round_trip_is_measured_for_the_matching_pong_only() -> None:
    driven = Driven()
    pulse, other = driven.register("c1", 0, 30 * S), driven.register("c2", 0, 30 * S)
    first = driven.machine.next_wake
    assert first is not None
    driven.run(first)
    mine, others = (payload for _, _, payload in driven.pings)
    driven.machine.pong("c1", b"", first + 1)
    driven.machine.pong("c1", others, first + 2)
    driven.machine.pong("nobody", mine, first + 3)
    assert round_trip(pulse) is round_trip(other) is None
    driven.machine.pong("c1", mine, first + 40_000)
    assert round_trip(pulse) == 40_000
    assert round_trip(other) is None
    driven.machine.pong("c1", mine, first + 90_000)  # answered already
    driven.machine.pong("c1", b"", first + 90_001)  # nobody asked for it
    assert round_trip(pulse) == 40_000


def test_r2_a_pong_for_an_older_ping_measures_nothing() -> None:
    driven = Driven()
    pulse = driven.register("c1", 0, 30 * S)
    driven.run(30 * S)
    (_, _, old), (at, _, new) = driven.pings
    driven.machine.pong("c1", old, at + 5)
    assert round_trip(pulse) is None
    driven.machine.pong("c1", new, at + 7)
    assert round_trip(pulse) == 7


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1008, 1012, 1014, 3000, 4000, 4999])
def test_r2_codes_that_may_be_sent(code: int) -> None:
    assert PerSessionSettings(close_code=code).close_code == code


@pytest.mark.parametrize(
    "code", [-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65536]
)
def test_r2_codes_that_may_not_be_sent(code: int) -> None:
    with pytest.raises(ValueError, match=r"close_code: -?\d+ "):
        PerSessionSettings(close_code=code)


def test_r2_the_reason_fits_a_close_frame() -> None:
    assert len(PerSessionSettings(close_reason="x" * 123).close_reason) == 123
    PerSessionSettings(close_reason="ä" * 61)
    for reason in ("x" * 124, "ä" * 62, "\N{GRINNING FACE}" * 31):
        with pytest.raises(ValueError, match="close_reason"):
            PerSessionSettings(close_reason=reason)


@pytest.mark.parametrize("key", ["heartbeat_interval", "timeout", "close_timeout"])
def test_r2_durations_must_be_positive(key: str) -> None:
    nothing: Any = {key: 0}
    with pytest.raises(ValueError, match=key):
        PerSessionSettings(**nothing)


def test_r3_the_stall_threshold_may_be_nothing_but_not_less() -> None:
    assert PerSessionSettings(stall_threshold=0).stall_threshold == 0
    with pytest.raises(ValueError, match="stall_threshold"):
        PerSessionSettings(stall_threshold=-1)


def test_r2_all_mistakes_at_once() -> None:
    with pytest.raises(ValueError, match="heartbeat_interval") as caught:
        PerSessionSettings(0, 0, 1006, "x" * 124, 0, -1)
    told = [text.partition(": ")[0] for text in caught.value.args]
    assert sorted(told) == sorted(field.name for field in fields(PerSessionSettings))


def test_r2_the_round_trip_is_that_of_the_last_answered_ping() -> None:
    driven = Driven()
    pulse = driven.register()
    machine = driven.machine
    assert machine.round_trip("c1") is None
    assert machine.round_trip("unknown") is None
    first = machine.next_wake
    assert first is not None
    machine.wake(first)
    machine.pong("c1", pulse.ping, first + 7)
    assert machine.round_trip("c1") == 7
    machine.unregister("c1", first + 8)
    assert machine.round_trip("c1") is None

"""R2, R3, R3b: the per-session monitor, by examples and against a function of the event log."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shim.model import (
    SECOND,
    Close,
    Confirm,
    Confirmation,
    Connection,
    Decision,
    Forget,
    Kind,
    Pings,
    Pulse,
    Request,
    Scope,
    Time,
)
from shim_per_session import PerSession, PerSessionMonitor, PerSessionSettings

S = SECOND
NOTHING = Confirmation()


def connection(id: str = "c1", session: str = "s1") -> Connection:
    return Connection(id, Kind.APP, "u1", session, "com.example.app1")


class Driven:
    """A monitor and its driver: answers `confirm` from `evidence`, keeps what was said."""

    def __init__(self, session: str = "s1", start: Time = 0, **changes: Any) -> None:
        self.machine = PerSessionMonitor(PerSessionSettings(**changes), session, start)
        self.evidence: dict[str, Confirmation] = {}
        self.asked: list[tuple[Time, str]] = []
        self.pings: list[tuple[Time, str, bytes]] = []
        self.decisions: list[Decision] = []

    def register(self, id: str = "c1", now: Time = 0, last_seen: Time | None = None) -> Pulse:
        pulse = self.machine.register(connection(id), now, now if last_seen is None else last_seen)
        pulse.owner = id
        return pulse

    def wake(self, now: Time) -> list[Request]:
        requests = list(self.machine.wake(now))
        self._do(requests, now)
        return requests

    def _do(self, requests: Iterable[Request], now: Time) -> None:
        for request in requests:
            if isinstance(request, Pings):
                self.pings += [(now, pulse.owner, pulse.ping) for pulse in request.pulses]
            elif isinstance(request, Confirm):
                self.asked.append((now, request.connection_id))
                evidence = self.evidence.get(request.connection_id, NOTHING)
                self._do(self.machine.confirmed(request.connection_id, evidence, now), now)
            else:
                assert isinstance(request, Decision)
                self.decisions.append(request)

    def run(self, until: Time) -> None:
        """Wake it whenever it asks for it, up to and including `until`."""
        wakes = 0
        while (due := self.machine.next_wake) is not None and due <= until:
            self.wake(due)
            wakes += 1
            assert wakes < 100_000, "it never rests"


# -- R2 ----------------------------------------------------------------------------------------


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


# -- R3 ----------------------------------------------------------------------------------------


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


# -- R3b ---------------------------------------------------------------------------------------


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


# -- Against the whole event log ---------------------------------------------------------------

INTERVAL, TIMEOUT, THRESHOLD = 4, 9, 2
"""Microseconds: short, so that the oracle can look at every instant and all coincidences occur."""


@dataclass
class Life:
    id: str
    start: Time
    heard: list[tuple[Time, Time]]
    """Evidence of life that reaches the pulse: known since when, and of when."""
    kernel: list[tuple[Time, Time]] = field(default_factory=list)
    """Evidence of life that only a confirm brings to light: there since when, and of when."""
    unread: list[tuple[Time, bool]] = field(default_factory=list)
    end: Time | None = None


Pauses = list[tuple[Time, Time]]


def judged(life: Life, pauses: Pauses, until: Time) -> tuple[list[Time], Time | None]:
    """When `confirm` must be asked, and when the decision falls: every instant is looked at."""
    asked: list[Time] = []
    revealed: list[tuple[Time, Time]] = []
    put_off = (0, 0)
    for now in range(life.start, until + 1):
        if any(start <= now < end for start, end in pauses):
            continue  # the process does not run
        if life.end is not None and life.end <= now:
            return asked, None
        for answered in (False, True):
            heard = max(of for known, of in life.heard + revealed if known <= now)
            shift = sum(
                end - start
                for start, end in pauses
                if end - start > THRESHOLD and max(heard + 1, life.start) <= start and end <= now
            )
            due = heard + TIMEOUT + shift
            patience = heard + shift + 3 * TIMEOUT
            unread = [state for at, state in life.unread if at <= now]
            if answered and unread and unread[-1] and now < patience:
                put_off = (heard, min(now + INTERVAL, patience))
            if put_off[0] == heard:
                due = max(due, put_off[1])
            if now < due:
                break
            if answered:
                return asked, now
            asked.append(now)
            revealed += [(now, of) for known, of in life.kernel if known <= now]
    return asked, None


def beats(first: Time, pauses: Pauses, until: Time) -> set[Time]:
    """The heartbeats that are in time; those a pause swallowed are not looked at."""
    grid = range(first, until + 1, INTERVAL)
    return {at for at in grid if not any(start <= at <= end for start, end in pauses)}


STEPS = st.one_of(st.integers(0, 6), st.sampled_from([TIMEOUT, TIMEOUT - 1, TIMEOUT + 1, 30]))
ACTS = st.sampled_from(
    [
        "register",
        "register",
        "message",
        "data",
        "kernel",
        "unread",
        "read",
        "unregister",
        "pause",
        "due",
        "due",
    ]
)
ACTIONS = st.lists(st.tuples(STEPS, ACTS, st.integers(0, 3)), max_size=30)


@settings(max_examples=600, deadline=None)
@example([(0, "register", 0), (3, "pause", 0), (5, "pause", 0), (9, "due", 1)], 0, 30)
@given(ACTIONS, st.integers(0, 3), STEPS)
def test_r2_r3_r3b_every_sequence_is_judged_as_the_rules_say(
    actions: list[tuple[int, str, int]], start: Time, tail: int
) -> None:
    machine = PerSessionMonitor(
        PerSessionSettings(INTERVAL, TIMEOUT, stall_threshold=THRESHOLD), "s1", start
    )
    lives: list[Life] = []
    pauses: Pauses = []
    open_now: dict[str, tuple[Life, Pulse]] = {}
    asked: dict[str, list[Time]] = {}
    decided: dict[str, Time] = {}
    pings: list[tuple[Time, str]] = []
    payloads: set[bytes] = set()
    now = start

    def evidence(life: Life) -> Confirmation:
        there = [of for known, of in life.kernel if known <= now]
        unread = [state for at, state in life.unread if at <= now]
        return Confirmation(max(there, default=None), bool(unread and unread[-1]))

    def fulfil(requests: Iterable[Request]) -> None:
        for request in requests:
            if isinstance(request, Pings):
                for pulse in request.pulses:
                    pings.append((now, pulse.owner))
                    assert pulse.ping not in payloads
                    payloads.add(pulse.ping)
            elif isinstance(request, Confirm):
                id = request.connection_id
                asked[id].append(now)
                fulfil(machine.confirmed(id, evidence(open_now[id][0]), now))
            else:
                assert isinstance(request, Decision)
                assert request.at == now
                heard = now - request.silence
                start = open_now[request.connection_id][0].start
                # It knows of long pauses alone, and not whether others were waiting at a pause's end.
                if all(end - begin > THRESHOLD and end != start for begin, end in pauses):
                    sent = (at for at, id in pings if id == request.connection_id and at >= heard)
                    assert request.pings == tuple(sent)
                decided[request.connection_id] = now
                open_now.pop(request.connection_id)

    def run_until(limit: Time) -> None:
        nonlocal now
        wakes = 0
        while machine.next_wake is not None and max(machine.next_wake, now) < limit:
            now = max(machine.next_wake, now)
            fulfil(machine.wake(now))
            assert machine.next_wake is None or machine.next_wake > now
            wakes += 1
            assert wakes < 1000, "it never rests"

    for step, act, who in actions:
        at = now + step
        if act == "due" and machine.next_wake is not None:
            at = max(now, machine.next_wake + who - 1)  # when it is due, or a microsecond beside it
        run_until(at)
        now = at
        ids = sorted(open_now)
        if act == "pause":
            pauses.append((now, now + step + 1))
            now += step + 1
            machine.paused(*pauses[-1])
            continue
        if act == "register" or not ids:
            life = Life(f"c{len(lives)}", now, [(now, now - who)])
            lives.append(life)
            asked[life.id] = []
            pulse = machine.register(connection(life.id), now, now - who)
            pulse.owner = life.id
            open_now[life.id] = (life, pulse)
            continue
        life, pulse = open_now[ids[who % len(ids)]]
        if act == "unregister":
            life.end = now
            machine.unregister(life.id, now)
            del open_now[life.id]
        elif act in ("message", "due"):
            life.heard.append((now, now))
            pulse.last_seen = now
        elif act == "data":
            life.heard.append((now, now))
            pulse.last_data = now
        elif act == "kernel":
            of = now - 3 * who
            if any(begins <= of for begins, _ in pauses):
                of = max(of, pauses[-1][1])  # not from between two pauses: see the last test
            life.kernel.append((now, of))
        else:
            life.unread.append((now, act == "unread"))
    until = now + tail
    run_until(until + 1)
    for life in lives:
        assert (asked[life.id], decided.get(life.id)) == judged(life, pauses, until), life
    grid = beats(first_beat(start), pauses, until)
    for life in lives:
        gone = decided.get(life.id, until if life.end is None else life.end - 1)
        in_time = [at for at, id in pings if id == life.id and at in grid and at > life.start]
        assert in_time == sorted(at for at in grid if life.start < at <= gone)


def first_beat(start: Time) -> Time:
    machine = PerSessionMonitor(PerSessionSettings(INTERVAL), "s1", start)
    machine.register(connection(), start, start + 100)
    assert machine.next_wake is not None
    return machine.next_wake


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

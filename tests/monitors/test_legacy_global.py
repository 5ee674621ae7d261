"""R1: the legacy monitor, example by example and against a function of the whole event log."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shim.model import (
    Confirmation,
    Decision,
    Kind,
    Note,
    Pings,
    Pulse,
    Request,
    Scope,
    Terminate,
    Time,
)
from shim_legacy_global import LegacyGlobal, LegacyGlobalMonitor, LegacySettings
from shim_legacy_global.global_monitor import AT_ONCE
from tests.monitors.legacy_calls import (
    S,
    connection,
    decided,
    monitor,
    notes,
    pinged,
    register,
    wake,
)


def test_r1_the_process_has_one_and_it_never_rests() -> None:
    assert LegacyGlobal.scope is Scope.PROCESS
    machine = monitor(start=7 * S)
    assert machine.next_wake == 22 * S  # from its start, and with nobody connected
    assert wake(machine, 22 * S) == []
    assert machine.next_wake == 37 * S


def test_r1_pings_first_glasses_then_apps_then_decides_glasses_then_apps() -> None:
    machine = monitor()
    register(machine, connection("a1"), 0, 0)
    register(machine, connection("g1", Kind.GLASSES), 0, 0)
    register(machine, connection("a2"), 0, 0)
    register(machine, connection("g2", Kind.GLASSES), 0, 0)
    requests = wake(machine, 60 * S)
    kinds = [type(request) for request in requests]
    assert kinds == [Pings] + [Decision] * 4 + [Note]  # who dies is pinged once more
    assert pinged(requests) == ["g1", "g2", "a1", "a2"]
    assert decided(requests) == ["g1", "g2", "a1", "a2"]


def test_r1_a_decision_terminates_and_drops() -> None:
    machine = monitor()
    register(machine, connection("c1"), 0, 3 * S)
    (decision,) = [r for r in wake(machine, 60 * S) if isinstance(r, Decision)]
    assert decision == Decision("c1", 60 * S, 48 * S, 57 * S, (Terminate(),), (60 * S,))
    later = wake(machine, 75 * S)
    assert pinged(later) == decided(later) == []


def test_r1_silence_must_be_strictly_longer_than_the_timeout() -> None:
    machine = monitor()
    register(machine, connection("exact"), 0, 0)
    register(machine, connection("longer"), 0, -1)
    assert decided(wake(machine, 45 * S)) == ["longer"]
    assert decided(wake(machine, 60 * S)) == ["exact"]


def test_r1_a_sign_of_life_counts_and_data_does_not() -> None:
    machine = monitor()
    alive = register(machine, connection("alive"), 0, 0)
    data = register(machine, connection("data"), 0, 0)
    alive.last_seen = 15 * S
    data.last_data = 15 * S
    assert decided(wake(machine, 60 * S)) == ["data"]
    assert decided(wake(machine, 60 * S + 15 * S)) == ["alive"]


def test_r1_ticks_are_multiples_from_the_start_and_swallowed_ones_are_one_late_tick() -> None:
    machine = monitor(start=1 * S)
    register(machine, connection("c1"), 1 * S, 1 * S)
    assert machine.next_wake == 16 * S
    late = wake(machine, 52 * S)  # 16, 31 and 46 in one; once
    assert pinged(late) == decided(late) == ["c1"]
    assert machine.next_wake == 61 * S  # 1 + 4 x 15, not 52 + 15


def test_r1_a_tick_that_is_late_by_a_whole_interval_is_both_ticks() -> None:
    machine = monitor()
    register(machine, connection("c1"), 0, 0)
    assert pinged(wake(machine, 30 * S)) == ["c1"]
    assert machine.next_wake == 45 * S


def test_r1_nothing_happens_before_the_tick() -> None:
    machine = monitor()
    register(machine, connection("c1"), 0, -500 * S)
    assert wake(machine, 15 * S - 1) == []
    assert machine.next_wake == 15 * S


def test_r1_statistics_are_noted_every_60_seconds() -> None:
    machine = monitor()
    register(machine, connection("a1"), 0, 45 * S)
    register(machine, connection("a2"), 0, 0)
    register(machine, connection("g1", Kind.GLASSES), 0, 45 * S)
    assert [bool(notes(wake(machine, t * S))) for t in (15, 30, 45)] == [False] * 3
    (text,) = notes(wake(machine, 60 * S))  # after the decisions: a2 is gone
    assert "1 glasses" in text
    assert "1 app " in text
    assert [bool(notes(wake(machine, t * S))) for t in (75, 90, 105, 120)] == [0, 0, 0, 1]


def test_r1_next_wake_is_the_sooner_of_sweep_and_statistics() -> None:
    machine = monitor(stats_interval=20 * S)
    register(machine, connection("c1"), 0, 0)
    assert machine.next_wake == 15 * S
    wake(machine, 15 * S)
    assert machine.next_wake == 20 * S
    requests = wake(machine, 20 * S)
    assert len(notes(requests)) == 1
    assert pinged(requests) == []  # statistics are no sweep
    assert machine.next_wake == 30 * S


def test_r1_unregistered_connections_are_left_alone_unknown_ones_ignored() -> None:
    machine = monitor()
    register(machine, connection("a1"), 0, 0)
    register(machine, connection("g1", Kind.GLASSES), 0, 0)
    machine.unregister("a1", 1)
    machine.unregister("g1", 1)
    machine.unregister("nobody", 1)
    requests = wake(machine, 60 * S)
    assert pinged(requests) == decided(requests) == []


def test_r1_a_pause_is_silence_and_pongs_and_evidence_are_nothing_special() -> None:
    machine = monitor()
    register(machine, connection("c1"), 0, 0)
    machine.paused(10 * S, 55 * S)
    machine.pong("c1", b"", 55 * S)  # the sign of life would be in the pulse
    assert decided(wake(machine, 55 * S)) == ["c1"]


@pytest.mark.parametrize("key", ["heartbeat_interval", "timeout", "stats_interval"])
def test_r1_settings_must_be_positive(key: str) -> None:
    with pytest.raises(ValueError, match=key):
        LegacySettings(**{key: 0})
    assert getattr(LegacySettings(**{key: 1}), key) == 1


def test_r1_all_mistakes_at_once() -> None:
    with pytest.raises(ValueError, match="heartbeat_interval") as caught:
        LegacySettings(0, 0, 0)
    assert len(caught.value.args) == 3


# -- Against the whole event log ---------------------------------------------------------------

INTERVAL, TIMEOUT, STATS = 8, 17, 20
"""Microseconds: short, so that the oracle can look at every instant and all coincidences occur."""


@dataclass
class Life:
    """One connection from its registration to its unregistration; times of its signs of life."""

    id: str
    kind: Kind
    start: Time
    signs: list[Time]
    end: Time | None = None


@dataclass
class Log:
    lives: list[Life] = field(default_factory=list)
    pauses: list[tuple[Time, Time]] = field(default_factory=list)
    end: Time = 0


Happened = tuple[Time, str, str]


def all_that_must_happen(log: Log, start: Time) -> list[Happened]:
    """No machine: for every instant and every life, what the rule says of it."""

    def runs(interval: int) -> set[Time]:
        times = set()
        for due in range(start + interval, log.end + 1, interval):
            for begins, ends in log.pauses:
                due = ends if begins <= due <= ends else due
            times.add(due)
        return times

    def watched(life: Life, now: Time) -> bool:
        gone = life.end is not None and life.end <= now
        return life.start <= now and not gone and not any(dead(life, t) for t in sweeps if t < now)

    def dead(life: Life, now: Time) -> bool:
        if now < life.start:
            return False
        return now - max(sign for sign in life.signs if sign <= now) > TIMEOUT

    sweeps = sorted(runs(INTERVAL))
    statistics = runs(STATS)
    happened: list[Happened] = []
    for now in sorted({*sweeps, *statistics}):
        if now > log.end:
            continue
        there = [life for kind in Kind for life in log.lives if life.kind is kind]
        there = [life for life in there if watched(life, now)]
        if now in sweeps:
            happened += [(now, "ping", life.id) for life in there]
            happened += [(now, "decision", life.id) for life in there if dead(life, now)]
            there = [life for life in there if not dead(life, now)]
        if now in statistics:
            glasses = sum(life.kind is Kind.GLASSES for life in there)
            happened.append((now, "note", f"{glasses} {len(there) - glasses}"))
    return happened


def summarised(request: Request, now: Time) -> list[Happened]:
    if isinstance(request, Note):
        numbers = [word for word in request.text.split() if word.isdigit()]
        return [(now, "note", " ".join(numbers))]
    if isinstance(request, Pings):
        return [(now, "ping", pulse.owner) for pulse in request.pulses]
    return [(now, type(request).__name__.lower(), request.connection_id)]


STEPS = st.one_of(st.integers(0, 12), st.sampled_from([TIMEOUT, TIMEOUT - 1, TIMEOUT + 1, 20]))
ACTS = st.sampled_from(["register", "register", "message", "pong", "unregister", "pause", "tick"])
ACTIONS = st.lists(st.tuples(STEPS, ACTS, st.integers(0, 3)), max_size=30)


@settings(max_examples=300, deadline=None)
@given(ACTIONS, st.integers(0, 3), STEPS, st.sampled_from([1, 2, AT_ONCE]))
def test_r1_every_sequence_is_judged_as_the_rule_says(
    actions: list[tuple[int, str, int]], start: Time, tail: int, at_once: int
) -> None:
    """Also where more connections than `at_once` are looked at between the sweeps already."""
    machine = LegacyGlobalMonitor(LegacySettings(INTERVAL, TIMEOUT, STATS), start, at_once)
    log = Log(end=start)
    happened: list[Happened] = []
    open_now: dict[str, tuple[Life, Pulse]] = {}
    now = start

    def run_until(limit: Time) -> None:
        """Wake the machine when it asks for it, at `now` where that has passed; not at `limit`."""
        nonlocal now
        while machine.next_wake is not None and max(machine.next_wake, now) < limit:
            now = max(machine.next_wake, now)
            for request in machine.wake(now):
                happened.extend(summarised(request, now))
                if isinstance(request, Decision):
                    id, heard = request.connection_id, now - request.silence
                    sent = [at for at, what, who in happened if (what, who) == ("ping", id)]
                    assert request.pings == tuple(at for at in sent if at >= heard)
                    open_now.pop(id)

    for step, act, who in actions:
        at = now + step
        if act == "tick" and machine.next_wake is not None:
            at = max(now, machine.next_wake) + who - 1  # at a tick, or a microsecond beside it
            at = max(at, now)
        run_until(at)
        now = at
        ids = sorted(open_now)
        if act == "pause":
            log.pauses.append((now, now + step + 1))
            now += step + 1
            machine.paused(*log.pauses[-1])
        elif act == "register" or not ids:
            kind = Kind.GLASSES if who % 2 else Kind.APP
            life = Life(f"c{len(log.lives)}", kind, now, [now - who])
            log.lives.append(life)
            open_now[life.id] = (life, register(machine, connection(life.id, kind), now, now - who))
        elif act == "unregister":
            life, _ = open_now.pop(ids[who % len(ids)])
            life.end = now
            machine.unregister(life.id, now)
        else:
            life, pulse = open_now[ids[who % len(ids)]]
            life.signs.append(now)
            pulse.last_seen = now
            if act == "pong":
                machine.pong(life.id, b"", now)
    log.end = now + tail
    run_until(log.end + 1)
    assert happened == all_that_must_happen(log, start)


def test_the_original_asks_for_no_confirmation_and_answers_none() -> None:
    assert list(monitor().confirmed("c1", Confirmation(unread=True), S)) == []

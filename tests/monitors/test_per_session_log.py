"""R2, R3, R3b: random sequences of events, judged by a function of the whole event log."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from shim.model import Confirm, Confirmation, Decision, Pings, Pulse, Request, Time
from shim_per_session import PerSessionMonitor, PerSessionSettings
from tests.monitors.driven_session import connection

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

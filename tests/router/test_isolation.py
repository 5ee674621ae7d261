"""R5 and R4: whatever a monitor does, nobody but itself is affected, and nobody is left alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from shim.model import (
    Close,
    Confirm,
    Confirmation,
    Connection,
    Decision,
    Kind,
    Note,
    Pings,
    Pulse,
    Return,
    Role,
    Stage,
    Terminate,
    VerdictKind,
)
from shim.router import Tracked
from shim_legacy_global import LegacyGlobal
from shim_per_session import PerSession, PerSessionMonitor
from tests.router.helpers import (
    CALLS,
    CANDIDATE,
    CONTROL,
    Fault,
    FaultyType,
    RecordingPort,
    Runaway,
    S,
    World,
    answers,
    raises,
)

# -- What can go wrong --------------------------------------------------------------------------


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no name")


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no picture")


class Plain:
    """Nothing of a monitor."""


class SlyPulse(Pulse):
    """Plugin code in the per-message path."""

    last_seen = property(lambda self: 0, lambda self, at: None)


class GuardedPulse(Pulse):
    """The times are plain slots, yet every store runs plugin code."""

    def __init__(self) -> None:
        object.__setattr__(self, "last_seen", 0)
        object.__setattr__(self, "last_data", 0)

    def __setattr__(self, name: str, value: Any) -> None:
        raise RuntimeError("hands off")


class EmptyPulse(Pulse):
    def __init__(self) -> None:
        pass


def text_pulse() -> Pulse:
    pulse = Pulse(0)
    pulse.last_data = "yesterday"  # type: ignore[assignment]
    return pulse


def stolen_pulse() -> Pulse:
    pulse = Pulse(0)
    pulse.owner = Tracked(
        Connection("another", Kind.APP, "u", "s", "p"),
        order=1,
        port=RecordingPort(int),
        stage=Stage.LIVE,
        acting=None,
        now=0,
    )
    return pulse


def failing_iterator() -> Iterator[Pings]:
    yield Pings([])
    raise RuntimeError("in the middle")


def decision(at: Any) -> Decision:
    return Decision("c1", at, 0, 0, (Terminate(),))


def instead(make: Callable[[], Any]) -> Fault:
    """The call is done, and answered with something else."""

    def fault(real: Callable[[], Any]) -> Any:
        real()
        return make()

    return fault


@dataclass
class Bad:
    """One way to break the contract: in which call, by what."""

    call: str
    what: str
    fault: Fault

    def __str__(self) -> str:
        return f"{self.call}-{self.what}"


ERRORS: dict[str, BaseException | type[BaseException]] = {
    "ValueError": ValueError("no"),
    "SystemExit": SystemExit(3),
    "StopIteration": StopIteration(),
    "GeneratorExit": GeneratorExit(),
    "RecursionError": RecursionError("deep"),
    "MemoryError": MemoryError(),
    "BaseException": BaseException("all"),
}


BAD = [
    *(Bad(call, name, raises(error)) for call in CALLS for name, error in ERRORS.items()),
    *(Bad(call, "unspeakable", raises(Unspeakable())) for call in CALLS),
    Bad("create", "None", answers(None)),
    Bad("create", "Plain", lambda real: Plain()),
    Bad("register", "None", answers(None)),
    Bad("register", "number", answers(42)),
    Bad("register", "type", answers(Pulse)),
    Bad("register", "unprintable", answers(Unprintable())),
    Bad("register", "sly pulse", instead(lambda: SlyPulse(0))),
    Bad("register", "guarded pulse", instead(lambda: GuardedPulse())),
    Bad("register", "empty pulse", instead(lambda: EmptyPulse())),
    Bad("register", "text pulse", instead(lambda: text_pulse())),
    *(
        Bad(call, what, answers(value))
        for call in ("wake", "confirmed")
        for what, value in (
            ("None", None),
            ("number", 42),
            ("text", "text"),
            ("list of None", [None]),
            ("unprintable", [Unprintable()]),
            ("class", [Pings]),
            ("ping for nobody", [Pings([Pulse(0)])]),
            ("ping for None", [Pings([None])]),  # type: ignore[list-item]
            ("ping for a list", [Pings([[]])]),  # type: ignore[list-item]
            ("ping for an empty pulse", [Pings([EmptyPulse()])]),
            ("ping for a stolen pulse", [Pings([stolen_pulse()])]),
            ("pings for None", [Pings(None)]),  # type: ignore[arg-type]
            ("decision for nobody", [Decision("nobody", 0, 0, 0, (Terminate(),))]),
            ("decision of another time", [decision(at=-1)]),
            ("decision without time", [decision(at=None)]),
            ("effect", [Close(1001, "", 0)]),
            ("confirm of nobody", [Confirm("nobody")]),
        )
    ),
    Bad("wake", "failing iterator", lambda real: failing_iterator()),
    Bad("confirmed", "failing iterator", lambda real: failing_iterator()),
    Bad("confirmed", "confirm", answers([Confirm("c1")])),
    Bad("next_wake", "never", answers(None)),
    Bad("next_wake", "text", answers("soon")),
    Bad("next_wake", "fraction", answers(1.5)),
    Bad("next_wake", "nan", answers(float("nan"))),
    Bad("next_wake", "bool", answers(True)),
    Bad("next_wake", "past", answers(-1)),
    Bad("next_wake", "zero", answers(0)),
    Bad("next_wake", "far past", answers(-(10**30))),
    Bad("next_wake", "far future", answers(10**30)),
    Bad("next_wake", "unprintable", answers(Unprintable())),
]


def now_decision(world: World, effects: Any) -> Fault:
    """A decision on c1 with everything right but the effects."""
    return lambda real: [Decision("c1", world.now, world.now, 0, effects)]


def cases() -> list[Any]:
    return [
        pytest.param(
            bad,
            id=str(bad),
        )
        for bad in BAD
    ]


# -- In the shadow -----------------------------------------------------------------------------


def a_day(world: World, stage: Stage) -> None:
    """All that can happen: timeouts, pongs, data, a pause, closes, returns, an ended session."""
    world.open("c1", stage)
    world.run(1)
    world.open("c2", stage, package=None)
    world.open("c3", stage, user="u2", session="s2")
    world.run(16)
    for id in ("c1", "c2"):
        world.pong(id, b"00000000")
    world.data("c3")
    world.run(40)
    world.message("c1")
    world.run(70)
    world.message("c1")
    world.open("c4", stage, user="u2", session="s2")
    world.run(90)

    def in_the_pause() -> None:
        world.message("c1")
        world.message("c4")

    world.pause(20, in_the_pause)
    world.run(130)
    world.pong("c4", b"")
    world.open("c5", stage, package=None)
    world.run(150)
    world.close("c4")
    world.router.session_ended("s2")
    world.message("c1")
    world.run(170)
    world.message("c5")
    world.run(400)
    world.open("c6", stage)
    world.run(500)


def control_did(world: World) -> tuple[Any, ...]:
    journal = world.journal
    return (
        {id: port.effects for id, port in world.ports.items()},
        [(d, acted) for role, d, acted in journal.decisions if role is CONTROL],
        journal.outcomes,
        [note for note in journal.notes if note[0] is CONTROL],
        journal.proofs,
    )


def healthy_day(stage: Stage) -> tuple[Any, ...]:
    world = World()
    a_day(world, stage)
    assert world.journal.failures == []
    assert len(world.journal.decided_by(CONTROL)) >= 4  # it is a day with deaths
    return control_did(world)


@pytest.fixture(scope="module")
def healthy() -> tuple[Any, ...]:
    return healthy_day(Stage.SHADOW)


@pytest.mark.parametrize("bad", cases())
def test_r5_in_shadow_nothing_that_the_candidate_does_is_seen(
    bad: Bad, healthy: tuple[Any, ...]
) -> None:
    candidate = FaultyType()
    candidate.faults[bad.call] = bad.fault
    world = World(candidate=candidate)
    a_day(world, Stage.SHADOW)
    assert control_did(world) == healthy
    assert world.journal.brakes == []
    if bad.what not in ("far future",):
        assert world.journal.failures
    assert {failure.role for failure in world.journal.failures} <= {CANDIDATE}
    assert world.orphans() == []


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("after", [1, 2, 5, 9])
def test_r5_in_shadow_a_candidate_that_fails_after_a_while(
    call: str, after: int, healthy: tuple[Any, ...]
) -> None:
    candidate = FaultyType()
    calls = 0

    def fault(real: Callable[[], Any]) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise ValueError("no more")
        return real()

    candidate.faults[call] = fault
    world = World(candidate=candidate)
    a_day(world, Stage.SHADOW)
    assert control_did(world) == healthy
    assert world.orphans() == []


def test_r5_the_candidate_as_control_is_not_disturbed_either() -> None:
    """The roles have nothing to do with the plugins: here the legacy monitor is the candidate."""

    def day(faults: dict[str, Fault]) -> tuple[Any, ...]:

        candidate = FaultyType(LegacyGlobal())
        world = World(PerSession(), candidate)
        candidate.faults = faults
        a_day(world, Stage.SHADOW)
        return control_did(world)

    calm = day({})
    for call in CALLS:
        assert day({call: raises(ValueError("no"))}) == calm


@pytest.mark.parametrize(
    "effects",
    [
        (()),
        (("close",)),
        None,
        42,
    ],
)
def test_r5_a_decision_that_closes_nothing_is_none(effects: Any) -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.SHADOW)
    candidate.faults["wake"] = now_decision(world, effects)
    world.run(200)
    assert world.journal.decided_by(CANDIDATE) == []
    assert world.journal.failures
    assert world.ports["c1"].endings == [(60 * S, "terminate")]


def test_r5_an_error_about_one_connection_is_one_verdict_and_no_strike() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    for id in ("c1", "c2", "c3", "c4", "c5"):
        world.open(id, Stage.SHADOW)
    candidate.faults["pong"] = raises(ValueError("no"))
    for id in ("c1", "c2", "c3", "c4", "c5"):
        world.pong(id)
        world.pong(id)  # it is not asked again
    assert [(v.connection.id, v.kind) for v in world.journal.verdicts] == [
        (id, VerdictKind.ERROR) for id in ("c1", "c2", "c3", "c4", "c5")
    ]
    failures = world.journal.failures
    assert [(f.call, f.connection and f.connection.id) for f in failures] == [
        ("pong", id) for id in ("c1", "c2", "c3", "c4", "c5")
    ]
    monitors = world.router.monitors(CANDIDATE)
    assert monitors is not None
    assert (monitors.strikes, monitors.quarantined) == (0, False)
    assert all(world.watched_by(id) == {CONTROL} for id in world.ports)


def test_r5_three_exceptions_about_no_connection_quarantine() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.SHADOW)
    candidate.faults["paused"] = raises(ValueError("no"))
    monitors = world.router.monitors(CANDIDATE)
    assert monitors is not None
    for strike in (1, 2):
        world.router.paused(world.now, world.now + 1)
        assert (monitors.strikes, monitors.quarantined) == (strike, False)
        assert world.watched_by("c1") == {CONTROL, CANDIDATE}  # by a fresh instance
        assert len(candidate.made) == strike + 1
    world.router.paused(world.now, world.now + 1)
    assert monitors.quarantined
    assert world.watched_by("c1") == {CONTROL}
    candidate.calls.clear()
    world.open("c2", Stage.LIVE)
    assert world.tracked["c2"].stage is Stage.SHADOW  # it may not act any more
    a = world.tracked["c2"]
    assert (a.acting, world.watched_by("c2")) == (CONTROL, {CONTROL})
    world.run(500)
    assert candidate.calls == []
    assert [f.call for f in world.journal.failures] == ["paused", "paused", "paused", "quarantine"]
    assert world.journal.brakes == []


class SlowMeter:
    """Says that every call took 60 ms, while `slow`."""

    slow = False
    started = False

    def start(self) -> None:
        self.started = True

    def over_limit(self) -> int | None:
        assert self.started, "nothing is measured before it begins"
        self.started = False
        return 60_000 if self.slow else None


def test_r5_three_slow_calls_quarantine_and_their_answers_stand() -> None:
    meter = SlowMeter()
    candidate = FaultyType()
    world = World(candidate=candidate, meter=meter)
    world.open("c1", Stage.SHADOW)
    meter.slow = True
    world.pong("c1")
    world.pong("c1")
    monitors = world.router.monitors(CANDIDATE)
    assert monitors is not None
    assert (monitors.strikes, monitors.quarantined) == (2, False)
    assert world.journal.verdicts == []
    world.run(20)
    assert monitors.quarantined
    assert {f.call for f in world.journal.failures} >= {"pong", "quarantine"}
    assert world.journal.failures[0].reason == "took 60 ms of CPU"
    assert world.watched_by("c1") == {CONTROL}
    candidate.calls.clear()
    world.run(200)
    assert candidate.calls == []
    assert world.ports["c1"].endings == [(60 * S, "terminate")]


def test_r5_a_quarantined_plugin_is_never_called_again() -> None:
    meter = SlowMeter()
    candidate = FaultyType()
    world = World(candidate=candidate, meter=meter)
    world.open("c1", Stage.SHADOW)
    world.open("c2", Stage.SHADOW)
    world.run_before(44)
    world.message("c2")
    meter.slow = True
    for _ in range(3):
        world.pong("c2")
    meter.slow = False
    candidate.faults["confirmed"] = raises(ValueError("no"))
    world.run(45)  # the confirm for c1 fails, three strikes are there
    monitors = world.router.monitors(CANDIDATE)
    assert monitors is not None
    assert monitors.quarantined
    candidate.calls.clear()
    world.run(300)
    assert candidate.calls == []


@pytest.mark.parametrize("stage", [Stage.LIVE, Stage.COMPLETE])
def test_r4_no_socket_lingers_because_of_effects_that_are_gone_when_acted_on(stage: Stage) -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", stage)
    candidate.faults["wake"] = lambda real: [
        Decision("c1", world.now, world.now, 0, (e for e in (Terminate(),)))  # type: ignore[arg-type]
    ]
    world.run(100)
    assert world.ports["c1"].endings


def test_r5_a_kind_of_ping_is_a_ping() -> None:
    class Named(Pings):
        pass

    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.SHADOW)
    candidate.faults["wake"] = lambda real: [*real(), Named([])]
    world.run(16)
    assert "confirmed" not in candidate.calls


@pytest.mark.parametrize("payload", [None, "text", b"x" * 126])
def test_r5_a_ping_that_cannot_be_sent_is_a_failure_of_the_monitor(payload: Any) -> None:
    def wrong_payload(real: Callable[[], Any]) -> Any:
        requests = list(real())
        for request in requests:
            for pulse in request.pulses:
                pulse.ping = payload
        return requests

    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.LIVE)
    candidate.faults["wake"] = wrong_payload
    world.run(16)
    assert payload not in [effect for _, effect in world.ports["c1"].effects]
    assert world.journal.failures


def test_r10_a_window_that_ended_in_a_pause_is_over_when_the_candidate_fails_in_it() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate, window=10 * S)
    world.open("c1", Stage.LIVE)
    world.run(30)
    world.data("c1")  # the control decides at 60, the candidate would at 75
    world.run(61)
    candidate.faults["paused"] = raises(ValueError("no"))
    world.pause(39)
    (verdict,) = world.journal.verdicts
    assert (verdict.kind, verdict.at) == (VerdictKind.ONLY_CONTROL, 70 * S)


def test_r5_nonsense_about_one_connection_is_one_verdict_of_kind_error() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.SHADOW)
    candidate.faults["confirmed"] = answers([42])
    world.run(45)
    assert [v.kind for v in world.journal.verdicts] == [VerdictKind.ERROR]
    assert [f.call for f in world.journal.failures] == ["confirmed"]


# -- Acting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [Stage.LIVE, Stage.COMPLETE])
@pytest.mark.parametrize("bad", [case for case in cases() if "far future" not in str(case.id)])
def test_r4_the_control_takes_over_from_a_failing_acting_candidate(bad: Bad, stage: Stage) -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", stage, user="u1", session="s1")
    world.open("c2", stage, user="u2", session="s2")
    world.run(20)
    world.message("c1")
    world.run(31)
    world.message("c2")
    candidate.faults[bad.call] = bad.fault
    if bad.call in ("create", "register"):
        world.open("c3", stage, user="u3", session="s3")
    elif bad.call == "pong":
        world.pong("c1")
        world.pong("c2")
    elif bad.call == "paused":
        world.router.paused(world.now - 1, world.now)
    elif bad.call == "unregister":
        world.open("c3", stage, user="u1", session="s1")
        world.close("c3")
    seen = {id: world.tracked[id].last_activity for id in ("c1", "c2")}
    failing_at = world.now
    world.run(60)
    assert world.orphans() == []
    if bad.call not in ("unregister", "confirmed"):
        assert world.journal.failures
        assert [engaged for engaged, _, _ in world.journal.brakes] == [True]
        assert failing_at <= world.journal.brakes[0][2] <= 60 * S
        assert {tracked.acting for tracked in world.router.connections()} == {CONTROL}
        assert {tracked.stage for tracked in world.router.connections()} == {Stage.SHADOW}
    world.run(200)
    for id in ("c1", "c2"):
        ended = world.ports[id].endings
        assert ended, f"nobody closed {id}"
        acted = [d for _, d, acts in world.journal.decisions if acts and d.connection_id == id]
        assert len(acted) == 1
        assert acted[0].at - acted[0].silence == seen[id]  # judged by the true last_seen
        assert acted[0].silence >= 45 * S
    assert world.orphans() == []


@pytest.mark.parametrize("stage", [Stage.LIVE, Stage.COMPLETE])
def test_r4_the_control_gets_the_true_last_seen(stage: Stage) -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", stage)
    world.open("c2", stage)
    world.run(40)
    world.message("c1")
    world.run(44)
    candidate.faults["wake"] = raises(ValueError("no"))
    world.run(59)
    assert world.journal.brakes
    assert world.tracked["c1"].acting is CONTROL
    world.run(60)
    assert world.ports["c2"].endings == [(60 * S, "terminate")]  # silent since 0
    world.run(89)
    assert world.ports["c1"].endings == []
    world.run(90)
    assert world.ports["c1"].endings == [(90 * S, "terminate")]  # silent since 40


def test_r4_one_failure_takes_everyone_back() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    stages = {"c1": Stage.LIVE, "c2": Stage.COMPLETE, "c3": Stage.SHADOW, "c4": Stage.OFF}
    for number, (id, stage) in enumerate(stages.items()):
        world.open(id, stage, user=f"u{number}", session=f"s{number}")
    candidate.faults["pong"] = raises(ValueError("no"))
    world.pong("c1")
    after = {id: world.tracked[id].stage for id in stages}
    assert after == {**dict.fromkeys(("c1", "c2", "c3"), Stage.SHADOW), "c4": Stage.OFF}
    assert {t.acting for t in world.router.connections()} == {CONTROL}
    assert world.watched_by("c1") == {CONTROL}  # the candidate is not asked about it again
    assert world.watched_by("c2") == {CONTROL, CANDIDATE}
    assert world.orphans() == []
    world.open("c5", Stage.COMPLETE)
    assert world.tracked["c5"].stage is Stage.SHADOW


# -- The control -------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [Stage.OFF, Stage.SHADOW])
@pytest.mark.parametrize("call", ["register", "pong", "wake", "paused"])
def test_r4_a_failing_control_is_replaced(stage: Stage, call: str) -> None:
    control = FaultyType(LegacyGlobal())
    world = World(control=control)
    world.open("c1", stage)
    world.open("c2", stage, session="s2")
    world.run(20)
    world.message("c1")
    control.faults[call] = raises(ValueError("no"))
    control.left = 1
    if call == "register":
        world.open("c3", stage, session="s3")
    elif call == "pong":
        world.pong("c1")
    elif call == "paused":
        world.router.paused(world.now - 1, world.now)
    world.run(31)
    assert [f.role for f in world.journal.failures] == [CONTROL]
    assert world.orphans() == []
    assert world.journal.brakes == []
    silent_since = {id: world.tracked[id].last_activity for id in ("c1", "c2")}
    world.run(100)
    for id, since in silent_since.items():
        acted = [d for _, d, acts in world.journal.decisions if acts and d.connection_id == id]
        assert [d.at - d.silence for d in acted] == [since]
        assert 45 * S <= acted[0].silence <= 60 * S + 15 * S
        assert len(world.ports[id].endings) >= 1


@pytest.mark.parametrize("stage", [Stage.OFF, Stage.SHADOW])
@pytest.mark.parametrize(
    "call",
    [
        "register",
        "pong",
        "wake",
        "paused",
        "create",
        "next_wake",
    ],
)
def test_r4_a_control_that_always_fails_is_no_orphans_maker(stage: Stage, call: str) -> None:
    control = FaultyType(LegacyGlobal())
    world = World(control=control)
    world.open("c1", stage)
    control.faults[call] = raises(ValueError("no"))
    if call == "create":
        control.faults["wake"] = raises(ValueError("no"))
    world.run(1)
    world.open("c2", stage, session="s2")
    world.pong("c1")
    world.router.paused(world.now - 1, world.now)
    for at in range(5, 40, 5):
        world.run(at)
        assert world.orphans() == []
    world.run(200)
    assert world.orphans() == []


@pytest.mark.parametrize("retired", [False, True])
def test_r4_a_sole_monitor_that_asks_for_the_past_does_not_stop_the_world(retired: bool) -> None:
    broken = FaultyType(None if retired else LegacyGlobal())
    world = World(candidate=broken, retired=True) if retired else World(control=broken)
    world.open("c1", Stage.OFF)
    broken.faults["next_wake"] = answers(1)
    try:
        world.run(100)
    except Runaway:
        pytest.fail("an endless loop")


@pytest.mark.parametrize("acting", Role)
def test_r4_a_failed_registration_makes_no_orphans_of_the_others(acting: Role) -> None:
    broken = FaultyType(LegacyGlobal() if acting is CONTROL else None)
    world = World(control=broken) if acting is CONTROL else World(candidate=broken, retired=True)
    world.open("c1", Stage.OFF)
    broken.faults["next_wake"] = raises(ValueError("no"))
    broken.left = 1
    world.open("c2", Stage.OFF)
    assert world.unwatched() == []
    assert world.orphans() == []
    world.run(100)
    assert world.ports["c1"].endings
    assert world.ports["c2"].endings


def test_r4_a_connection_that_closed_while_nobody_was_able_to_watch_is_not_watched_later() -> None:
    control, candidate = FaultyType(LegacyGlobal()), FaultyType()
    world = World(control, candidate)
    for type_ in (control, candidate):
        type_.faults["register"] = raises(ValueError("no"))
    world.open("c1", Stage.SHADOW)
    world.open("c2", Stage.SHADOW)
    world.close("c1")
    for type_ in (control, candidate):
        type_.faults.clear()
        type_.calls.clear()
    world.run(100)
    assert [type_.calls.count("register") for type_ in (control, candidate)] == [1, 1]
    assert [port.endings for port in world.ports.values()] == [[], [(60 * S, "terminate")]]


def test_r5_a_candidate_that_cannot_be_made_does_not_keep_the_router_from_starting() -> None:
    candidate = FaultyType(LegacyGlobal())
    candidate.faults["create"] = raises(ValueError("no"))
    world = World(candidate=candidate)
    world.open("c1", Stage.SHADOW)
    world.run(60)
    assert world.ports["c1"].endings == [(60 * S, "terminate")]


def test_r4_both_fail_and_the_caller_is_told_by_a_note_only() -> None:
    control, candidate = FaultyType(LegacyGlobal()), FaultyType()
    world = World(control, candidate)
    for type_ in (control, candidate):
        type_.faults["register"] = raises(ValueError("no"))
    world.open("c1", Stage.SHADOW)
    world.message("c1")
    world.run(100)
    assert any("c1" in text for _, text in world.journal.notes)
    for type_ in (control, candidate):
        type_.faults.clear()
    tracked = world.tracked["c1"]
    assert [tracked.instance(role) for role in Role] == [None, None]
    world.message("c1")  # the next sign of life tries again
    assert tracked.instance(CONTROL) is not None
    assert tracked.acting is CONTROL
    world.close("c1")


def test_r4_who_is_watched_by_nobody_is_tried_again_until_somebody_watches() -> None:
    control, candidate = FaultyType(LegacyGlobal()), FaultyType()
    world = World(control, candidate)
    for type_ in (control, candidate):
        type_.faults["register"] = raises(ValueError("no"))
    world.open("c1", Stage.SHADOW)
    world.run(20)  # many retries fail
    world.message("c1")
    assert world.watched_by("c1") == set()
    for type_ in (control, candidate):
        type_.faults.clear()
    world.run(21)
    assert world.orphans() == []
    assert world.tracked["c1"].acting is CONTROL
    assert CONTROL in world.watched_by("c1")


@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.LIVE])
def test_r4_whichever_monitor_can_watch_again_acts_for_whom_nobody_watched(stage: Stage) -> None:
    """The other one of the stage, if it must be; then the other one closes a silent connection."""
    monitors = {CONTROL: FaultyType(LegacyGlobal()), CANDIDATE: FaultyType()}
    world = World(monitors[CONTROL], monitors[CANDIDATE])
    for monitor in monitors.values():
        monitor.faults["register"] = raises(ValueError("no"))
    world.open("c1", stage)
    world.run(3)
    assert world.watched_by("c1") == set()
    other = stage.acting.other
    monitors[other].faults.clear()
    world.run(5)
    assert world.watched_by("c1") == {other}
    assert world.tracked["c1"].acting is other
    world.run(100)
    assert len(world.ports["c1"].endings) == (1 if other is CONTROL else 2)


@pytest.mark.parametrize(("failures", "acting"), [(2, CONTROL), (3, CANDIDATE)])
def test_r4_a_control_that_failed_twice_in_one_instant_is_tried_once_more(
    failures: int, acting: Role
) -> None:
    """Three failures in one instant are too many; in either case somebody watches at once."""
    control = FaultyType(LegacyGlobal())
    world = World(control=control)
    world.open("c1", Stage.OFF)
    control.faults = {"wake": raises(ValueError("no")), "next_wake": raises(ValueError("no"))}
    control.left = failures
    world.run(15)
    calls = [failure.call for failure in world.journal.failures]
    assert calls[:failures] == ["wake", *["next_wake"] * (failures - 1)]
    assert world.journal.notes == []
    assert world.tracked["c1"].acting is acting
    assert acting in world.watched_by("c1")
    assert world.orphans() == []


def test_r22_a_decision_on_a_closed_connection_is_nothing_that_the_brake_takes_back() -> None:
    """The control took over, and closed; the brake has not come to the connection yet."""
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.LIVE)
    world.router.restore_brake("it was engaged before")
    candidate.faults["wake"] = answers([42])
    candidate.left = 1
    world.run(16)
    assert world.tracked["c1"].acting is CONTROL
    world.data("c1")  # the candidate waits until 61; the control decides at 60
    world.run(300)
    assert world.ports["c1"].endings == [(60 * S, "terminate")]
    assert world.journal.stages == []
    assert [(one.kind, one.at) for one in world.journal.verdicts] == [("only_control", 120 * S)]


def test_r5_keyboard_interrupts_are_nobodys_failure() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    candidate.faults["register"] = raises(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        world.open("c1", Stage.SHADOW)


def test_r5_notes_of_a_monitor_are_passed_on() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.SHADOW)
    candidate.faults["wake"] = lambda real: [Note("hello"), *real()]
    world.run(15)
    assert (CANDIDATE, "hello") in world.journal.notes


def test_r4_a_new_session_gets_its_own_instance_and_a_returning_one_finds_it_again() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.SHADOW)
    world.open("c2", Stage.SHADOW)
    world.open("c3", Stage.SHADOW, session="s2")
    assert len(candidate.made) == 2
    world.router.session_ended("s1")
    world.close("c1")
    world.open("c4", Stage.SHADOW)  # it returns while c2 is still watched
    world.close("c2")
    world.close("c4")
    world.open("c5", Stage.SHADOW)
    assert len(candidate.made) == 2
    world.router.session_ended("s1")
    world.close("c5")
    world.open("c6", Stage.SHADOW)
    assert len(candidate.made) == 3


def test_r4_at_off_the_candidate_acts_where_no_control_can_be_had() -> None:
    control = FaultyType(LegacyGlobal())
    world = World(control)
    world.open("c1", Stage.OFF)
    control.faults["register"] = raises(ValueError("no"))
    control.faults["wake"] = raises(ValueError("no"))
    control.left = 2
    world.run(16)
    assert world.orphans() == []
    assert world.tracked["c1"].acting is CANDIDATE
    world.run(100)
    assert world.ports["c1"].endings


def test_r4_at_off_the_control_acts_again_once_it_can_be_had() -> None:
    """The candidate, which acted in its place, failed as well: nobody watched."""
    control, candidate = FaultyType(LegacyGlobal()), FaultyType()
    world = World(control, candidate)
    tracked = world.open("c1", Stage.OFF)
    for call in ("register", "wake"):
        control.faults[call] = raises(ValueError("no"))
    world.run(16)
    assert tracked.acting is CANDIDATE
    for call in ("register", "wake"):
        candidate.faults[call] = raises(ValueError("no"))
    world.run(32)
    assert world.watched_by("c1") == set()
    control.faults.clear()
    world.run(34)
    assert world.watched_by("c1") == {CONTROL}
    assert tracked.acting is CONTROL
    assert world.orphans() == []


def test_r4_where_the_control_cannot_take_over_the_candidate_gets_a_fresh_instance() -> None:
    control, candidate = FaultyType(LegacyGlobal()), FaultyType()
    world = World(control, candidate)
    world.open("c1", Stage.COMPLETE)
    control.faults["register"] = raises(ValueError("no"))
    candidate.faults["wake"] = raises(ValueError("no"))
    candidate.left = 1
    world.run(16)
    assert world.orphans() == []
    assert world.tracked["c1"].acting is CANDIDATE
    assert len(candidate.made) == 2
    assert [text for _, text in world.journal.notes if "no monitor" in text] == []
    world.run(100)
    assert world.ports["c1"].endings


class Measuring(PerSession):
    """A monitor type whose monitors answer `round_trip` with `answer`."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def create(self, settings: Any, scope_id: str, start: int) -> Any:
        return Measured(settings, scope_id, start, self.answer)


class Measured(PerSessionMonitor):
    __slots__ = ("_answer",)

    def __init__(self, settings: Any, session: str, start: int, answer: Any) -> None:
        super().__init__(settings, session, start)
        self._answer = answer

    def round_trip(self, connection_id: str) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    ("answer", "shown"),
    [(7, 7), (0, 0), (None, None), (1.5, None), (True, None), (ValueError("no"), None)],
)
def test_r5_a_round_trip_is_a_whole_number_or_nothing(answer: Any, shown: int | None) -> None:
    world = World(candidate=Measuring(answer))
    world.open("c1", Stage.SHADOW)
    world.open("c2", Stage.OFF)
    assert world.router.round_trip(world.tracked["c1"]) == shown
    # The control measures none, and is not blamed for that.
    assert world.router.round_trip(world.tracked["c2"]) is None
    assert [f for f in world.journal.failures if f.role is CONTROL] == []


@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.LIVE])
def test_r5_a_failing_instance_costs_only_the_connections_that_it_watches(stage: Stage) -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", stage, session="s1")
    world.open("c2", stage, session="s2")
    before = {id: world.tracked[id].candidate_instance for id in ("c1", "c2")}
    candidate.faults["wake"] = raises(ValueError("no"))
    candidate.left = 1
    world.run(15)  # each session's first heartbeat
    kept = [id for id in before if world.tracked[id].candidate_instance is before[id]]
    assert len(kept) == 1
    assert world.orphans() == []
    assert kept[0] not in {v.connection.id for v in world.journal.verdicts}
    # Two at first, and again that of the instance that failed.
    assert candidate.calls.count("register") == 3


def test_r5_a_closed_connection_about_which_the_shadow_fails_is_gone() -> None:
    """The candidate puts its decision off while bytes wait unread; at 60 s the control closes."""
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.SHADOW)
    world.ports["c1"].evidence = Confirmation(unread=True)
    world.run(50)
    candidate.faults["confirmed"] = raises(ValueError("no"))
    world.run(75)
    assert world.ports["c1"].endings == [(60 * S, "terminate")]
    assert [verdict.kind for verdict in world.journal.verdicts] == [VerdictKind.ERROR]
    assert "c1" not in world.router


@pytest.mark.parametrize("retired", [False, True])
def test_r4_a_sole_monitor_that_failed_about_a_connection_watches_it_again_at_once(
    retired: bool,
) -> None:
    broken = FaultyType(None if retired else LegacyGlobal())
    world = World(candidate=broken, retired=True) if retired else World(control=broken)
    world.open("c1", Stage.OFF)
    broken.faults["pong"] = raises(ValueError("no"))
    broken.left = 1
    world.pong("c1")
    assert len(world.journal.failures) == 1
    assert world.orphans() == []
    assert world.journal.notes == []


@pytest.mark.parametrize("retired", [False, True])
def test_r4_nobody_is_quarantined_whom_nobody_could_replace(retired: bool) -> None:
    """However often the control, or the sole monitor, fails in one instant."""
    broken = FaultyType(None if retired else LegacyGlobal())
    world = World(candidate=broken, retired=True) if retired else World(control=broken)
    for number in range(5):
        world.open(f"c{number}", Stage.OFF, session=f"s{number}")
    broken.faults["wake"] = broken.faults["pong"] = raises(ValueError("no"))
    for number in range(5):
        world.pong(f"c{number}")
    world.run(20)
    broken.faults.clear()
    sole = world.router.monitors(CANDIDATE if retired else CONTROL)
    assert sole is not None
    assert not sole.quarantined
    world.run(21)
    for number in range(5):
        world.message(f"c{number}")
    assert world.unwatched() == []


def test_r15_a_client_that_is_back_already_is_told_at_once() -> None:
    world = World()
    world.open("c1", Stage.LIVE)
    world.run(30)
    world.open("c2", Stage.LIVE)
    world.run(46)
    told = [(o.connection.id, o.result, o.at) for o in world.journal.outcomes]
    assert told == [("c1", Return.REPLACED, 45 * S)]

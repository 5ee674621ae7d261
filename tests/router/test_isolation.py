"""R5: whatever the candidate does, the control, the sockets and other connections are not affected."""

from collections.abc import Callable
from typing import Any

import pytest

from shim.model import Confirmation, Decision, Note, Pings, Stage, Terminate, VerdictKind
from shim_legacy_global import LegacyGlobal
from shim_per_session import PerSession, PerSessionMonitor
from tests.router.contract_breaches import BAD, Bad, instead, now_decision
from tests.router.faulty_monitor import CALLS, Fault, FaultyType, answers, raises
from tests.router.helpers import CANDIDATE, CONTROL, S, World


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


@pytest.mark.parametrize("bad", BAD, ids=str)
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


def test_r5_the_longest_ping_of_the_rfc_is_sent() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    tracked = world.open("c1", Stage.LIVE)
    longest = b"x" * 125

    def pings(real: Callable[[], Any]) -> Any:
        requests = list(real())
        tracked.candidate.ping = longest
        return requests

    candidate.faults["wake"] = pings
    world.run(16)
    assert [effect for _, effect in world.ports["c1"].effects] == [longest]
    assert world.journal.failures == []


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


def test_r5_a_candidate_that_cannot_be_made_does_not_keep_the_router_from_starting() -> None:
    candidate = FaultyType(LegacyGlobal())
    candidate.faults["create"] = raises(ValueError("no"))
    world = World(candidate=candidate)
    assert [(one.role, one.call, one.at) for one in world.journal.failures] == [
        (CANDIDATE, "create", 0)
    ]
    world.open("c1", Stage.SHADOW)
    world.run(60)
    assert world.ports["c1"].endings == [(60 * S, "terminate")]


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
    world.close("c6")
    world.router.session_ended("s1")
    world.open("c7", Stage.SHADOW)
    assert len(candidate.made) == 4


def test_r2_an_instance_that_decides_on_its_last_connection_goes_with_its_session() -> None:
    world = World()
    world.open("c1", Stage.COMPLETE)
    world.router.session_ended("s1")
    monitors = world.router.monitors(CANDIDATE)
    assert monitors is not None
    assert len(monitors.instances()) == 1
    world.run(46)
    assert world.ports["c1"].endings
    assert monitors.instances() == []


def test_r2_an_instance_that_fails_in_its_last_call_goes_with_its_session() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    candidate.faults["unregister"] = raises(ValueError("no"))
    for number in range(3):
        world.open("c1", Stage.SHADOW)
        world.router.session_ended("s1")
        world.close("c1")
        assert len(candidate.made) == number + 1
    monitors = world.router.monitors(CANDIDATE)
    assert monitors is not None
    assert monitors.instances() == []


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
    tracked = world.tracked["c2"]
    assert world.router.round_trip(tracked) is None
    control, instance = world.router.monitors(CONTROL), tracked.control_instance
    assert control is not None
    assert instance is not None
    assert control.round_trip(instance, tracked.connection) is None
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


def test_r5_an_instance_decides_about_the_connections_of_its_own_session_alone() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.SHADOW, session="s1")
    world.open("c2", Stage.SHADOW, session="s2")
    world.now = 20 * S
    decision = Decision("c1", world.now, world.now, 0, (Terminate(),))
    candidate.faults["wake"] = instead(lambda: [decision])
    world.router.step_candidate(world.now)
    (failure,) = world.journal.failures
    assert failure.reason.startswith("answered about a connection it does not watch")
    assert world.journal.decisions == [(CANDIDATE, decision, False)]


@pytest.mark.parametrize("call", ["confirmed", "wake"])
def test_r5_a_closed_connection_about_which_the_shadow_fails_is_gone(call: str) -> None:
    """The candidate puts its decision off while bytes wait unread; at 60 s the control closes."""
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.SHADOW)
    world.ports["c1"].evidence = Confirmation(unread=True)
    world.run(50)
    candidate.faults[call] = raises(ValueError("no"))
    world.run(75)
    assert world.ports["c1"].endings == [(60 * S, "terminate")]
    assert [verdict.kind for verdict in world.journal.verdicts] == [VerdictKind.ERROR]
    assert "c1" not in world.router

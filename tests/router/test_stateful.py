"""R4, R5, R6, R7 under everything at once: a machine that opens, speaks, waits, moves and breaks."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shim.model import Confirmation, Decision, Role, Stage, Time, Verdict, VerdictKind
from shim.router import Guard, Tracked
from shim_legacy_global import LegacyGlobal
from tests.router.faulty_monitor import FaultyType, answers, raises
from tests.router.helpers import CANDIDATE, CONTROL, Limits, S, World

STAGES = st.sampled_from(Stage)
WHO = st.integers(0, 5)
STEPS = st.one_of(
    st.sampled_from([0, 0.000001, 1, 5, 14, 15, 30, 44, 45, 45.000001, 46, 59, 60, 61, 120, 121]),
    st.integers(0, 20),
)
FAULTS = st.sampled_from(
    [
        *((call, raises(ValueError("no"))) for call in ("register", "pong", "wake", "confirmed")),
        ("unregister", raises(ValueError("no"))),
        ("paused", raises(SystemExit(1))),
        ("register", answers(None)),
        ("wake", answers(None)),
        ("wake", answers([42])),
        ("confirmed", answers(42)),
        ("next_wake", raises(ValueError("no"))),
        ("next_wake", answers(None)),
        ("next_wake", answers("soon")),
        ("next_wake", answers(0)),  # a time that has passed
    ]
)


class CountingGuard(Guard):
    """Holds nothing, and counts the connections that the candidate acts for (R6b)."""

    def __init__(self, connections: Callable[[], Iterable[Tracked]]) -> None:
        super().__init__(Limits(share=1.0, count=1_000))
        self._connections = connections

    def holds(self, decision: Decision, now: Time, acting_for: int) -> bool:
        assert acting_for == sum(
            tracked.acting is CANDIDATE and tracked.closed_by is None
            for tracked in self._connections()
        )
        return super().holds(decision, now, acting_for)


class Routed(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.types = {CONTROL: FaultyType(LegacyGlobal()), CANDIDATE: FaultyType()}
        self.world = World(
            self.types[CONTROL],
            self.types[CANDIDATE],
            guard=CountingGuard(lambda: self.world.router.connections()),
        )
        self.opened = 0
        self.effects_seen: dict[str, int] = {}
        self.verdicts_seen = 0
        self.life: dict[str, int] = {}
        """Which silence a connection is in."""
        self.judged: set[tuple[str, int]] = set()

    # -- What happens ---------------------------------------------------------------------------

    @rule(stage=STAGES, who=WHO)
    def open(self, stage: Stage, who: int) -> None:
        self.opened += 1
        id = f"c{self.opened}"
        self.life[id] = 0
        package = None if who % 3 == 0 else "com.example.app1"
        user, session = f"u{who % 2}", f"s{who % 2}"
        self.world.open(id, stage, user=user, session=session, package=package)

    def pick(self, who: int) -> str | None:
        ids = [t.connection.id for t in self.world.router.connections()]
        return ids[who % len(ids)] if ids else None

    def lives(self, id: str) -> None:
        """A sign of life is coming: what it makes known is about the silence that it ends."""
        self.check_verdicts()
        self.world.message(id)
        # An error here is one of the registration that follows, in the new silence.
        errors = [v for v in self.unchecked() if v.kind is VerdictKind.ERROR]
        assert len(errors) <= 1
        self.check_verdicts(skip=errors)
        if self.world.tracked[id].closed_by is None:
            self.life[id] += 1
        self.judged.update((id, self.life[id]) for _ in errors)

    @rule(who=WHO)
    def message(self, who: int) -> None:
        if (id := self.pick(who)) is not None:
            self.lives(id)

    @rule(who=WHO)
    def pong(self, who: int) -> None:
        if (id := self.pick(who)) is not None:
            self.lives(id)
            self.world.router.pong(self.world.tracked[id], b"00000000", self.world.now)

    @rule(who=WHO)
    def data(self, who: int) -> None:
        if (id := self.pick(who)) is not None:
            self.world.data(id)

    @rule(who=WHO, age=st.integers(0, 50), unread=st.booleans())
    def kernel(self, who: int, age: int, unread: bool) -> None:
        if (id := self.pick(who)) is not None:
            self.world.ports[id].evidence = Confirmation(self.world.now - age * S, unread)

    @rule(who=WHO)
    def close(self, who: int) -> None:
        if (id := self.pick(who)) is not None:
            self.world.close(id)

    @rule(who=WHO, stage=STAGES)
    def set_stage(self, who: int, stage: Stage) -> None:
        if (id := self.pick(who)) is not None:
            self.world.stage(id, stage)

    @rule(session=st.sampled_from(["s0", "s1"]))
    def session_ended(self, session: str) -> None:
        self.world.router.session_ended(session)

    @rule(step=STEPS)
    def time_passes(self, step: float) -> None:
        self.world.run((self.world.now + round(step * S)) / S)

    @rule(step=STEPS, late=st.sampled_from([1, 6, 16, 61, 200]))
    def pause(self, step: float, late: int) -> None:
        self.world.pause(late)

    @rule()
    def to_the_next_wake(self) -> None:
        if (due := self.world.router.next_wake) is not None:
            self.world.run(max(due, self.world.now) / S)

    @rule(role=st.sampled_from(Role), fault=FAULTS, times=st.integers(1, 4))
    def something_breaks(self, role: Role, fault: tuple[str, Any], times: int) -> None:
        # One of them at a time: where neither works there is nobody to watch.
        for type_ in self.types.values():
            type_.faults.clear()
        candidate = self.world.router.monitors(CANDIDATE)
        assert candidate is not None
        if role is CONTROL and candidate.quarantined:
            return
        self.types[role].faults[fault[0]] = fault[1]
        self.types[role].left = times

    @precondition(lambda self: any(type_.faults for type_ in self.types.values()))
    @rule()
    def it_is_mended(self) -> None:
        for type_ in self.types.values():
            type_.faults.clear()

    # -- What holds -----------------------------------------------------------------------------

    @invariant()
    def r4_no_orphan(self) -> None:
        if self.world.orphans() or self.world.unwatched():
            # Both monitors failed in this very instant: they are asked again within a second.
            now = self.world.now
            failed = {failure.role for failure in self.world.journal.failures if failure.at == now}
            assert failed == set(Role)
            due = self.world.router.next_wake
            assert due is not None
            assert due <= now + S

    @invariant()
    def r6_shadows_are_silent(self) -> None:
        for id, port in self.world.ports.items():
            tracked = self.world.tracked[id]
            acted = [
                (role, d)
                for role, d, acts in self.world.journal.decisions
                if acts and d.connection_id == id
            ]
            assert len(acted) <= 1
            assert bool(port.endings) == bool(acted) == (tracked.closed_by is not None)
            if acted:
                role, decision = acted[0]
                assert tracked.closed_by is role
                assert len(port.endings) == len(decision.effects)
                assert {at for at, _ in port.endings} == {decision.at}
                assert port.effects[-len(port.endings) :] == port.endings  # nothing follows

    @invariant()
    def r7_one_verdict_at_most_for_a_silence(self) -> None:
        self.check_verdicts()

    def unchecked(self) -> list[Verdict]:
        return self.world.journal.verdicts[self.verdicts_seen :]

    def check_verdicts(self, skip: Sequence[Verdict] = ()) -> None:
        for verdict in self.unchecked():
            if verdict in skip:
                continue
            id = verdict.connection.id
            key = (id, self.life[id])
            assert key not in self.judged, f"two verdicts: {verdict}"
            self.judged.add(key)
            assert verdict.at <= self.world.now
        self.verdicts_seen = len(self.world.journal.verdicts)

    @invariant()
    def r5_the_brake_and_the_stages(self) -> None:
        router = self.world.router
        monitors = router.monitors(CANDIDATE)
        assert monitors is not None
        for tracked in router.connections():
            if tracked.closed_by is None:
                assert tracked.acting is not None
                if router.brake_reason is not None or monitors.quarantined:
                    assert tracked.stage <= Stage.SHADOW
            if monitors.quarantined:
                assert tracked.candidate_instance is None

    def teardown(self) -> None:
        for type_ in self.types.values():
            type_.faults.clear()
        self.world.run(self.world.now / S + 1000)
        # Left alone, every connection times out: nobody was lost on the way.
        assert list(self.world.router.connections()) == []
        self.world.router.shutdown(self.world.now)
        self.check_verdicts()


Routed.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestR4R5R6R7Stateful = Routed.TestCase


def check(machine: Routed) -> None:
    for name in dir(type(machine)):
        if name.startswith(("r4_", "r5_", "r6_", "r7_")):
            getattr(machine, name)()


def test_a_candidate_that_fails_for_good_in_a_move_leaves_the_user_at_shadow() -> None:
    """The machine found this once: the third strike came while the connection was on its way to live."""
    machine = Routed()
    machine.open(Stage.SHADOW, 0)
    machine.open(Stage.OFF, 0)
    machine.something_breaks(CANDIDATE, ("wake", answers(None)), 1)
    machine.world.run(50)
    machine.something_breaks(CANDIDATE, ("next_wake", answers("soon")), 2)
    machine.set_stage(0, Stage.LIVE)
    check(machine)
    machine.open(Stage.LIVE, 1)
    check(machine)
    machine.teardown()


def test_a_closed_connection_has_one_error_verdict_when_a_failure_ends_in_quarantine() -> None:
    """The machine found this once: an instance's third strike replaced its connections twice."""
    machine = Routed()
    machine.something_breaks(CANDIDATE, ("next_wake", answers("soon")), 2)
    machine.open(Stage.SHADOW, 0)
    machine.it_is_mended()
    machine.world.run(40)
    machine.something_breaks(CANDIDATE, ("wake", answers(None)), 1)
    machine.pause(0, 16)
    check(machine)
    machine.teardown()

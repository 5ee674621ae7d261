"""A router in virtual time with recording ports and observer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from shim.compare.comparator import Comparator
from shim.compare.outcomes import Outcomes
from shim.model import (
    BY_CHANCE,
    SECOND,
    Close,
    Confirmation,
    Connection,
    Decision,
    Duration,
    Kind,
    LateDecision,
    MonitorFailure,
    Monitors,
    MonitorType,
    Outcome,
    Placement,
    Role,
    Scope,
    Stage,
    Time,
    Verdict,
)
from shim.router import (
    BrakeChanged,
    Decided,
    Event,
    Guard,
    GuardChanged,
    Noted,
    Observer,
    ProofOfLife,
    Router,
    StageChanged,
    Tracked,
    handles,
)
from shim.runtime.fanout import Fanout
from shim_legacy_global import LegacyGlobal, LegacySettings
from shim_per_session import PerSession, PerSessionSettings

E = TypeVar("E", bound=Event)
S = SECOND
CONTROL, CANDIDATE = Role.CONTROL, Role.CANDIDATE


@dataclass(frozen=True)
class Limits:
    """Of a guard (R6b)."""

    window: Duration = 30 * S
    share: float = 0.1
    count: int = 20
    hold: Duration = 30 * S


class RecordingPort:
    """What reached the socket, as (time, effect)."""

    def __init__(self, clock: Callable[[], Time]) -> None:
        self._clock = clock
        self.effects: list[tuple[Time, Any]] = []
        self.evidence = Confirmation()
        self.asked = 0

    def ping(self, payload: bytes) -> None:
        self.effects.append((self._clock(), payload))

    def close(self, close: Close) -> None:
        self.effects.append((self._clock(), close))

    def terminate(self) -> None:
        self.effects.append((self._clock(), "terminate"))

    def forget(self) -> None:
        self.effects.append((self._clock(), "forget"))

    def confirm(self) -> Confirmation:
        self.asked += 1
        return self.evidence

    @property
    def endings(self) -> list[tuple[Time, Any]]:
        """The effects that are not pings."""
        return [(at, effect) for at, effect in self.effects if not isinstance(effect, bytes)]


def listen_to(kind: type[E]) -> tuple[Observer, list[E]]:
    """An observer of the events of one type, and what it is told."""
    told: list[E] = []

    class Listener(Observer):
        @handles(kind)
        def _heard(self, event: E) -> None:
            told.append(event)

    return Listener(), told


class Journal(Observer):
    """Everything an observer is told."""

    def __init__(self) -> None:
        self.decisions: list[tuple[Role, Decision, bool]] = []
        self.verdicts: list[Verdict] = []
        self.lates: list[LateDecision] = []
        self.outcomes: list[Outcome] = []
        self.proofs: list[tuple[str, Role, Time]] = []
        self.guard_events: list[int | None] = []
        self.failures: list[MonitorFailure] = []
        self.stages: list[tuple[str, Stage, Stage, Time]] = []
        self.brakes: list[tuple[bool, str, Time]] = []
        self.guards: list[tuple[bool, int, Time]] = []
        self.notes: list[tuple[Role, str]] = []

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        self.decisions.append((decided.role, decided.decision, decided.acted))

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)

    @handles(LateDecision)
    def _late(self, late: LateDecision) -> None:
        self.lates.append(late)

    @handles(Outcome)
    def _outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    @handles(ProofOfLife)
    def _proof_of_life(self, proof: ProofOfLife) -> None:
        self.proofs.append((proof.connection.id, proof.role, proof.at))
        self.guard_events.append(proof.guard_event)

    @handles(MonitorFailure)
    def _failure(self, failure: MonitorFailure) -> None:
        self.failures.append(failure)

    @handles(StageChanged)
    def _stage_changed(self, change: StageChanged) -> None:
        self.stages.append((change.connection.id, change.before, change.after, change.at))

    @handles(BrakeChanged)
    def _brake(self, brake: BrakeChanged) -> None:
        self.brakes.append((brake.engaged, brake.reason, brake.at))

    @handles(GuardChanged)
    def _guard(self, guard: GuardChanged) -> None:
        self.guards.append((guard.holding, guard.acting_for, guard.at))

    @handles(Noted)
    def _note(self, note: Noted) -> None:
        self.notes.append((note.role, note.text))

    def decided_by(self, role: Role) -> list[Decision]:
        return [decision for who, decision, _ in self.decisions if who is role]


class Prompt(Observer):
    """Moves everyone as soon as the brake engages; a running shim does it in slices (R21).

    No fan-out: what goes wrong in the world is not to be logged, but to fail the test.
    """

    def __init__(self, world: "World", observer: Observer) -> None:
        self._world = world
        self._observer = observer

    def on(self, event: Event) -> None:
        self._observer.on(event)
        if isinstance(event, BrakeChanged) and event.engaged:
            self._world.reassess()


class World:
    """A router and its surroundings; time passes by `run`."""

    def __init__(
        self,
        control: MonitorType | None = None,
        candidate: MonitorType | None = None,
        *,
        window: Duration = 60 * S,
        retired: bool = False,
        meter: Any = None,
        guard: Guard | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.now: Time = 0
        self.journal = Journal()
        control = control or LegacyGlobal()
        candidate = candidate or PerSession()
        self.observers = Fanout([self.journal, *observers])
        self.router = Router(
            Monitors(
                None if retired else (control, self._settings(control)),
                (candidate, self._settings(candidate)),
            ),
            comparator=Comparator(tolerance=16 * S, window=window),
            outcomes=Outcomes(120 * S),
            observer=Prompt(self, self.observers),
            start=0,
            meter=meter,
            guard=guard,
        )
        self.ports: dict[str, RecordingPort] = {}
        self.tracked: dict[str, Tracked] = {}
        self.touch: dict[str, Callable[[], None]] = {}

    @staticmethod
    def _settings(type: MonitorType) -> Any:
        return LegacySettings() if type.scope is Scope.PROCESS else PerSessionSettings()

    def open(
        self,
        id: str,
        stage: Stage,
        *,
        user: str = "u1",
        session: str = "s1",
        package: str | None = "com.example.app1",
        act: bool = True,
        placement: Placement = BY_CHANCE,
    ) -> Tracked:
        kind = Kind.APP if package else Kind.GLASSES
        port = self.ports[id] = RecordingPort(lambda: self.now)
        connection = Connection(id, kind, user, session, package)
        tracked = self.router.open(connection, port, self.now, stage, act=act, placement=placement)
        self.tracked[id] = tracked
        self.touch[id] = partial(self.router.make_touch(lambda: self.now), tracked)
        return tracked

    def message(self, id: str) -> None:
        self.touch[id]()

    def pong(self, id: str, payload: bytes = b"") -> None:
        self.touch[id]()
        self.router.pong(self.tracked[id], payload, self.now)

    def data(self, id: str) -> None:
        self.router.data(self.tracked[id], self.now)

    def close(self, id: str) -> None:
        self.router.close(self.tracked[id], self.now)

    def stage(self, id: str, stage: Stage) -> None:
        self.router.set_stage(self.tracked[id], stage, self.now)

    def reassess(self) -> None:
        """Let the brake reach everyone."""
        for tracked in list(self.router.connections()):
            self.router.set_stage(tracked, tracked.stage, self.now)

    def run(self, until: float) -> None:
        """Let time pass, in seconds, and do all that is due, at `until` included."""
        limit = round(until * S)
        steps = 0
        while (due := self.router.next_wake) is not None and due <= limit:
            self.now = max(self.now, due)
            self.router.step(self.now)
            steps += 1
            assert steps < 50_000, "it never rests"
        self.now = limit

    def run_before(self, until: float) -> None:
        """The same, without what is due at `until`: events come first."""
        self.run(until - 0.000001)
        self.now = round(until * S)

    def pause(self, duration: float, meanwhile: Callable[[], None] | None = None) -> None:
        """The process does not run for a while; `meanwhile` is what arrives (R3)."""
        start, self.now = self.now, self.now + round(duration * S)
        self.router.paused(start, self.now)
        self.router.step_control(self.now)
        if meanwhile is not None:
            meanwhile()
        self.router.step_candidate(self.now)

    def watched_by(self, id: str) -> set[Role]:
        return {role for role in Role if self.tracked[id].instance(role) is not None}

    def orphans(self) -> list[str]:
        """Open connections that no live instance of their acting monitor watches (R4)."""
        alone = []
        for tracked in self.router.connections():
            if tracked.closed_by is not None:
                continue
            role = tracked.acting
            assert role is not None
            monitors = self.router.monitors(role)
            instance = tracked.instance(role)
            if (
                monitors is None
                or monitors.quarantined
                or instance is None
                or instance.wake_at is None
                or not any(instance is other for other in monitors.instances())
            ):
                alone.append(tracked.connection.id)
        return alone

    def unwatched(self) -> list[str]:
        """Monitors that believe they watch, but are no live instance of their role's."""
        dead = []
        for tracked in self.router.connections():
            for role in Role:
                instance, monitors = tracked.instance(role), self.router.monitors(role)
                if (
                    instance is not None
                    and monitors is not None
                    and instance not in monitors.instances()
                ):
                    dead.append(f"{tracked.connection.id} by {role}")
        return dead

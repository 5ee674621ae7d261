"""Everything that a whole shim has around its coordinator, whatever the WebSocket library.

`Assembly(settings, secrets, plugins)` reads what may be refused, and opens nothing: it may be made where a
module is imported. `async with assembly.running(coordinator)` opens the ledger and the way to the collector,
follows the flags file, and closes all of it at the end.

Each event reaches its observers in this order: the log, the counters, the traces (which set the trace id),
the ledger and the metrics (which keep or show that id), the observers of the service, the plugins, the brake.

Rules: docs/design.md#r16, docs/design.md#r22, docs/design.md#r24, docs/design.md#r25, docs/design.md#r27.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import pluggy

from shim.capture.recorder import Limits, Recorder, check_folder, settings_digest
from shim.flags.deciding import deciding_text
from shim.flags.evaluation import Evaluation
from shim.flags.targeting import Targeting, everyone_at
from shim.gate.answer import GateAnswer
from shim.gate.question import QuestionTimes
from shim.gate.trial import TrialIdentity
from shim.ledger.brake_record import read_brake_record
from shim.ledger.gate_evidence import NO_FLAGS, GateEvidence, flags_identity, gate_evidence
from shim.ledger.ledger_observer import LedgerObserver
from shim.ledger.process_record import FleetPlace, ProcessState
from shim.ledger.protocols import LedgerReader, LedgerWriter
from shim.ledger.rows import BrakeRow, ClockJumpRow, RunRow, Wall
from shim.ledger.run_row import begin_run, shared_settings_digest, wall_clock
from shim.ledger.stores import open_ledger, read_ledger
from shim.model import Kind, Stage
from shim.model.time import CLOCK_UNSET_BEFORE, describe_unset_clock
from shim.model.visible_text import describe_free_text, describe_id
from shim.rollout.client_hints import judge_with_hints, timeout_warnings
from shim.rollout.current_flags import CurrentFlags
from shim.router import ClockJumped, Observer
from shim.runtime.automatic_brake import AutomaticBrake
from shim.runtime.coordinator import Coordinator
from shim.runtime.driver import NotStartedError, clock
from shim.runtime.flags_following import FlagsFollowing
from shim.runtime.fleet_member import FleetMember, SharedBrake, handed_over_until
from shim.runtime.hook_observer import HookObserver
from shim.runtime.lifecycle_log import LifecycleLog
from shim.runtime.machine_start import find_jump_before, machine_start, time_of_record
from shim.runtime.metric_readings import metric_readings
from shim.runtime.pseudonyms import Pseudonyms
from shim.runtime.secrets import Secrets
from shim.runtime.tally import Tally
from shim.runtime.time_of_day import TimeOfDay
from shim.settings.settings import Settings, load_flags
from shim.telemetry import Metrics, TraceObserver, Tracing, tracing

log = logging.getLogger(__name__)

Evaluate: TypeAlias = Callable[[str], Evaluation]

_LEDGER_CLOSE = 5.0
"""Seconds: the longest wait at the end until the last rows are on the disk."""


@dataclass(frozen=True, slots=True)
class Records:
    """The parts that are open while a shim runs."""

    ledger: LedgerWriter
    metrics: Metrics
    tracing: Tracing | None
    """None: no collector is named, neither in the settings nor in the environment."""


class Assembly:
    """The parts of a whole shim, without the coordinator, which the WebSocket library makes.

    Attributes:
        settings: all settings.
        secrets: the tokens of the console, and the key of the pseudonyms.
        tally: plain counts since the start.
        flags: the flags file in force; None if no file is followed.
        evaluate: a user's stage by the flags; the brake is not considered.
        reader: reads the ledger, for a fleet the store, from any thread.
        name_in_log: how a user is named in the log (`privacy.logs`).
    """

    def __init__(
        self,
        settings: Settings,
        secrets: Secrets,
        plugins: pluggy.PluginManager,
        *,
        observers: Sequence[Observer] = (),
        capture: Path | None = None,
        targeting: Targeting | None = None,
        promote: bool = False,
    ) -> None:
        """Read the flags file, and check what can be checked without opening anything.

        `capture` names the capture files instead of `capture.file`; `targeting` is in force instead of the
        flags file; with `promote` the shim takes the steps of the plan, whatever `promotion.auto` says.
        Raises InputError.
        """
        self.settings = settings
        self.secrets = secrets
        self.tally = Tally()
        self._pseudonyms = Pseudonyms(secrets.hash_key)
        self._log_names_users = settings.privacy.logs == "raw"
        self.name_in_log: Callable[[str], str] = (
            describe_id if self._log_names_users else self._pseudonyms
        )
        self._capture_file = _capture_file(settings, capture)
        self.flags = _read_flags(settings) if targeting is None else None
        self.evaluate = _choose_evaluate(settings, self.flags, targeting)
        self.reader: LedgerReader = read_ledger(settings.ledger)
        self._plugins = plugins
        self._observers = tuple(observers)
        self._promotes = promote or settings.promotion.auto
        self._records: Records | None = None
        self._wall: TimeOfDay | None = None
        self._gate: GateEvidence | None = None
        self._gate_lock, self._judged_at = Lock(), 0
        self._fleet: FleetMember | None = None

    @property
    def first_observers(self) -> Sequence[Observer]:
        """The first observers: the coordinator begins with them."""
        return LifecycleLog(self.name_in_log, names_users=self._log_names_users), self.tally

    def wall(self) -> Wall:
        """The run's time of day; before the start the wall clock's."""
        return wall_clock() if self._wall is None else self._wall()

    def time_of(self, ledger: LedgerReader) -> Wall:
        """The time by which the rows of this ledger go; asks a fleet's store. Raises InputError."""
        return time_of_record(ledger, self.wall())

    @property
    def fleet_brake(self) -> SharedBrake | None:
        """The brake of the fleet, while the shim runs in a fleet; None: there is no fleet."""
        return None if self._fleet is None else self._fleet.brake

    @property
    def records(self) -> Records:
        """The open parts. Raises NotStartedError before the start; after the end they stay readable."""
        if self._records is None:
            raise NotStartedError
        return self._records

    def judge_gate(self, ledger: LedgerReader, at: Wall | None = None) -> GateAnswer:
        """May the control be retired (R16), now or as of an earlier time?

        To be called in a thread: it reads what is new in the ledger, and all of an earlier trial.
        """
        if at is not None:
            # Nobody knows the future, and days until then need not be looked through.
            then = min(at, self.time_of(ledger))
            return judge_with_hints(gate_evidence(ledger, self.settings, then), self.settings)
        with self._gate_lock:
            now = self.time_of(ledger)
            if self._gate is None or now < self._judged_at:  # the store's clock was set back
                self._gate = GateEvidence(ledger, self.settings)
            evidence, self._gate, self._judged_at = self._gate, None, now
            answer = judge_with_hints(evidence.read(now), self.settings)
            # A reading that failed half-way is not gone on with: it would count twice what it has read.
            self._gate = evidence
            return answer

    @asynccontextmanager
    async def running(self, coordinator: Coordinator[Any]) -> AsyncIterator[None]:
        """Run the coordinator with everything around it, as long as the context lasts.

        Raises InputError for a ledger or a collector's address that cannot be used, RuntimeError for a
        second start. What was opened is closed also when the start fails half-way.
        """
        if self._records is not None:
            raise RuntimeError("the shim was started before: open another one")
        async with AsyncExitStack() as stack:
            # Its end waits for the disk and the collector, which the event loop must not.
            opened = ExitStack()
            opened.callback(self.reader.close)
            stack.push_async_callback(asyncio.to_thread, opened.close)
            traced = opened.enter_context(tracing(self.settings.telemetry))
            # The ledger comes last: a start that is refused leaves no file behind.
            run = begin_run(self.settings, coordinator.wall(), *machine_start())
            ledger = opened.enter_context(
                _open_ledger(self.settings, run, coordinator.wall, self._place(coordinator))
            )
            readings = metric_readings(coordinator, ledger, traced, lambda: self._fleet)
            metrics = Metrics(readings, settings=shared_settings_digest(self.settings))
            self._records = Records(ledger, metrics, traced)
            self._wall = coordinator.wall
            self._observe(coordinator, self._records, run)
            left = self._brake_as_left(ledger)
            coordinator.start(
                brake=None if left is None else left.reason,
                on_timer=metrics.timer_late,
                recorder=self._recorder(coordinator),
            )
            stack.callback(coordinator.stop)
            self._tell_jump_before(coordinator)
            for warning in timeout_warnings(self.settings):
                log.warning("%s", warning)
            if self.flags is not None:
                following = FlagsFollowing(
                    self.settings, self.flags, self.reader, names_users=self._log_names_users
                )
                await stack.enter_async_context(
                    following.running(coordinator, promotes=self._promotes)
                )
            await stack.enter_async_context(self._in_fleet(coordinator, ledger, run, left))
            yield

    def _tell_jump_before(self, coordinator: Coordinator[Any]) -> None:
        """Tell a jump of the wall clock that happened while no shim ran, as far as the ledger knows of it."""
        own = read_ledger(self.settings.own_ledger)
        run, *earlier = own.rows(RunRow, limit=2)
        for before in earlier:
            jumps = (jump for jump in own.rows(ClockJumpRow) if jump.run == before.id)
            if (by := find_jump_before(run, before, jumps)) is not None:
                coordinator.observer.on(ClockJumped(coordinator.started, by, 0, before_start=True))

    def _observe(self, coordinator: Coordinator[Any], records: Records, run: RunRow) -> None:
        """Connect the coordinator's events with all observers."""
        settings = self.settings
        hashed = settings.privacy.telemetry == "hashed"
        traces = TraceObserver(
            clock,
            self._pseudonyms if hashed else str,
            provider=None if records.tracing is None else records.tracing.provider,
            names_users=not hashed,
        )
        for observer in (
            traces,
            LedgerObserver(records.ledger, coordinator.wall.at),
            records.metrics,
            *self._observers,
            HookObserver(self._plugins),
        ):
            coordinator.observer.add(observer)
        if settings.monitors.control is not None:
            # Without a control the brake has no monitor to go back to.
            coordinator.observer.add(self._automatic_brake(coordinator, run))

    def _place(self, coordinator: Coordinator[Any]) -> FleetPlace:
        """What this process has of its own in a fleet (R27)."""
        settings, census = shared_settings_digest(self.settings), coordinator.census

        def describe() -> ProcessState:
            return ProcessState(
                settings=settings,
                flags=None if self.flags is None else self.flags.digest,
                connections={str(stage): census.open(stage=stage) for stage in Stage},
                kinds={str(kind): census.open(kind) for kind in Kind},
                brake=coordinator.router.brake_reason is not None,
            )

        settled = handed_over_until(coordinator.driver, coordinator.wall)
        fleet = self.settings.fleet or self.settings.telemetry.service_name
        return FleetPlace(
            self.settings.outbox, self.settings.process, fleet, describe, handed_over_until=settled
        )

    def _recorder(self, coordinator: Coordinator[Any]) -> Recorder | None:
        """The recorder of the coordinator's connections, if the settings name a file."""
        if self._capture_file is None:
            return None
        capture, control = self.settings.capture, self.settings.monitors.control
        return Recorder(
            self._capture_file,
            Limits(capture.max_size, capture.max_age, capture.buffer),
            pseudonym=self._pseudonyms,
            settings=settings_digest(self.settings),
            start=coordinator.started,
            interval=getattr(control.settings, "heartbeat_interval", None) if control else None,
            clock=clock,
            wall=coordinator.wall.at,
            call_at=coordinator.driver.call_at,
        )

    def _automatic_brake(self, coordinator: Coordinator[Any], run: RunRow) -> AutomaticBrake:
        """The brake's statistics go on from the ledger (R22)."""
        gate, wall = self.settings.gate, coordinator.wall
        times = QuestionTimes(wall(), gate.period, gate.unit, gate.grain)
        brake = AutomaticBrake(self.settings.brake, times, coordinator.engage_brake, wall.at)
        window = self.settings.brake.window
        # A store may be away: each process goes on with its own record.
        own = read_ledger(self.settings.own_ledger)
        brake.resume(read_brake_record(own, self._trial_identity(run), wall(), window))
        return brake

    def _trial_identity(self, run: RunRow) -> TrialIdentity:
        """What decides about trials in this process now (R16)."""
        flags = NO_FLAGS
        if self.flags is not None:
            flags = flags_identity(deciding_text(self.flags.targeting), self.flags.digest)
        assert run.monitors is not None
        assert run.comparison is not None
        return TrialIdentity(run.monitors, run.comparison, flags)

    def _brake_as_left(self, ledger: LedgerWriter) -> BrakeRow | None:
        """The order of a brake that is still engaged; None: the brake is released."""
        last = ledger.brake
        if self.settings.monitors.control is None or last is None or not last.engaged:
            return None
        log.critical("the brake is still engaged: %s", describe_free_text(last.reason))
        return last

    @asynccontextmanager
    async def _in_fleet(
        self,
        coordinator: Coordinator[Any],
        ledger: LedgerWriter,
        run: RunRow,
        left: BrakeRow | None,
    ) -> AsyncIterator[None]:
        """Take part in the fleet (R24, R25), if the ledger is a fleet's."""
        returns = coordinator.fleet_returns
        if ledger.process is None or returns is None:
            yield
            return
        # PostgreSQL's library is needed by fleets alone.
        from shim.fleet.membership import fleet_membership
        from shim.fleet.opening_teller import OpeningTeller

        teller = OpeningTeller(
            returns,
            run.uuid,
            post=asyncio.get_running_loop().call_soon_threadsafe,
            clock=clock,
            to_wall=coordinator.wall.at,
            store=lambda: ledger.status().store,
            tell=coordinator.observer.on,
        )
        async with fleet_membership(
            self.settings,
            coordinator,
            self.reader,
            teller,
            process=ledger.process,
            to_wall=coordinator.wall.at,
            identity=lambda: self._trial_identity(run),
            left=left,
        ) as membership:
            if membership.brake is not None:
                coordinator.observer.add(membership.brake)
            self._fleet = membership
            yield


def _read_flags(settings: Settings) -> CurrentFlags | None:
    if settings.monitors.control is None:
        return None
    loaded = load_flags(settings)
    return None if loaded is None else CurrentFlags(loaded, clock())


def _choose_evaluate(
    settings: Settings, flags: CurrentFlags | None, targeting: Targeting | None
) -> Evaluate:
    """The function that gives stages. Without flags: `complete` if the control is retired, else `shadow`."""
    if targeting is not None:
        return targeting.evaluate
    if flags is not None:
        return flags.evaluate
    retired = settings.monitors.control is None
    return everyone_at(Stage.COMPLETE if retired else Stage.SHADOW).evaluate


def _capture_file(settings: Settings, capture: Path | None) -> Path | None:
    """The path that captures are named after, if any. Raises InputError if its folder is missing."""
    if capture is not None:
        check_folder(capture)
        return capture
    if settings.capture.file is None:
        return None
    file = Path(settings.capture.file)
    with settings.origin.of("capture", "file"):
        check_folder(file)
    return file


@contextmanager
def _open_ledger(
    settings: Settings, run: RunRow, wall: TimeOfDay, place: FleetPlace
) -> Iterator[LedgerWriter]:
    if wall() < CLOCK_UNSET_BEFORE:
        log.warning("%s", describe_unset_clock(wall()))
    with settings.origin.of("ledger"):
        ledger = open_ledger(settings.ledger, run, keep=settings.retention, wall=wall, place=place)
    try:
        yield ledger
    finally:
        if not ledger.close(_LEDGER_CLOSE):
            log.error("the ledger's last rows could not be written in time")

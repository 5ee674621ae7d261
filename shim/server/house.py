"""The house: everything that a running shim consists of, put together from its settings.

Whoever is told of a verdict is told in this order: the log, the counters, the traces (which give it its
id), then whoever keeps or shows that id, and the plugins last.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from aiohttp import web

from shim.aio import Shim
from shim.capture import Limits, Recorder, check_folder, settings_digest
from shim.flags import Evaluation, Targeting, everyone_at
from shim.ledger import (
    LedgerObserver,
    LedgerReader,
    LedgerWriter,
    describe,
    open_ledger,
    read_ledger,
    wall_clock,
)
from shim.model import FlagsLoad, InputError, Role, Stage
from shim.rollout import CurrentFlags, Watcher
from shim.rollout.close_code_warning import close_code_warning
from shim.rollout.promotion import advance_by_itself
from shim.rollout.promotion_facts import facts_from
from shim.router import Observer
from shim.runtime.automatic_brake import AutomaticBrake
from shim.runtime.driver import clock
from shim.runtime.lifecycle_log import LifecycleLog
from shim.runtime.pseudonyms import Pseudonyms
from shim.runtime.secrets import Secrets
from shim.runtime.tally import Tally
from shim.settings import Settings, load_flags
from shim.telemetry import Metrics, Readings, TraceObserver, Tracing, tracing

log = logging.getLogger("shim")

_PROMOTION_INTERVAL = 60.0
_LEDGER_CLOSE = 5.0
"""Seconds that the last rows get to reach the disk."""


@dataclass(frozen=True, slots=True)
class House:
    settings: Settings
    secrets: Secrets
    shim: Shim
    tally: Tally
    metrics: Metrics
    ledger: LedgerWriter
    reader: LedgerReader
    flags: CurrentFlags | None
    tracing: Tracing | None
    promotes: bool
    """Whether it takes the steps of the plan by itself."""

    async def lifespan(self, app: web.Application) -> AsyncIterator[None]:
        """For `app.cleanup_ctx`: the flags file is followed while the application runs."""
        if self.flags is None:
            yield
            return
        _warn(self.settings, self.flags.targeting)
        self.shim.observer.on(self.flags.first_load())
        watcher = Watcher(
            self.flags, clock, asyncio.get_running_loop().call_soon_threadsafe, self._loaded
        )
        watcher.start()
        promotion = asyncio.create_task(self._promote()) if self.promotes else None
        yield
        if promotion is not None:
            promotion.cancel()
            await asyncio.wait([promotion])
        watcher.stop()

    async def _promote(self) -> None:
        """Go on by the plan, once a minute at most; the watcher takes the new file up."""
        while True:
            await asyncio.sleep(_PROMOTION_INTERVAL)
            try:
                await asyncio.to_thread(self._advance)
            except InputError as error:
                log.error("the rollout cannot go on by its plan: %s", error)

    def _advance(self) -> None:
        assert self.flags is not None
        change = advance_by_itself(
            self.flags.path,
            self.settings.promotion.steps,
            lambda digest: facts_from(self.reader, self.settings, digest, wall_clock()),
        )
        if change is not None:
            log.warning("the rollout goes on by its plan: %s", change.reason)

    def _loaded(self, load: FlagsLoad, before: Targeting, after: Targeting) -> None:
        self.shim.observer.on(load)
        if before is not after:
            _warn(self.settings, after)
            self.shim.reassess()


@contextmanager
def open_house(
    settings: Settings,
    secrets: Secrets,
    *,
    observers: Sequence[Observer] = (),
    capture: Path | None = None,
    rollout: Targeting | None = None,
    promote: bool = False,
) -> Iterator[House]:
    """Open what has to be closed again. Raises InputError.

    `capture` is where to, instead of `capture.file`; `rollout` is in force instead of the flags file;
    `promote`: go on by the plan, whatever `promotion.auto` says.
    """
    # What may be refused comes first, the ledger last: then a refused start leaves nothing behind.
    capture_file = _capture_file(settings, capture)
    pseudonyms = Pseudonyms(secrets.hash_key)
    flags = _flags(settings) if rollout is None else None
    evaluate = _evaluator(settings, flags, rollout)
    with tracing(settings.telemetry) as traced:
        ledger = _ledger(settings)
        try:
            tally = Tally()
            in_log = pseudonyms if settings.privacy.logs == "hashed" else str
            shim = Shim(settings, evaluate, [LifecycleLog(in_log), tally])
            shim.name_in_log = in_log
            hashed = settings.privacy.telemetry == "hashed"
            shim.observer.add(
                TraceObserver(
                    clock,
                    pseudonyms if hashed else str,
                    provider=None if traced is None else traced.provider,
                )
            )
            shim.observer.add(LedgerObserver(ledger, clock, wall_clock))
            metrics = Metrics(_readings(shim, ledger, traced))
            shim.driver.on_timer = metrics.timer_late
            for observer in (metrics, *observers):
                shim.observer.add(observer)
            _brake(shim, settings, ledger)
            if capture_file is not None:
                shim.capture(_recorder(shim, settings, capture_file, pseudonyms))
            reader = read_ledger(settings.ledger)
            promotes = promote or settings.promotion.auto
            yield House(
                settings, secrets, shim, tally, metrics, ledger, reader, flags, traced, promotes
            )
        finally:
            if not ledger.close(_LEDGER_CLOSE):
                log.error("the ledger's last rows could not be written in time")


def _warn(settings: Settings, rollout: Targeting) -> None:
    if warning := close_code_warning(settings, rollout):
        log.warning("%s", warning)


def _flags(settings: Settings) -> CurrentFlags | None:
    if settings.monitors.control is None:
        return None
    loaded = load_flags(settings)
    return None if loaded is None else CurrentFlags(loaded, clock())


def _evaluator(
    settings: Settings, flags: CurrentFlags | None, rollout: Targeting | None
) -> Callable[[str], Evaluation]:
    """Retired everyone is at `complete`; without flags at `shadow`."""
    if rollout is not None:
        return rollout.evaluate
    if flags is not None:
        return flags.evaluate
    retired = settings.monitors.control is None
    return everyone_at(Stage.COMPLETE if retired else Stage.SHADOW).evaluate


def _brake(shim: Shim, settings: Settings, ledger: LedgerWriter) -> None:
    """The brake as it was left, and what engages it; retired there is nothing to go back to."""
    if settings.monitors.control is None:
        return
    last = ledger.brake
    if last is not None and last.engaged:
        shim.router.brake_reason = last.reason
        log.critical("the brake is still engaged: %s", last.reason)
    shim.observer.add(
        AutomaticBrake(
            settings.brake, settings.comparison.return_window, shim.engage_brake, clock()
        )
    )


def _ledger(settings: Settings) -> LedgerWriter:
    run = describe(settings, wall_clock())
    with settings.origin.of("ledger"):
        return open_ledger(settings.ledger, run, keep=settings.retention)


def _capture_file(settings: Settings, capture: Path | None) -> Path | None:
    """What captures are named after, if there are any. Raises InputError if they have no folder."""
    if capture is not None:
        check_folder(capture)
        return capture
    if settings.capture.file is None:
        return None
    file = Path(settings.capture.file)
    with settings.origin.of("capture", "file"):
        check_folder(file)
    return file


def _recorder(
    shim: Shim, settings: Settings, file: Path, pseudonyms: Callable[[str], str]
) -> Recorder:
    control = settings.monitors.control
    return Recorder(
        file,
        Limits(settings.capture.max_size, settings.capture.max_age, settings.capture.buffer),
        pseudonym=pseudonyms,
        settings=settings_digest(settings),
        start=shim.started,
        interval=None if control is None else getattr(control.settings, "heartbeat_interval", None),
        clock=clock,
        call_at=shim.driver.call_at,
    )


def _readings(shim: Shim, ledger: LedgerWriter, traced: Tracing | None) -> Readings:
    """What a scrape looks up, without visiting connections."""
    candidate = shim.router.lane(Role.CANDIDATE)
    assert candidate is not None

    def commit_age() -> float:
        last = ledger.status().last_commit
        return 0.0 if last is None else (wall_clock() - last) / 1e6

    readings = Readings(
        sessions=lambda: len(shim.sessions),
        open_episodes=lambda: shim.open_episodes,
        brake_engaged=lambda: shim.router.brake_reason is not None,
        candidate_quarantined=lambda: candidate.quarantined,
        ledger_degraded=lambda: ledger.status().problem is not None,
        ledger_queued_rows=lambda: ledger.status().queued,
        ledger_dropped_rows=lambda: ledger.status().dropped,
        ledger_commit_age_seconds=commit_age,
    )
    if traced is None:
        return readings
    delivery = traced.delivery
    return replace(
        readings,
        trace_collector_answers=lambda: delivery.answers,
        trace_queued_spans=lambda: delivery.queued,
        trace_sent_spans=lambda: delivery.sent,
        trace_dropped_spans=lambda: delivery.dropped,
    )

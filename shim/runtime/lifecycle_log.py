"""The log lines of the original monitors, and those for the events of the shim."""

import logging
from collections.abc import Callable

from shim.model import SECOND, Duration, MonitorFailure, seconds, without_details
from shim.model.visible_text import describe_free_text, describe_id
from shim.router import (
    BrakeChanged,
    ClockJumped,
    Decided,
    GuardChanged,
    MachineSlept,
    Noted,
    Observer,
    handles,
)

log = logging.getLogger(__name__)


class LifecycleLog(Observer):
    """Writes the lines; `name` is how users are named in the log, `names_users` whether in clear."""

    def __init__(
        self, name: Callable[[str], str] = describe_id, *, names_users: bool = True
    ) -> None:
        self._name = name
        self._names_users = names_users

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        if decided.acted:
            connection = decided.connection
            log.warning(
                "[User: %s] Connection timed out: %s %s",
                self._name(connection.user),
                connection.kind.value,
                describe_id(connection.package or "unknown"),
            )

    @handles(MonitorFailure)
    def _failure(self, failure: MonitorFailure) -> None:
        connection = failure.connection
        reason = failure.reason if self._names_users else without_details(failure.reason)
        failed = (failure.role, failure.call, describe_free_text(reason))
        if connection is None:
            log.error("the %s failed in %s: %s", *failed)
        else:
            log.error("[User: %s] the %s failed in %s: %s", self._name(connection.user), *failed)

    @handles(BrakeChanged)
    def _brake(self, brake: BrakeChanged) -> None:
        if brake.engaged:
            log.critical("brake engaged: %s", describe_free_text(brake.reason))
        else:
            log.warning("brake released: %s", describe_free_text(brake.reason))

    @handles(GuardChanged)
    def _guard(self, guard: GuardChanged) -> None:
        if guard.holding:
            log.critical(
                "the guard holds the candidate's closes: too many of its %d connections timed out",
                guard.acting_for,
            )
        else:
            log.warning("the guard is calm: the candidate closes again")

    @handles(ClockJumped)
    def _clock_jumped(self, jump: ClockJumped) -> None:
        if jump.before_start:
            log.warning(
                "the wall clock jumped %s by at least %.1f s between the run before and this run, whose "
                "times go by the wall clock as it is now",
                "ahead" if jump.by > 0 else "back",
                abs(seconds(jump.by)),
            )
            return
        log.warning(
            "the wall clock jumped %s by %.1f s; the ledger's times, soak and trimming go on by the time "
            "that has passed since the start, which is now %s",
            "ahead" if jump.by > 0 else "back",
            abs(seconds(jump.by)),
            _describe_ahead(jump.ahead),
        )

    @handles(MachineSlept)
    def _machine_slept(self, sleep: MachineSlept) -> None:
        log.warning("the machine slept for %.1f s", seconds(sleep.length))

    @handles(Noted)
    def _note(self, note: Noted) -> None:
        log.info("%s", describe_free_text(note.text))


def _describe_ahead(ahead: Duration) -> str:
    """How the run's time stands to a wall clock that is so much ahead of it."""
    if abs(ahead) < SECOND:
        return "the same"
    return f"{abs(seconds(ahead)):.1f} s {'behind' if ahead > 0 else 'ahead of'} the wall clock"

"""The log lines of the original monitors, and those for the events of the shim."""

import logging
from collections.abc import Callable

from shim.model import MonitorFailure
from shim.router import BrakeChanged, Decided, GuardChanged, Noted, Observer, handles

log = logging.getLogger(__name__)


class LifecycleLog(Observer):
    """Writes the lines; `name` is how users are named in the log."""

    def __init__(self, name: Callable[[str], str] = str) -> None:
        self._name = name

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        if decided.acted:
            connection = decided.connection
            log.warning(
                "[User: %s] Connection timed out: %s %s",
                self._name(connection.user),
                connection.kind.value,
                connection.package or "unknown",
            )

    @handles(MonitorFailure)
    def _failure(self, failure: MonitorFailure) -> None:
        connection = failure.connection
        user = "" if connection is None else f"[User: {self._name(connection.user)}] "
        log.error("%sthe %s failed in %s: %s", user, failure.role, failure.call, failure.reason)

    @handles(BrakeChanged)
    def _brake(self, brake: BrakeChanged) -> None:
        if brake.engaged:
            log.critical("brake engaged: %s", brake.reason)
        else:
            log.warning("brake released: %s", brake.reason)

    @handles(GuardChanged)
    def _guard(self, guard: GuardChanged) -> None:
        if guard.holding:
            log.critical(
                "the guard holds the candidate's closes: too many of its %d connections timed out",
                guard.acting_for,
            )
        else:
            log.warning("the guard is calm: the candidate closes again")

    @handles(Noted)
    def _note(self, note: Noted) -> None:
        log.info("%s", note.text)

"""Who is told of the rare events in a running shim: the log, the counters, plugins."""

import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

import pluggy

from shim.flags import Evaluation
from shim.model import (
    Closing,
    Connection,
    Coverage,
    Decision,
    FlagsLoad,
    LateDecision,
    MonitorFailure,
    Outcome,
    Return,
    Role,
    Stage,
    Time,
    Verdict,
    VerdictName,
)
from shim.router import Observer

log = logging.getLogger("shim")

_EVENTS = tuple(name for name in vars(Observer) if not name.startswith("_"))


class Fanout(Observer):
    """Tells several observers; one that raises is logged and disturbs nobody (R5)."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._listeners: dict[str, list[Callable[..., None]]] = {}
        for observer in observers:
            self.add(observer)

    def add(self, observer: Observer) -> None:
        """Tell this one, too, after the others; only of what it overrides."""
        for method in _EVENTS:
            if getattr(type(observer), method) is not getattr(Observer, method):
                self._listeners.setdefault(method, []).append(getattr(observer, method))

    def _tell(self, method: str, *args: Any) -> None:
        for listener in self._listeners.get(method, ()):
            try:
                listener(*args)
            except Exception:
                log.exception("observer %s failed", getattr(listener, "__qualname__", listener))

    def opened(
        self,
        connection: Connection,
        evaluation: Evaluation,
        stage: Stage,
        acting: Role | None,
        now: Time,
    ) -> None:
        self._tell("opened", connection, evaluation, stage, acting, now)

    def closed(self, closing: Closing) -> None:
        self._tell("closed", closing)

    def decided(self, connection: Connection, role: Role, decision: Decision, acted: bool) -> None:
        self._tell("decided", connection, role, decision, acted)

    def verdict(self, verdict: Verdict) -> None:
        self._tell("verdict", verdict)

    def late(self, late: LateDecision) -> None:
        self._tell("late", late)

    def outcome(self, outcome: Outcome) -> None:
        self._tell("outcome", outcome)

    def proof_of_life(self, connection: Connection, role: Role, now: Time) -> None:
        self._tell("proof_of_life", connection, role, now)

    def failure(self, failure: MonitorFailure) -> None:
        self._tell("failure", failure)

    def stage_changed(self, connection: Connection, before: Stage, after: Stage, now: Time) -> None:
        self._tell("stage_changed", connection, before, after, now)

    def brake(self, engaged: bool, reason: str, now: Time) -> None:
        self._tell("brake", engaged, reason, now)

    def guard(self, holding: bool, acting_for: int, now: Time) -> None:
        self._tell("guard", holding, acting_for, now)

    def flags_loaded(self, load: FlagsLoad) -> None:
        self._tell("flags_loaded", load)

    def coverage(self, coverage: Coverage) -> None:
        self._tell("coverage", coverage)

    def paused(self, start: Time, end: Time) -> None:
        self._tell("paused", start, end)

    def note(self, role: Role, text: str) -> None:
        self._tell("note", role, text)


class LifecycleLog(Observer):
    """The log lines of the seed, and those for what the seed does not have.

    `name` is how users are named in the log.
    """

    def __init__(self, name: Callable[[str], str] = str) -> None:
        self._name = name

    def decided(self, connection: Connection, role: Role, decision: Decision, acted: bool) -> None:
        if acted:
            log.warning(
                "[User: %s] Connection timed out: %s %s",
                self._name(connection.user),
                connection.kind.value,
                connection.package or "unknown",
            )

    def failure(self, failure: MonitorFailure) -> None:
        connection = failure.connection
        user = "" if connection is None else f"[User: {self._name(connection.user)}] "
        log.error("%sthe %s failed in %s: %s", user, failure.role, failure.call, failure.reason)

    def brake(self, engaged: bool, reason: str, now: Time) -> None:
        if engaged:
            log.critical("brake engaged: %s", reason)
        else:
            log.warning("brake released: %s", reason)

    def guard(self, holding: bool, acting_for: int, now: Time) -> None:
        if holding:
            log.critical(
                "the guard holds the candidate's closes: too many of its %d connections timed out",
                acting_for,
            )
        else:
            log.warning("the guard is calm: the candidate closes again")

    def note(self, role: Role, text: str) -> None:
        log.info("%s", text)


class LastClosings(Observer):
    """How the last connections ended: so many, whoever's."""

    def __init__(self, most: int = 1000) -> None:
        self._closings: deque[Closing] = deque(maxlen=most)

    def closed(self, closing: Closing) -> None:
        self._closings.append(closing)

    def of(self, session: str) -> list[Closing]:
        """Those of a session, the newest first."""
        return [c for c in reversed(self._closings) if c.connection.session == session]


class Tally(Observer):
    """Plain counts of everything, for the report."""

    def __init__(self) -> None:
        self.decisions: Counter[tuple[Role, bool]] = Counter()
        self.verdicts: Counter[VerdictName] = Counter()
        self.kinds: Counter[str] = Counter()
        self.informative: Counter[VerdictName] = Counter()
        self.outcomes: Counter[tuple[Role, Return]] = Counter()
        self.proofs_of_life: Counter[Role] = Counter()
        self.failures: Counter[Role] = Counter()
        self.late_decisions = 0
        self.brake_reason: str | None = None

    def decided(self, connection: Connection, role: Role, decision: Decision, acted: bool) -> None:
        self.decisions[role, acted] += 1

    def verdict(self, verdict: Verdict) -> None:
        self.verdicts[verdict.name] += 1
        self.kinds[verdict.kind.value] += 1
        if verdict.first is not None and verdict.first is not verdict.acting:
            self.informative[verdict.name] += 1

    def late(self, late: LateDecision) -> None:
        self.late_decisions += 1

    def outcome(self, outcome: Outcome) -> None:
        self.outcomes[outcome.role, outcome.result] += 1

    def proof_of_life(self, connection: Connection, role: Role, now: Time) -> None:
        self.proofs_of_life[role] += 1

    def failure(self, failure: MonitorFailure) -> None:
        self.failures[failure.role] += 1

    def brake(self, engaged: bool, reason: str, now: Time) -> None:
        self.brake_reason = reason if engaged else None

    def as_dict(self) -> dict[str, Any]:
        matched = self.informative[VerdictName.MATCHED]
        conclusive = matched + self.informative[VerdictName.MISMATCHED]
        return {
            "decisions": {
                role.value: {
                    "acted": self.decisions[role, True],
                    "recorded": self.decisions[role, False],
                }
                for role in Role
            },
            "verdicts": {name.value: self.verdicts[name] for name in VerdictName},
            "kinds": dict(self.kinds),
            "late": self.late_decisions,
            "agreement": {
                "matched": matched,
                "conclusive": conclusive,
                "share": matched / conclusive if conclusive else None,
            },
            "outcomes": {
                role.value: {result.value: self.outcomes[role, result] for result in Return}
                for role in Role
            },
            "proofs_of_life": {role.value: self.proofs_of_life[role] for role in Role},
            "failures": {role.value: self.failures[role] for role in Role},
            "brake": self.brake_reason,
        }


class PluginObserver(Observer):
    """Tells the plugins that implement the hooks; each alone, so that none disturbs another."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self._hooks = manager.hook

    def _call(self, hook: str, **facts: Any) -> None:
        caller: pluggy.HookCaller = getattr(self._hooks, hook)
        for implementation in caller.get_hookimpls():
            function: Callable[..., object] = implementation.function
            try:
                function(**{name: facts[name] for name in implementation.argnames})
            except Exception:
                log.exception("plugin %s failed in %s", implementation.plugin_name, hook)

    def decided(self, connection: Connection, role: Role, decision: Decision, acted: bool) -> None:
        self._call("shim_decided", connection=connection, role=role, decision=decision, acted=acted)

    def verdict(self, verdict: Verdict) -> None:
        self._call("shim_verdict", verdict=verdict)

    def late(self, late: LateDecision) -> None:
        self._call("shim_late", late=late)

    def outcome(self, outcome: Outcome) -> None:
        self._call("shim_outcome", outcome=outcome)

    def failure(self, failure: MonitorFailure) -> None:
        self._call("shim_failure", failure=failure)

    def stage_changed(self, connection: Connection, before: Stage, after: Stage, now: Time) -> None:
        self._call("shim_stage_changed", connection=connection, before=before, after=after, now=now)

    def brake(self, engaged: bool, reason: str, now: Time) -> None:
        self._call("shim_brake", engaged=engaged, reason=reason, now=now)

"""Calls the hooks of the plugins for events (`shim.plugin.hookspecs`)."""

import logging
from collections.abc import Callable
from typing import Any

import pluggy

from shim.model import LateDecision, MonitorFailure, Outcome, Verdict
from shim.router import BrakeChanged, Decided, Observer, StageChanged, handles

log = logging.getLogger(__name__)


class HookObserver(Observer):
    """Calls each plugin that implements a hook, one by one, so that no plugin disturbs another."""

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

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        self._call(
            "shim_decided",
            connection=decided.connection,
            role=decided.role,
            decision=decided.decision,
            acted=decided.acted,
        )

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        self._call("shim_verdict", verdict=verdict)

    @handles(LateDecision)
    def _late(self, late: LateDecision) -> None:
        self._call("shim_late", late=late)

    @handles(Outcome)
    def _outcome(self, outcome: Outcome) -> None:
        self._call("shim_outcome", outcome=outcome)

    @handles(MonitorFailure)
    def _failure(self, failure: MonitorFailure) -> None:
        self._call("shim_failure", failure=failure)

    @handles(StageChanged)
    def _stage_changed(self, change: StageChanged) -> None:
        self._call(
            "shim_stage_changed",
            connection=change.connection,
            before=change.before,
            after=change.after,
            now=change.at,
        )

    @handles(BrakeChanged)
    def _brake(self, brake: BrakeChanged) -> None:
        self._call("shim_brake", engaged=brake.engaged, reason=brake.reason, now=brake.at)

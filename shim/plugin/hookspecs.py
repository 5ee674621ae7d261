"""The hooks of the shim: plugins offer monitors, and get the rare events.

A plugin is a module or object with functions of these names, marked by `hookimpl`, and named by an
entry point of the group `shim`. No hook is called for a message: two plugins behind one hook cost
microseconds and are not isolated from each other.

Rules: docs/design.md#r5, docs/design.md#r7, docs/design.md#r15, docs/design.md#r21,
docs/design.md#r22.
"""

from collections.abc import Iterable

import pluggy

from shim.model import (
    Connection,
    Decision,
    LateDecision,
    MonitorFailure,
    MonitorType,
    Outcome,
    Role,
    Stage,
    Time,
    Verdict,
)

PROJECT = "shim"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def shim_monitor_types() -> Iterable[MonitorType]:  # type: ignore[empty-body]
    """The kinds of monitor that this plugin offers; the settings use their names."""


@hookspec
def shim_decided(connection: Connection, role: Role, decision: Decision, acted: bool) -> None:
    """A monitor decided that a connection timed out; `acted`: its effects reached the socket."""


@hookspec
def shim_verdict(verdict: Verdict) -> None:
    """An episode has its verdict."""


@hookspec
def shim_late(late: LateDecision) -> None:
    """A decision came on a silence that has its verdict already (R7)."""


@hookspec
def shim_outcome(outcome: Outcome) -> None:
    """It is known whether a client came back after its timeout was acted on (R15)."""


@hookspec
def shim_failure(failure: MonitorFailure) -> None:
    """A monitor failed (R5)."""


@hookspec
def shim_stage_changed(connection: Connection, before: Stage, after: Stage, now: Time) -> None:
    """A user's stage changed under an open connection (R21)."""


@hookspec
def shim_brake(engaged: bool, reason: str, now: Time) -> None:
    """The brake was engaged or released (R22)."""

"""The words of the shim as types: what monitors, router and comparator exchange.

Nothing in this package does I/O or reads a clock. Times are whole microseconds (`Time`), measured on
one monotonic clock; durations are whole microseconds, too.
"""

from shim.model.connection import (
    BY_CHANCE,
    EVERYBODY,
    UNCOUNTED,
    Connection,
    Identity,
    Kind,
    Placement,
    Role,
    Stage,
)
from shim.model.errors import InputError, Problem, ShimError
from shim.model.monitor import (
    Close,
    Confirm,
    Confirmation,
    Decision,
    Effect,
    Forget,
    Monitor,
    Monitors,
    MonitorType,
    Note,
    Pings,
    Pulse,
    Request,
    Scope,
    Terminate,
)
from shim.model.records import (
    Cause,
    Closing,
    Coverage,
    FlagsLoad,
    LateDecision,
    MonitorFailure,
    Outcome,
    Return,
    Verdict,
    VerdictKind,
    VerdictName,
    without_details,
)
from shim.model.time import MICROSECOND, SECOND, Duration, Time, from_seconds, seconds

__all__ = [
    "BY_CHANCE",
    "EVERYBODY",
    "MICROSECOND",
    "SECOND",
    "UNCOUNTED",
    "Cause",
    "Close",
    "Closing",
    "Confirm",
    "Confirmation",
    "Connection",
    "Coverage",
    "Decision",
    "Duration",
    "Effect",
    "Evidence",
    "FlagsLoad",
    "Forget",
    "Identity",
    "InputError",
    "Kind",
    "LateDecision",
    "Monitor",
    "MonitorFailure",
    "MonitorType",
    "Monitors",
    "Note",
    "Outcome",
    "Pings",
    "Placement",
    "Problem",
    "Pulse",
    "Request",
    "Return",
    "Role",
    "Scope",
    "ShimError",
    "Stage",
    "Terminate",
    "Time",
    "Verdict",
    "VerdictKind",
    "VerdictName",
    "from_seconds",
    "seconds",
    "without_details",
]

Evidence = Confirmation
"""The older name of `Confirmation`, for plugins that use it."""

"""What the ledger keeps: one type of row per table.

Times are whole microseconds since 1970 (`Wall`), durations whole microseconds. A connection's id is
unique within a run of the process only: a row belongs to its `run`, and both numbers, `id` and `run`,
are given by the store.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from types import UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Self,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from shim.model import (
    Cause,
    Duration,
    Kind,
    Return,
    Role,
    Stage,
    VerdictKind,
    VerdictName,
    from_seconds,
    seconds,
)

Wall: TypeAlias = Annotated[int, "wall"]
"""Microseconds since 1970, UTC."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table `TABLE`; `AGE` is the column that says how old it is (None: kept for ever)."""

    TABLE: ClassVar[str]
    AGE: ClassVar[str | None] = "at"

    run: int = 0
    id: int = 0

    @property
    def spare(self) -> bool:
        """Whether it may be dropped first, when there is no room."""
        return False

    @property
    def what(self) -> str:
        """What it is called in a gap."""
        return self.TABLE

    def values(self) -> tuple[Any, ...]:
        """What is stored, in the order of `columns`; words as plain texts."""
        return tuple(msgspec.to_builtins(self).values())[:-2]

    @classmethod
    @cache
    def columns(cls) -> tuple[str, ...]:
        """The fields without `run` and `id`, which come last."""
        return cls.__struct_fields__[:-2]

    @classmethod
    def read(cls, values: dict[str, Any]) -> Self:
        """A row as it came from the store, its words as their types."""
        return msgspec.convert(values, cls, strict=False)

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Self:
        """A row as the API answers it (`as_dict`); what is no field is left out."""
        timed, hints = _timed(cls), get_type_hints(cls)
        values: dict[str, Any] = {}
        for name in cls.__struct_fields__:
            if name not in facts:
                continue
            value = facts[name]
            if name in timed and value is not None:
                value = from_seconds(value)
            elif hints[name] is Stage and isinstance(value, str):
                value = Stage[value.upper()]
            values[name] = value
        return msgspec.convert(values, cls, strict=False)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: times in seconds since 1970, durations in seconds."""
        timed = _timed(type(self))
        return {
            name: seconds(value) if name in timed and value is not None else value
            for name, value in msgspec.structs.asdict(self).items()
        }


def storable(values: Iterable[Any]) -> list[Any]:
    """Values as a store takes them: a lone surrogate, which is no valid UTF-8, becomes `\\ud800`."""
    return [
        value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for value in values
    ]


@cache
def _timed(row: type[Row]) -> frozenset[str]:
    """The fields that are times or durations, optional ones included."""
    hints = get_type_hints(row, include_extras=True)
    return frozenset(name for name, hint in hints.items() if _is_time(hint))


def _is_time(hint: Any) -> bool:
    parts = get_args(hint) if isinstance(hint, UnionType) or get_origin(hint) is Union else (hint,)
    return any(hasattr(part, "__metadata__") for part in parts)


class RunRow(Row, frozen=True):
    """A process from its start to its clean stop.

    `settings` is a digest of the monitors and the comparison: evidence of runs that differ in it is
    about different things. The durations are those of the settings' section `comparison`.
    """

    TABLE = "run"
    AGE = None

    started_at: Wall
    pid: int
    version: str
    settings: str
    tolerance: Duration
    window: Duration
    return_window: Duration
    stopped_at: Wall | None = None


class ConnectionRow(Row, frozen=True):
    """Something about one connection."""

    connection: str
    connection_kind: Kind
    user: str
    session: str
    package: str | None


class DecisionRow(ConnectionRow, frozen=True):
    """One monitor's timeout. `pings` are those in the silence, `code` the close code it wanted."""

    TABLE = "decision"

    role: Role
    acted: bool
    at: Wall
    deadline: Wall
    silence: Duration
    code: int | None
    pings: tuple[Wall, ...]

    @property
    def spare(self) -> bool:
        """Its verdict and its action have rows of their own."""
        return True

    def values(self) -> tuple[Any, ...]:
        *before, pings = super().values()
        return (*before, msgspec.json.encode(pings).decode())

    @classmethod
    def read(cls, values: dict[str, Any]) -> Self:
        return super().read({**values, "pings": msgspec.json.decode(values["pings"])})

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Self:
        return super().from_dict({**facts, "pings": [from_seconds(at) for at in facts["pings"]]})

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "pings": [seconds(ping) for ping in self.pings]}


class VerdictRow(ConnectionRow, frozen=True):
    """How an episode ended (`shim.model.Verdict`)."""

    TABLE = "verdict"

    verdict: VerdictName
    kind: VerdictKind
    at: Wall
    first: Role | None
    acting: Role | None
    control_at: Wall | None
    candidate_at: Wall | None
    recovered: bool
    last_activity: Wall
    rule: str | None
    trace: str | None

    @property
    def spare(self) -> bool:
        return self.verdict is VerdictName.MATCHED

    @property
    def what(self) -> str:
        return f"{self.verdict} verdict"

    @property
    def skew(self) -> Duration | None:
        """Control minus candidate, where both decided."""
        if self.control_at is None or self.candidate_at is None:
            return None
        return self.control_at - self.candidate_at

    def as_dict(self) -> dict[str, Any]:
        skew = self.skew
        return {**super().as_dict(), "skew": None if skew is None else seconds(skew)}


class LateRow(ConnectionRow, frozen=True):
    """A decision on a silence that had its verdict already (R7)."""

    TABLE = "late"

    role: Role
    at: Wall
    acting: Role | None


class ActionRow(ConnectionRow, frozen=True):
    """A timeout acted on, and what became of the client (R15).

    `result` is None while that is open; `at` says when it was settled; `code` is the close code that
    was sent (None: terminated).
    """

    TABLE = "action"
    AGE = "acted_at"

    role: Role
    acted_at: Wall
    code: int | None
    result: Return | None = None
    at: Wall | None = None
    delay: Duration | None = None
    by_percentage: bool | None = None


class ProofRow(ConnectionRow, frozen=True):
    """The peer spoke after `role` had closed its connection (R14b)."""

    TABLE = "proof"

    role: Role
    at: Wall


class ClosingRow(ConnectionRow, frozen=True):
    """The end of a connection that a monitor had decided on."""

    TABLE = "closing"

    stage: Stage
    opened_at: Wall
    at: Wall
    cause: Cause
    intended: int | None
    observed: int

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "stage": str(self.stage)}


class StageRow(ConnectionRow, frozen=True):
    """An open connection changed its stage (R21)."""

    TABLE = "stage_change"

    before: Stage
    after: Stage
    at: Wall

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "before": str(self.before), "after": str(self.after)}


class FailureRow(Row, frozen=True):
    """A monitor's failure (R5), perhaps about one connection."""

    TABLE = "failure"

    role: Role
    call: str
    reason: str
    at: Wall
    connection: str | None = None
    connection_kind: Kind | None = None
    user: str | None = None
    package: str | None = None


class FlagsRow(Row, frozen=True):
    """The flags file was taken over, or, with a `problem`, refused (R20); `by` and `reason` if known."""

    TABLE = "flags_load"
    AGE = None

    at: Wall
    file: str
    digest: str
    before: str | None
    problem: str | None
    by: str | None = None
    reason: str | None = None


class BrakeRow(Row, frozen=True):
    """The brake was engaged or released (R22)."""

    TABLE = "brake"
    AGE = None

    engaged: bool
    reason: str
    at: Wall


class GuardRow(Row, frozen=True):
    """The guard began to hold closes of the candidate, which acted for so many, or was calm (R6b)."""

    TABLE = "guard"
    AGE = None

    holding: bool
    acting_for: int
    at: Wall


class CoverageRow(Row, frozen=True):
    """What was watched from `since` to `at` (`shim.model.Coverage`)."""

    TABLE = "coverage"

    connection_kind: Kind
    since: Wall
    at: Wall
    connected: Duration
    control_acted: Duration
    candidate_acted: Duration
    watched: Duration
    pings: int
    heartbeat_interval: Duration | None
    control_users: int
    candidate_users: int


class PauseRow(Row, frozen=True):
    """The process did not run from `since` to `at` (R3)."""

    TABLE = "pause"

    since: Wall
    at: Wall


class GapRow(Row, frozen=True):
    """Rows that were dropped between `since` and `at`; `what` is their table, or kind of verdict."""

    TABLE = "gap"
    AGE = None

    since: Wall
    at: Wall
    what: str
    count: int


ROWS: tuple[type[Row], ...] = (
    RunRow,
    DecisionRow,
    VerdictRow,
    LateRow,
    ActionRow,
    ProofRow,
    ClosingRow,
    StageRow,
    FailureRow,
    FlagsRow,
    BrakeRow,
    GuardRow,
    CoverageRow,
    PauseRow,
    GapRow,
)

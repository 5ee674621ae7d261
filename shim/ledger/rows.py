"""What the ledger keeps: one type of row per table, and all that is said of a table is said here.

The columns of the stores, the JSON of the API with its schema, and what `shim verdicts --url` reads come
from the fields of these types. Times are whole microseconds since 1970 (`Wall`), durations whole
microseconds (`Length`). A connection's id is unique within a run of the process only: a row belongs to its
`run`. The store gives `id` and `run`, which mean something in this store alone; the run's `uuid` and the row's
`number` say the same in every store, and are never used twice (R23).

Rules: docs/design.md#r3, docs/design.md#r5, docs/design.md#r6b, docs/design.md#r7, docs/design.md#r14,
docs/design.md#r14b, docs/design.md#r15, docs/design.md#r16, docs/design.md#r20, docs/design.md#r21,
docs/design.md#r22, docs/design.md#r23.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any, ClassVar, Self

import msgspec

from shim.ledger.json_record import JsonRecord, Length
from shim.ledger.json_record import Wall as Wall
from shim.model import Cause, Kind, Return, Role, Stage, VerdictKind, VerdictName, seconds


class Row(JsonRecord, frozen=True, kw_only=True):
    """A row of the table `TABLE`; `AGE` is the column that says how old it is (None: kept for ever).

    `number` counts the rows of a run, of all tables together, from 1, in the order of committing; a row
    that is written again gets another number. None: an older shim wrote the row, or it is the run itself.
    """

    TABLE: ClassVar[str]
    AGE: ClassVar[str | None] = "at"

    run: int = 0
    id: int = 0
    number: int | None = None

    @property
    def spare(self) -> bool:
        """Whether it may be dropped first, when there is no room."""
        return False

    @property
    def what(self) -> str:
        """The name of such rows in a gap."""
        return self.TABLE

    def values(self) -> tuple[Any, ...]:
        """What is stored, in the order of `columns`; words as plain texts."""
        values = msgspec.to_builtins(self)
        del values["run"], values["id"], values["number"]
        return tuple(values.values())

    @classmethod
    @cache
    def columns(cls) -> tuple[str, ...]:
        """The fields without `run`, `id` and `number`."""
        return tuple(name for name in cls.__struct_fields__ if name not in Row.__struct_fields__)

    @classmethod
    def read(cls, values: dict[str, Any]) -> Self:
        """A row as it came from the store, its words as their types."""
        return msgspec.convert(values, cls, strict=False)


def storable(values: Iterable[Any]) -> list[Any]:
    """Values as a store takes them: a lone surrogate, which is no valid UTF-8, becomes `\\ud800`."""
    return [
        value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for value in values
    ]


class RunRow(Row, frozen=True, kw_only=True):
    """A process from its start to its clean stop.

    `settings` is a digest of the monitors and the comparison; `monitors` and `comparison` are digests of
    the one and of the other, the monitors with the versions of their distributions: together with the
    flags they say which trial the run belongs to (R16; None: an older shim wrote the row). The durations
    are those of the settings' section `comparison`.

    `uuid` are 32 random hexadecimal digits, which no other run has (a simulation's come from its seed).
    `last_number` is the number of the last row that was committed, `seen_at` when that was. `boot` names
    the present start of the machine, and `uptime` says how long ago that was when the run began: they
    measure the time between two runs (None: the system does not tell).
    """

    TABLE = "run"
    AGE = None

    uuid: str
    started_at: Wall
    pid: int
    version: str
    settings: str
    tolerance: Length
    window: Length
    return_window: Length
    stopped_at: Wall | None = None
    monitors: str | None = None
    comparison: str | None = None
    last_number: int = 0
    seen_at: Wall | None = None
    boot: str | None = None
    uptime: Length | None = None


class ConnectionRow(Row, frozen=True):
    """A row about one connection."""

    connection: str
    connection_kind: Kind
    user: str
    session: str
    package: str | None
    instance: str | None = None


class DecisionRow(ConnectionRow, frozen=True, kw_only=True):
    """One monitor's timeout. `pings` are those in the silence, `code` the close code it wanted.

    `counted`, here and in other rows: whether what happens to the user is evidence (`Placement.counted`;
    None: yes, an older shim wrote the row).
    """

    TABLE = "decision"

    role: Role
    acted: bool
    at: Wall
    deadline: Wall
    silence: Length
    code: int | None
    counted: bool | None = None
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


class VerdictRow(ConnectionRow, frozen=True, kw_only=True):
    """How an episode ended (`shim.model.Verdict`).

    `overridden`: an override placed the user (R16), or the user is not `counted`. `placed_by`: `ActionRow`.
    """

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
    overridden: bool | None = None
    placed_by: str | None = None
    counted: bool | None = None

    @property
    def spare(self) -> bool:
        return self.verdict is VerdictName.MATCHED

    @property
    def what(self) -> str:
        return f"{self.verdict} verdict"

    @property
    def skew(self) -> Length | None:
        """Control minus candidate, where both decided."""
        if self.control_at is None or self.candidate_at is None:
            return None
        return self.control_at - self.candidate_at

    @property
    def improvement(self) -> bool:
        """Whether life proved the control wrong where the candidate waited (R14)."""
        return self.kind is VerdictKind.ONLY_CONTROL and self.recovered

    def as_dict(self) -> dict[str, Any]:
        skew = self.skew
        return super().as_dict() | {
            "skew": None if skew is None else seconds(skew),
            "improvement": self.improvement,
        }


class LateRow(ConnectionRow, frozen=True, kw_only=True):
    """A decision on a silence that had its verdict already (R7)."""

    TABLE = "late"

    role: Role
    at: Wall
    acting: Role | None


class ActionRow(ConnectionRow, frozen=True, kw_only=True):
    """A timeout acted on, and what became of the client (R15).

    `result` is None while that is open; `at` says when it was settled; `code` is the close code that was
    sent (None: terminated). `placed_by` is the group in which chance placed the user (None: no percentages
    did), `window_ends` the last moment for a return, `last_activity` the last sign of life.
    """

    TABLE = "action"
    AGE = "acted_at"

    role: Role
    acted_at: Wall
    code: int | None
    result: Return | None = None
    at: Wall | None = None
    delay: Length | None = None
    by_percentage: bool | None = None
    placed_by: str | None = None
    window_ends: Wall | None = None
    counted: bool | None = None
    last_activity: Wall | None = None


class ProofRow(ConnectionRow, frozen=True, kw_only=True):
    """The peer spoke after `role` had closed its connection (R14b).

    `guard_event` is the number, within the run, of the guard's event that the closing belongs to (R6b);
    None: the closing belongs to no event.
    """

    TABLE = "proof"

    role: Role
    at: Wall
    guard_event: int | None = None
    counted: bool | None = None


class ClosingRow(ConnectionRow, frozen=True, kw_only=True):
    """The end of a connection that a monitor had decided on."""

    TABLE = "closing"

    stage: Stage
    opened_at: Wall
    at: Wall
    cause: Cause
    intended: int | None
    observed: int


class StageRow(ConnectionRow, frozen=True, kw_only=True):
    """An open connection changed its stage (R21)."""

    TABLE = "stage_change"

    before: Stage
    after: Stage
    at: Wall


class FailureRow(Row, frozen=True, kw_only=True):
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
    instance: str | None = None


class FlagsRow(Row, frozen=True, kw_only=True):
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
    deciding: str | None = None


class BrakeRow(Row, frozen=True):
    """The brake was engaged or released (R22)."""

    TABLE = "brake"
    AGE = None

    engaged: bool
    reason: str
    at: Wall
    by_itself: bool | None = None


class GuardRow(Row, frozen=True):
    """The guard began or ended a hold (R6b), while the candidate acted for `acting_for` connections."""

    TABLE = "guard"
    AGE = None

    holding: bool
    acting_for: int
    at: Wall


class CoverageRow(Row, frozen=True, kw_only=True):
    """What was watched from `since` to `at` (`shim.model.Coverage`)."""

    TABLE = "coverage"

    connection_kind: Kind
    since: Wall
    at: Wall
    connected: Length
    control_acted: Length
    candidate_acted: Length
    watched: Length
    pings: int
    heartbeat_interval: Length | None
    control_users: int
    candidate_users: int


class PauseRow(Row, frozen=True):
    """The process did not run from `since` to `at` (R3)."""

    TABLE = "pause"

    since: Wall
    at: Wall


class ClockJumpRow(Row, frozen=True):
    """The wall clock jumped `by` so much (negative: back); now it is `ahead` of the run's own time.

    `at` is by the run's time, which goes on as if nothing had happened.
    """

    TABLE = "clock_jump"
    AGE = None

    at: Wall
    by: Length
    ahead: Length


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
    ClockJumpRow,
    GapRow,
)

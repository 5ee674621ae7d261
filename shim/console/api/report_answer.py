"""What the API answers about the whole state: the report, with its parts. Durations are seconds.

Rules: docs/design.md#r6b, docs/design.md#r14, docs/design.md#r27.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from shim.console.api.schemas import StageWord, StatedRecord
from shim.ledger.report_figures import ReportFigures
from shim.model import Kind, Role


class OpenConnections(msgspec.Struct, kw_only=True):
    """How many connections are open: all, by stage, and by kind."""

    open: int
    stages: dict[StageWord, int]
    kinds: dict[Kind, int]


class GuardAnswer(msgspec.Struct, kw_only=True):
    """The limit on mass closing (R6b)."""

    holding: bool
    held: int


class LedgerAnswer(msgspec.Struct, kw_only=True):
    """The state of the ledger's writer; `problem` is null while there is no problem."""

    problem: str | None
    queued: int
    written: int
    dropped: int
    last_commit: Annotated[float | None, Meta(description="Seconds since 1970.")]


class FlagsAnswer(msgspec.Struct, kw_only=True):
    """The flags file in force in this process.

    `problem` says why a newer one was refused, to operators in full.
    """

    digest: str
    age: Annotated[float, Meta(description="Seconds since it was taken over.")]
    problem: str | None


class ProcessReport(ReportFigures, frozen=True, kw_only=True):
    """The state of one process, and plain counts since its start."""

    name: Annotated[str | None, Meta(description="In the fleet; null: there is no fleet.")]
    since: Annotated[float, Meta(description="The start of the process, seconds since 1970.")]
    until: Annotated[float, Meta(description="Now, seconds since 1970.")]
    connections: OpenConnections
    users: dict[StageWord, int]
    sessions: int
    pauses: dict[str, float]
    clock: Annotated[
        str | None, Meta(description="What is wrong with the wall clock; null: nothing.")
    ]
    brake: str | None
    guard: GuardAnswer
    quarantined: bool
    flags: FlagsAnswer | None
    ledger: LedgerAnswer


class ReportAnswer(msgspec.Struct, kw_only=True):
    """The report of a shim that runs alone, as in `process`; or that of a fleet (R27).

    In a fleet, connections and counts are those of all processes together, the counts by the store, in the
    period from `since` to `until`; they are null while the store does not answer (`trouble`). What only a
    process knows of itself is in `process`, and null outside of it.
    """

    since: Annotated[float | None, Meta(description="Seconds since 1970.")]
    until: Annotated[float | None, Meta(description="Seconds since 1970.")]
    connections: OpenConnections | None
    users: dict[StageWord, int] | None
    sessions: int | None
    pauses: dict[str, float] | None
    clock: str | None
    decisions: dict[Role, dict[str, int]] | None
    verdicts: dict[str, int] | None
    kinds: dict[str, int] | None
    improvements: int | None
    late: int | None
    agreement: dict[str, float | None] | None
    outcomes: dict[Role, dict[str, int]] | None
    proofs_of_life: dict[Role, int] | None
    failures: dict[Role, int] | None
    brake: Annotated[str | None, Meta(description="Why it is engaged; null: it is released.")]
    guard: GuardAnswer | None
    quarantined: bool | None
    flags: FlagsAnswer | None
    ledger: LedgerAnswer | None
    process: Annotated[
        ProcessReport | None,
        Meta(description="The process of the fleet that answers; null: there is no fleet."),
    ]
    trouble: Annotated[
        str | None, Meta(description="Why the ledger does not tell the counts; null: it does.")
    ]
    record: StatedRecord

"""The present state, from counts that other parts keep: nothing is counted here."""

from dataclasses import dataclass

from shim.console.api.schemas import (
    FlagsAnswer,
    GuardAnswer,
    LedgerAnswer,
    OpenConnections,
    ReportAnswer,
    stage_word,
)
from shim.console.operations import Operations
from shim.model import Kind, Stage, seconds


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What every page shows. `held`: how many closes the guard holds (None: the guard is calm)."""

    brake: str | None
    held: int | None
    quarantined: bool
    flags: FlagsAnswer | None
    ledger: LedgerAnswer
    sessions: int
    users: dict[Stage, int]
    connections: dict[tuple[Kind, Stage], int]

    @classmethod
    def of(cls, operations: Operations) -> "StatusReport":
        census = operations.shim.census
        return cls(
            brake=operations.brake_reason,
            held=operations.held,
            quarantined=operations.quarantined,
            flags=flags_answer(operations),
            ledger=ledger_answer(operations),
            sessions=len(operations.shim.sessions),
            users={stage: census.users(stage) for stage in Stage},
            connections={
                (kind, stage): census.open(kind, stage) for kind in Kind for stage in Stage
            },
        )

    @property
    def open(self) -> int:
        """The sockets that have not ended."""
        return sum(self.connections.values())


def report(operations: Operations) -> ReportAnswer:
    """The body of `/api/report`."""
    shim = operations.shim
    census = shim.census
    return ReportAnswer(
        connections=OpenConnections(
            open=census.open(),
            stages={stage_word(stage): census.open(stage=stage) for stage in Stage},
            kinds={kind: census.open(kind) for kind in Kind},
        ),
        users={stage_word(stage): census.users(stage) for stage in Stage},
        sessions=len(shim.sessions),
        pauses={"count": shim.driver.pauses, "seconds": seconds(shim.driver.paused_for)},
        brake=operations.brake_reason,
        guard=GuardAnswer(holding=operations.held is not None, held=operations.held or 0),
        quarantined=operations.quarantined,
        flags=flags_answer(operations),
        ledger=ledger_answer(operations),
        **operations.assembly.tally.as_dict(),
    )


def flags_answer(operations: Operations) -> FlagsAnswer | None:
    flags = operations.assembly.flags
    if flags is None:
        return None
    age = seconds(operations.shim.clock() - flags.loaded_at)
    return FlagsAnswer(digest=flags.digest, age=age, problem=flags.problem)


def ledger_answer(operations: Operations) -> LedgerAnswer:
    status = operations.assembly.records.ledger.status()
    return LedgerAnswer(
        problem=status.problem,
        queued=status.queued,
        written=status.written,
        dropped=status.dropped,
        last_commit=None if status.last_commit is None else seconds(status.last_commit),
    )

"""What the ledger has of the rollout, and the timeline that it tells."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from shim.demo.serving import Served
from shim.ledger import LedgerReader
from shim.ledger.rows import (
    ActionRow,
    BrakeRow,
    FlagsRow,
    GuardRow,
    ProofRow,
    Row,
    StageRow,
    VerdictRow,
    Wall,
)
from shim.model import Role, Stage, VerdictKind, VerdictName, seconds

_FLUSH = 10.0
_ALL = 1_000_000
_DIGITS = 8
"""Of a digest, for people."""

_END: Wall = 1 << 62

R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Record:
    """Rows of the ledger, each sort oldest first."""

    flags: list[FlagsRow]
    stages: list[StageRow]
    brakes: list[BrakeRow]
    guards: list[GuardRow]
    verdicts: list[VerdictRow]
    proofs: list[ProofRow]
    actions: list[ActionRow]

    @property
    def engaged(self) -> BrakeRow | None:
        """The first time."""
        return next((row for row in self.brakes if row.engaged), None)

    @property
    def released(self) -> BrakeRow | None:
        """The last time."""
        return next((row for row in reversed(self.brakes) if not row.engaged), None)

    def false_kills(self) -> list[tuple[Wall, str]]:
        """When, and which user's connection, the candidate was found to have decided on wrongly, as the
        brake counts it (R22)."""
        proofs = [(row.at, row.user) for row in self.proofs if row.role is Role.CANDIDATE]
        recovered = [
            (row.at, row.user)
            for row in self.verdicts
            if row.verdict is VerdictName.MISMATCHED
            and row.kind is VerdictKind.ONLY_CANDIDATE
            and row.recovered
        ]
        return sorted(proofs + recovered)


def read_record(served: Served) -> Record:
    """Read it when everything handed over is there; for a thread."""
    served.shim.assembly.records.ledger.flush(_FLUSH)
    reader = served.shim.assembly.reader
    return Record(
        _oldest_first(reader, FlagsRow),
        _oldest_first(reader, StageRow),
        _oldest_first(reader, BrakeRow),
        _oldest_first(reader, GuardRow),
        _oldest_first(reader, VerdictRow),
        _oldest_first(reader, ProofRow),
        _oldest_first(reader, ActionRow),
    )


def _oldest_first(reader: LedgerReader, row: type[R]) -> list[R]:
    return reader.rows(row, limit=_ALL)[::-1]


def timeline(record: Record) -> Iterator[str]:
    """A line for each thing that changed; connections that moved together are one line."""
    told: list[tuple[Wall, str]] = [(row.at, _flags(row)) for row in record.flags]
    told += [(row.at, _brake(row, record)) for row in record.brakes]
    told += [(row.at, _guard(row)) for row in record.guards]
    told.sort()
    if not told:
        return
    start = told[0][0]
    ends = [at for at, _ in told[1:]] + [_END]
    for (at, text), end in zip(told, ends, strict=True):
        yield f"{seconds(at - start):6.1f} s  {text}"
        for (before, after), moved in _moves(record.stages, at, end).items():
            yield f"{'':8}    {moved} connections: {before} -> {after}"


def _moves(rows: list[StageRow], since: Wall, until: Wall) -> Counter[tuple[Stage, Stage]]:
    return Counter((row.before, row.after) for row in rows if since <= row.at < until)


def _flags(row: FlagsRow) -> str:
    if row.problem is not None:
        problem = row.problem.removeprefix(f"{row.file}: ").replace(row.file, Path(row.file).name)
        return f"flags {row.digest[:_DIGITS]} refused: {problem}"
    before = "" if row.before is None else f" instead of {row.before[:_DIGITS]}"
    return f"flags {row.digest[:_DIGITS]} in force{before}"


def _brake(row: BrakeRow, record: Record) -> str:
    if not row.engaged:
        return f"brake released: {row.reason}"
    kills = sum(at <= row.at for at, _ in record.false_kills())
    proofs = sum(p.at <= row.at and p.role is Role.CANDIDATE for p in record.proofs)
    return f"brake engaged: {row.reason} ({proofs} proofs of life, {kills - proofs} mismatched)"


def _guard(row: GuardRow) -> str:
    if row.holding:
        return f"guard holds closes: too many of {row.acting_for} connections timed out at once"
    return "guard calm"

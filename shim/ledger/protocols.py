"""What a store of the ledger does: the writer's side and the reader's side.

The embedded store is `shim.ledger.sqlite`; a networked one offers the same.
All times are microseconds since 1970; periods include `since` and exclude `until`.

Rules: docs/design.md#r6b, docs/design.md#r7, docs/design.md#r14, docs/design.md#r14b,
docs/design.md#r15, docs/design.md#r16, docs/design.md#r22, docs/design.md#r24.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, Self, TypeAlias, TypeVar

from shim.ledger.completeness import Completeness
from shim.ledger.fleet_record import FleetOrder, FleetRecord
from shim.ledger.json_record import JsonRecord
from shim.ledger.process_record import ProcessRecord, StoreStatus
from shim.ledger.rows import (
    ActionRow,
    BrakeRow,
    ClosingRow,
    DecisionRow,
    FailureRow,
    LateRow,
    PauseRow,
    ProofRow,
    Row,
    RunRow,
    StageRow,
    VerdictRow,
    Wall,
)
from shim.model import Duration, InputError, Kind, Return, Role, VerdictKind, VerdictName

if TYPE_CHECKING:
    # These need numpy, and whoever asks a running shim does not.
    from shim.gate.brake_statistics import FalseKill
    from shim.gate.observed_rows import ObservedRows
    from shim.ledger.coverage_sums import CoverageSums
    from shim.ledger.settled_actions import SettledActions

R = TypeVar("R", bound=Row)

EpisodeSort: TypeAlias = Literal["expected", "improvements", "inconclusive", "acting_first"]
"""Why an episode compares nothing."""


class UnusableError(InputError):
    """There is no ledger, or what is there cannot be used as one."""


class NoStoreError(UnusableError):
    """The database of a fleet has no store yet."""


@dataclass(frozen=True, slots=True)
class Status:
    """The state of the writer: `problem` is None while rows are being committed as they come.

    `written` rows are committed, `dropped` ones lost for want of room (or because the store refused
    them), `queued` ones wait; `last_commit` is when rows last became durable. `store` is about the fleet's
    store, where there is one.
    """

    problem: str | None
    queued: int
    written: int
    dropped: int
    last_commit: Wall | None
    store: StoreStatus | None = None


class RowTaker(Protocol):
    """Takes rows, and never raises because of one."""

    def append(self, row: Row) -> None:
        """Hand a row over. It is durable after a later commit, in the order of handing over."""


class LedgerWriter(RowTaker, Protocol):
    """Takes rows from the event loop, and never blocks it."""

    @property
    def process(self) -> str | None:
        """The name of this process in its fleet; None: there is no fleet."""

    @property
    def brake(self) -> BrakeRow | None:
        """The last change of the brake, before this run or in it."""

    def flush(self, timeout: float) -> bool:
        """Wait until everything handed over before is durable; False if it was not within `timeout` s."""

    def close(self, timeout: float) -> bool:
        """Flush and stop, within `timeout` seconds; False if rows were lost by that."""

    def status(self) -> Status: ...


class DirectLedger(RowTaker, Protocol):
    """Writes in the thread of its caller, who waits meanwhile: rows are never dropped for want of room.

    `problem` says why nothing can be written any more; from then on rows are lost.
    """

    @property
    def problem(self) -> str | None: ...

    def commit(self) -> None:
        """Make durable what was handed over."""

    def close(self, at: Wall) -> None:
        """Commit the last rows; the run has ended at `at`."""


@dataclass(frozen=True, slots=True)
class VerdictFilter:
    """Selects verdicts: every field that is not None must be equal.

    `improvement`: whether life proved the control wrong where the candidate waited (R14).
    """

    user: str | None = None
    package: str | None = None
    connection_kind: Kind | None = None
    verdict: VerdictName | None = None
    kind: VerdictKind | None = None
    acting: Role | None = None
    recovered: bool | None = None
    improvement: bool | None = None
    rule: str | None = None
    since: Wall | None = None
    until: Wall | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Verdicts, newest first, and where the next page begins (None: there is none).

    `record`: how far the record of the fleet went before they were read (None: there is no fleet).
    """

    rows: list[VerdictRow]
    cursor: str | None
    record: Completeness | None = None


class Episode(JsonRecord, frozen=True, kw_only=True):
    """One verdict with everything around it, each list oldest first.

    The decisions are those on the silence judged and later ones until the connection's next episode.
    `record`: how far the record of the fleet went before they were read (None: there is no fleet).
    """

    verdict: VerdictRow
    run: RunRow
    decisions: list[DecisionRow]
    late: list[LateRow]
    action: ActionRow | None
    closing: ClosingRow | None
    proofs: list[ProofRow]
    failures: list[FailureRow]
    stages: list[StageRow]
    pauses: list[PauseRow]
    record: Completeness | None = None


def order_in_run(row: Row) -> int:
    """Where a row stands among those of its run: a row of an older shim has a time instead of a number."""
    return getattr(row, row.AGE or "at") if row.number is None else row.number


def uncompared(decisions: Sequence[DecisionRow], late: Iterable[LateRow]) -> list[DecisionRow]:
    """Those of the decisions of a connection that came too late to be compared (R7).

    The row that says so is written next after the decision's.
    """
    found = []
    for row in late:
        earlier = [
            decision
            for decision in decisions
            if decision.role is row.role and order_in_run(decision) <= order_in_run(row)
        ]
        if earlier:
            found.append(max(earlier, key=order_in_run))
    return found


@dataclass(frozen=True, slots=True)
class VerdictCounts:
    """Verdicts by name and kind, and by the expected rule that explained them.

    `proving` are those whose first decider was shadowing, without improvements (R14).
    """

    all: Counter[tuple[VerdictName, VerdictKind]]
    proving: Counter[VerdictName]
    rules: Counter[str]
    improvements: Counter[VerdictName] = field(default_factory=Counter)


class EventCounts(NamedTuple):
    """Decisions by whether they were acted on, decisions that came too late (R7), failures of monitors."""

    decisions: Counter[tuple[Role, bool]]
    late: int
    failures: Counter[Role]


@dataclass(frozen=True, slots=True)
class Bucket:
    """The verdicts that fell within one stretch of time; `proving` as in `VerdictCounts`."""

    since: Wall
    verdicts: Counter[VerdictName] = field(default_factory=Counter)
    proving: Counter[VerdictName] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Worst:
    """A user or a package by its mismatches; improvements are not among them (R14)."""

    name: str
    mismatched: int
    conclusive: int


class EpisodeReader(Protocol):
    """Finds episodes; `place` says to people where."""

    @property
    def place(self) -> str: ...

    def verdicts(
        self, which: VerdictFilter, *, limit: int = 100, cursor: str | None = None
    ) -> Page:
        """A page of verdicts, newest first."""

    def episode(self, verdict_id: int) -> Episode | None: ...

    def processes(self, now: Wall) -> list[ProcessRecord]:
        """The processes of the fleet that were heard of within a day, by name; none where the ledger is that of
        one process."""


class LedgerReader(EpisodeReader, Protocol):
    """Reads while a shim writes, from any thread; each answer is as of one moment.

    Without a kind of connection (None) all are counted. Every method raises InputError when there is no
    ledger (any more), or one that cannot be read.
    """

    def at_one_moment(self) -> AbstractContextManager[Self]:
        """A reader whose answers are all of this moment; for one thread at a time."""

    def outcomes(
        self,
        *,
        kind: Kind | None = None,
        role: Role | None = None,
        result: Return | None = None,
        user: str | None = None,
        since: Wall | None = None,
        until: Wall | None = None,
        limit: int = 100,
    ) -> list[ActionRow]:
        """Actions by when they were taken, newest first."""

    def rows(
        self, row: type[R], since: Wall | None = None, until: Wall | None = None, limit: int = 1000
    ) -> list[R]:
        """Any other rows, newest first: failures, coverage, stage changes, flags loads, gaps, runs …"""

    def brake(self) -> BrakeRow | None:
        """The last change of the brake."""

    def concluded_until(self) -> Wall | None:
        """Until then the outcomes are concluded, as a fleet concludes them later than it records (R24); None:
        they are concluded as they are recorded."""

    def results(
        self, kind: Kind | None, since: Wall, until: Wall
    ) -> Counter[tuple[Role, Return | None]]:
        """The results of the actions of that time; None: not known yet."""

    def proofs(self, kind: Kind | None, since: Wall, until: Wall) -> Counter[Role]:
        """Proofs of life, by acting monitor."""

    def counts(self, kind: Kind | None, since: Wall, until: Wall) -> VerdictCounts: ...

    def event_counts(self, since: Wall, until: Wall) -> EventCounts: ...

    def close(self) -> None:
        """Close what is kept open between answers; another question opens it again."""

    def last_seen(self, now: Wall) -> dict[int, Wall]:
        """When each run last wrote down what it watched, as of `now`, which is included."""

    def agreement_rows(
        self, kind: Kind, runs: Iterable[int], since: Wall, until: Wall
    ) -> "ObservedRows":
        """Conclusive episodes that count (R14, R16), in the order of time."""

    def settled_actions(
        self, kind: Kind, runs: Iterable[int], since: Wall, until: Wall, *, acted_from: Wall
    ) -> "SettledActions":
        """Actions whose window ended then, in that order; earlier actions than `acted_from` are left out."""

    def other_episodes(
        self, kind: Kind, runs: Iterable[int], since: Wall, until: Wall
    ) -> Counter[EpisodeSort]:
        """The episodes that `agreement_rows` leaves out; none of overrides."""

    def coverage_sums(self, runs: Iterable[int], since: Wall, until: Wall) -> "CoverageSums":
        """What was watched, minute by minute, in the order of time."""

    def candidate_failures(self, runs: Iterable[int], since: Wall, until: Wall) -> Counter[str]:
        """How often each call of the candidate failed."""

    def candidate_decisions(self, runs: Iterable[int], since: Wall) -> list[tuple[str, Wall]]:
        """User and time of each decision of the candidate from `since` on, in the order of time."""

    def false_kills(self, runs: Iterable[int], since: Wall) -> "list[FalseKill]":
        """The candidate's decisions that life proved wrong (R22), from `since` on, in the order of time."""

    def mean_users(self, runs: Iterable[int], since: Wall, until: Wall) -> dict[Role, float]:
        """The users for whom each monitor acted, summed over all minutes and kinds."""

    def timeline(
        self, kind: Kind | None, since: Wall, until: Wall, width: Duration
    ) -> list[Bucket]:
        """The verdicts by time; stretches without any are left out."""

    def skews(
        self, kind: Kind | None, since: Wall, until: Wall, width: Duration
    ) -> dict[Duration, int]:
        """How often a skew of [key, key + width) occurred, lowest first."""

    def worst(
        self, by: Literal["user", "package"], since: Wall, until: Wall, limit: int = 10
    ) -> list[Worst]:
        """The users or packages with the most mismatches."""

    def fleet(self) -> FleetRecord:
        """The fleet, as of now; `ALONE` where the ledger is that of one process."""

    def orders(self, limit: int) -> list[FleetOrder]:
        """The orders to the brake of the fleet, newest first: the first one is in force; none where the ledger
        is that of one process."""

    def digest(self) -> tuple[str, int]:
        """SHA-256 (hexadecimal) of all rows, so that a report can be checked against them, and how many
        rows there are."""

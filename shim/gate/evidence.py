"""Everything the gate reads (R14 to R16): counts, so that its size does not grow with the ledger's.

The reader of the ledger fills it; `Question` turns rows into observations. Times are wall-clock
microseconds since 1970.

Rules: docs/design.md#r13, docs/design.md#r14, docs/design.md#r14b, docs/design.md#r15,
docs/design.md#r16.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shim.gate.sample_ratio import ArmUsers
from shim.gate.statistics import Counted
from shim.gate.trial import Trial
from shim.model import Duration, Kind, Return, Role, Time
from shim.model.time import DAY

NOTHING = Counted({}, {})

STANDS_FOR: Duration = 30 * DAY
"""How long a `ready` stands after its trial."""

ByArm = Mapping[Role, Counted]
"""The observations of the users for whom each monitor acted; a monitor without any may be missing."""


@dataclass(frozen=True, slots=True)
class StretchSample:
    """What a stretch of UTC days shows, as it is now, each user's first five rows in it.

    Attributes:
        name: the days, as `2026-11-27` or `2026-11-21 to 2026-11-27`.
        ordinal: which stretch of the trial it is, from 1.
        returns: by group (`KindEvidence.returns`).
    """

    name: str
    ordinal: int
    agreement: Counted = NOTHING
    returns: Mapping[str, ByArm] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SampleSoFar:
    """What a trial shows before its first period is over; after that, what is final."""

    agreement: Counted = NOTHING
    returns: Mapping[str, ByArm] = field(default_factory=dict)
    proofs: Counted = NOTHING


@dataclass(frozen=True, slots=True)
class Heartbeats:
    """How often the candidate pinged in one process.

    Attributes:
        process: what the process is called.
        pings: the pings that were recorded.
        needed: how many its intervals called for; None: its settings have no such interval.
    """

    process: str
    pings: int
    needed: float | None

    @property
    def share(self) -> float:
        """The share of the needed pings that were recorded; only where some were needed."""
        assert self.needed
        return self.pings / self.needed


@dataclass(frozen=True, slots=True)
class KindEvidence:
    """One kind of connection that occurred in the trial.

    Attributes:
        agreement: the share of matched episodes of each user, final ones only.
        returns: the share of returns of each user, final, by group: users whom the same percentages
            placed, `everybody` or the name of a rule.
        proofs: whether any closing by the candidate hit a living connection of the user, final.
        stretches: each UTC day, and each last seven days.
        recent_agreement, recent_returns: each user's last five rows in the last seven days.
        matched, mismatched: conclusive episodes whose first decider was shadowing (R14).
        expected: such episodes that a rule explains (R13).
        improvements: episodes in which life proved the control wrong where the candidate waited (R14).
        acting_first: conclusive episodes that prove nothing (R14).
        users, unsettled_users: users with a final observation, and those whose observation is open.
        later_users: those of both who first occurred after the first period.
        so_far: the same samples of each user's first five rows, as they are now: for steps of a plan.
        days: UTC days with timeouts.
        crowds: how many events were crowds.
        acted, proofs_of_life, outcomes: of everybody, overrides included: shown, not tested.
        heartbeats: of each process.
        arms: the users of each group in the two arms.
    """

    kind: Kind
    agreement: Counted = NOTHING
    returns: Mapping[str, ByArm] = field(default_factory=dict)
    proofs: Counted = NOTHING
    stretches: tuple[StretchSample, ...] = ()
    recent_agreement: Counted = NOTHING
    recent_returns: Mapping[str, ByArm] = field(default_factory=dict)
    matched: int = 0
    mismatched: int = 0
    expected: int = 0
    improvements: int = 0
    inconclusive: int = 0
    acting_first: int = 0
    users: int = 0
    unsettled_users: int = 0
    later_users: int = 0
    so_far: SampleSoFar = field(default_factory=SampleSoFar)
    days: int = 0
    crowds: int = 0
    acted: Mapping[Role, int] = field(default_factory=dict)
    proofs_of_life: Mapping[Role, int] = field(default_factory=dict)
    outcomes: Mapping[Role, Mapping[Return, int]] = field(default_factory=dict)
    heartbeats: tuple[Heartbeats, ...] = ()
    arms: Mapping[str, ArmUsers] = field(default_factory=dict)

    @property
    def timeouts(self) -> int:
        """Conclusive episodes that compare the monitors."""
        return self.matched + self.mismatched


@dataclass(frozen=True, slots=True)
class StandingReady:
    """An earlier trial's `ready` that still stands: since then nothing but widths has grown.

    Attributes:
        since: when the earlier trial began, and `until` when it ended.
    """

    since: Time
    until: Time

    @property
    def stands_until(self) -> Time:
        return self.until + STANDS_FOR


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the ledger knows at `now` about the trial that goes on.

    Attributes:
        trial: None while there is none: no process ever ran, or the processes differ.
        differing: the names of the parts in which the processes that run differ (`TrialIdentity`).
        attempt: which attempt the trial is (R16's k), from 1.
        days_acted: for each day of the trial's first period that has begun, whether both monitors acted
            for somebody.
        watched: for how long some process watched, in the trial.
        complete_until: up to when the record is complete; None: there is no record.
        unset_clock: when the last process began, if its wall clock was not set then.
        ends_first: the process of the fleet whose record ends first; None: the ledger is that of one process.
        brake: why the brake is engaged; None: it is released.
        braked_by_itself: when the brake engaged by itself in the trial; None: it did not.
        failures, quarantines: the candidate's, in the trial.
        expired_rules: rules of the settings that are past their last day.
        kinds: the kinds that occurred in the trial, also those without any evidence.
        standing: an earlier `ready` that may stand.
    """

    now: Time
    trial: Trial | None = None
    differing: tuple[str, ...] = ()
    attempt: int = 1
    days_acted: tuple[bool, ...] = ()
    watched: Duration = 0
    complete_until: Time | None = None
    unset_clock: Time | None = None
    ends_first: str | None = None
    brake: str | None = None
    braked_by_itself: Time | None = None
    failures: int = 0
    quarantines: int = 0
    expired_rules: tuple[str, ...] = ()
    kinds: tuple[KindEvidence, ...] = ()
    standing: StandingReady | None = None

    @property
    def span(self) -> Duration:
        """How long the trial has lasted: what was seen in it took so long to come."""
        return 0 if self.trial is None else self.trial.lasted(self.now)

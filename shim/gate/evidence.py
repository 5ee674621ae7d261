"""Everything the gate reads (R14 to R16): counts, so that its size does not grow with the ledger's.

The reader of the ledger fills it; `Observations` turns rows into `Shares`. Times are wall-clock
microseconds since 1970.

Rules: docs/design.md#r13, docs/design.md#r14, docs/design.md#r14b, docs/design.md#r15,
docs/design.md#r16.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from shim.model import Duration, Kind, Return, Role, Time

Shares: TypeAlias = Mapping[tuple[int, int], float]
"""Observations between 0 and 1: how many there are of each `(successes, trials)`, with trials >= 1.

`{(5, 5): 310, (4, 5): 2}`: 310 users with five of five, two with four of five. The tests of the gate do
not depend on the order, so nothing more has to be kept. (Counts are whole but where data is projected.)
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """The observations of one kind of connection over one span of time, one per user (or crowd).

    `agreement`: matched among a user's first five conclusive episodes whose first decider was
    shadowing, final ones only. `returns`, by acting monitor: was the user's first timeout acted on
    followed by a return (1, 1) or a loss (0, 1); only actions whose return window is over by now, so
    that returns are not counted before losses; users with their stage by percentage only (R15).
    `proofs`, by acting monitor, of the same users: did the first timeout acted on bring a proof of
    life (R14b). A monitor that did not act may be missing from the mappings.
    """

    agreement: Shares = field(default_factory=dict)
    returns: Mapping[Role, Shares] = field(default_factory=dict)
    proofs: Mapping[Role, Shares] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KindEvidence:
    """One kind of connection that occurred in the period.

    `period` and `epoch` are the observations over the two spans of `Evidence`; all else is of the
    period. `timeouts`: conclusive episodes whose first decider was shadowing, of which `matched` and
    `mismatched` are the parts; `expected` are such episodes, too, but explained (R13). `acting_first`:
    conclusive episodes that prove nothing (R14), shown only. `users`: those with a final observation;
    `unsettled_users`: those with episodes whose observation is not final yet. `days`: UTC days with
    timeouts. `acted`, `proofs`, `outcomes`: all timeouts acted on, proofs of life and outcomes, users by
    override included: shown, not tested. `pings`: the candidate's, and `heartbeats`: how many its
    intervals called for (the sum of watched / heartbeat_interval; None: it knows no such interval).
    """

    kind: Kind
    period: Sample = field(default_factory=Sample)
    epoch: Sample = field(default_factory=Sample)
    matched: int = 0
    mismatched: int = 0
    expected: int = 0
    inconclusive: int = 0
    acting_first: int = 0
    users: int = 0
    unsettled_users: int = 0
    days: int = 0
    acted: Mapping[Role, int] = field(default_factory=dict)
    proofs: Mapping[Role, int] = field(default_factory=dict)
    outcomes: Mapping[Role, Mapping[Return, int]] = field(default_factory=dict)
    pings: int = 0
    heartbeats: float | None = 0.0

    @property
    def timeouts(self) -> int:
        return self.matched + self.mismatched


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the ledger knows at `now`.

    `period_start` to `period_end`: the last `gate.period` in which both monitors acted for somebody;
    it ends at the last time when both had connections they acted for (None: they never did).
    `epoch_start`: since when monitors and comparison have been what they are (settings, plugins'
    versions); evidence from before is about something else, so no period begins earlier. `failures` and
    `quarantines` are the candidate's in the period, `expired_rules` the names of the rules in the
    settings that are past their last day. `kinds`: those that occurred in the period, also without any
    evidence.
    """

    now: Time
    period_start: Time | None = None
    period_end: Time | None = None
    epoch_start: Time | None = None
    kinds: tuple[KindEvidence, ...] = ()
    failures: int = 0
    quarantines: int = 0
    expired_rules: tuple[str, ...] = ()

    @property
    def span(self) -> Duration:
        """How long the period has lasted so far: what was seen in it took so long to come."""
        if self.period_start is None or self.period_end is None:
            return 0
        return self.period_end - self.period_start

"""The record of one kind of connection in one trial: rows come in, observations come out (R16).

The record is kept and fed on, so that asking again costs what is new and the days that are not over.
Times are microseconds since 1970.

Rules: docs/design.md#r14, docs/design.md#r14b, docs/design.md#r15, docs/design.md#r16.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np

from shim.gate.crowds import Connected
from shim.gate.evidence import ByArm, KindEvidence, SampleSoFar, StretchSample
from shim.gate.observed_rows import Arm, ObservedRow, ObservedRows
from shim.gate.proof_series import ProofSeries
from shim.gate.question import Question, QuestionTimes
from shim.gate.sample_ratio import ArmUsers
from shim.gate.series import Series
from shim.gate.statistics import Counted, Shares, join_shares
from shim.gate.stretches import Stretch, find_stretches, recent_days
from shim.gate.user_numbers import UserNumbers, UserValues
from shim.model import Kind, Role, Time
from shim.model.time import DAY

_ALL: Final = "all"


class KindRecord:
    """Takes the rows of one kind in the order of their times.

    `shares` gives the shares of the arms in a group, as the flags file has them (`arm_shares`); None: the
    widths of the arms in this group are not tested. The users seen in an arm are those with an outcome.
    Episodes would not do: which silences a sweeping control notices depends on who pings.
    """

    def __init__(
        self,
        kind: Kind,
        times: QuestionTimes,
        connected: Connected,
        shares: Callable[[str], Mapping[Role, float] | None],
    ) -> None:
        self._kind = kind
        self._times = times
        self._shares = shares
        users = self._users = UserNumbers()
        self._agreement: Question[str] = Question(times, connected, lambda arm: _ALL, users=users)
        self._returns: Question[Arm] = Question(times, connected, lambda arm: arm, users=users)
        # Rows of the control's closings make crowds, and are no observations of the candidate.
        self._proofs: Question[str] = Question(
            times=times,
            connected=connected,
            series_of=lambda arm: _ALL if arm.role is Role.CANDIDATE else None,
            make_series=ProofSeries,
            users=users,
        )
        self._seen: defaultdict[Arm, UserValues] = defaultdict(lambda: UserValues(0, np.bool_))
        self._stretches: dict[int, StretchSample] = {}

    def add_agreements(self, rows: Iterable[ObservedRow] | ObservedRows) -> None:
        """Conclusive episodes whose first decider was shadowing (R14); success: they matched."""
        self._agreement.extend(rows)

    def add_returns(self, rows: Iterable[ObservedRow] | ObservedRows) -> None:
        """Returns and losses, by the ends of their windows (R15)."""
        numbered = ObservedRows.of(rows).numbered(self._users)
        self._returns.extend_numbered(numbered)
        for arm, own in numbered.split(lambda arm: arm).items():
            self._seen[arm][own.users] = True

    def add_proofs(self, rows: Iterable[ObservedRow] | ObservedRows) -> None:
        """Timeouts acted on, by the ends of their windows; success: a proof of life came (R14b)."""
        self._proofs.extend(rows)

    def advance(self, now: Time) -> None:
        """All rows up to `now` are here: what is decided of them is not kept as rows."""
        for question in (self._agreement, self._returns, self._proofs):
            question.advance(now)

    def observe(self, now: Time) -> KindEvidence:
        """What all rows up to `now` show; plain counts of the rows are not part of it."""
        self.advance(now)
        since, recent = self._times.since, recent_days(now)
        final = SampleSoFar(
            self._agreement.read(_ALL, _final),
            read_groups(self._returns, _final),
            self._proofs.read(_ALL, _any_proof),
        )
        samples = {stretch: self._sample(stretch, now) for stretch in find_stretches(since, now)}
        agreed = self._agreement.plain(_ALL)
        observed = KindEvidence(
            self._kind,
            agreement=final.agreement,
            returns=final.returns,
            proofs=final.proofs,
            so_far=final if now >= since + self._times.period else self._so_far(now),
            days=sum(
                bool(sample.agreement.plain)
                for stretch, sample in samples.items()
                if len(stretch.days) == 1
            ),
            stretches=tuple(samples.values()),
            recent_agreement=self._agreement.read(_ALL, lambda series: series.recent(recent)),
            recent_returns=read_groups(self._returns, lambda series: series.recent(recent)),
            users=agreed.users,
            unsettled_users=agreed.unsettled,
            later_users=agreed.later_users,
            crowds=self._agreement.crowds,
            arms={
                group: self._arms(group, shares)
                for group in dict.fromkeys(arm.group for arm in self._seen)
                if (shares := self._shares(group)) is not None
            },
        )
        for question in (self._agreement, self._returns, self._proofs):
            question.forget(now)
        return observed

    def _so_far(self, now: Time) -> SampleSoFar:
        """Each user's first five rows since the trial began, without waiting for finality."""
        days = range(self._times.since // DAY, now // DAY + 1)
        return SampleSoFar(
            self._agreement.read(_ALL, lambda series: series.stretch(days)),
            read_groups(self._returns, lambda series: series.stretch(days)),
            self._proofs.read(_ALL, lambda series: _one_a_user(series.stretch(days))),
        )

    def _sample(self, stretch: Stretch, now: Time) -> StretchSample:
        """A stretch that is over, and whose last rows are known, never changes."""
        if (known := self._stretches.get(stretch.ordinal)) is not None:
            return known
        sample = StretchSample(
            name=stretch.name,
            ordinal=stretch.ordinal,
            agreement=self._agreement.read(_ALL, lambda series: series.stretch(stretch.days)),
            # An arm that occurs on a later day is no part of a stretch, whenever somebody asks.
            returns=_without_idle(
                read_groups(self._returns, lambda series: series.stretch(stretch.days))
            ),
        )
        if (stretch.days[-1] + 1) * DAY + 3 * self._times.grain <= now:
            self._stretches[stretch.ordinal] = sample
        return sample

    def _arms(self, group: str, shares: Mapping[Role, float]) -> ArmUsers:
        nobody = UserValues(0, np.bool_)
        seen = {role: self._seen.get(Arm(group, role), nobody).values for role in Role}
        both = min(map(len, seen.values()))
        crossed = int(np.logical_and.reduce([users[:both] for users in seen.values()]).sum())
        return ArmUsers(
            {role: int(users.sum()) - crossed for role, users in seen.items()}, crossed, shares
        )


def _final(series: Series) -> Shares:
    """The observations of users and of crowds that are final."""
    return join_shares(series.final, series.final_crowds)


def _any_proof(series: Series) -> Shares:
    """A user is one observation: whether any closing hit a living connection; a crowd is its share."""
    return join_shares(_one_a_user(series.final), series.final_crowds)


def _one_a_user(final: Shares) -> dict[tuple[int, int], float]:
    """Whether any of a user's rows is a success."""
    shares: defaultdict[tuple[int, int], float] = defaultdict(float)
    for (proofs, _), count in final.items():
        shares[int(proofs > 0), 1] += count
    return dict(shares)


def read_groups(question: Question[Arm], read: Callable[[Series], Shares]) -> dict[str, ByArm]:
    """What a series of each arm says, by group."""
    groups: defaultdict[str, dict[Role, Counted]] = defaultdict(dict)
    for arm in question.keys:
        groups[arm.group][arm.role] = question.read(arm, read)
    return {**groups}


def _without_idle(groups: Mapping[str, ByArm]) -> dict[str, ByArm]:
    """Only the arms that have observations."""
    observed = {
        group: {role: counted for role, counted in arms.items() if counted.plain or counted.crowded}
        for group, arms in groups.items()
    }
    return {group: arms for group, arms in observed.items() if arms}

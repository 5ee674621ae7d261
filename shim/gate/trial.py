"""Trials: the stretches of time that the gate judges (R16: docs/design.md#r16).

A trial lasts while nothing changes that decides who gets what and what is compared. So the figures of
one trial hold no drift while shares move, no mixture of populations and no earlier candidate.

    the processes that are alive      the trial
    all of one identity               goes on, or begins
    of several identities             none: a deploy is under way
    none                              waits: the next process decides whether the trial goes on
    the brake is released             ends; another trial of the same identity begins

Times are microseconds since 1970.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from shim.model import Duration, Time
from shim.model.time import DAY

ATTEMPTS_WITHIN: Duration = 90 * DAY
"""Trials that ended longer ago do not count as attempts."""

_PARTS = ("monitors", "comparison", "flags")
"""The parts of an identity."""

LEAST_SHARE = 0.25
"""An attempt has at least this share of the users on each side."""

START = "start"
BRAKE_RELEASED = "brake released"
OTHERS_ENDED = "processes of another identity have ended"
"""What began a trial (`Trial.began_by`) if no part of the identity changed."""


@dataclass(frozen=True, slots=True)
class TrialIdentity:
    """Digests of what a trial is about.

    Attributes:
        monitors: both monitors with their distributions' versions and their settings.
        comparison: the section `comparison` of the settings.
        flags: the widths, salt, rules, default, holdback and kill switch; not the overrides.
    """

    monitors: str
    comparison: str
    flags: str

    def differences(self, before: "TrialIdentity") -> tuple[str, ...]:
        """The names of the parts that are not as they were `before`."""
        return tuple(name for name in _PARTS if getattr(self, name) != getattr(before, name))


@dataclass(frozen=True, slots=True)
class IdentitySpan:
    """One process under one identity.

    Attributes:
        run: the number of the process's run in the ledger.
        since: when the process began to work under this identity.
        until: when that ended, exclusive; None: it goes on.
    """

    run: int
    since: Time
    until: Time | None
    identity: TrialIdentity


@dataclass(frozen=True, slots=True)
class Trial:
    """A stretch of time in which all processes had one identity.

    Attributes:
        since: its begin.
        until: its end, exclusive; None: it goes on.
        began_by: what began it: `START`, `BRAKE_RELEASED`, `OTHERS_ENDED`, or the parts that changed.
        spans: the processes' parts in it; rows belong to a trial by their run and these times.
    """

    identity: TrialIdentity
    since: Time
    until: Time | None
    began_by: str
    spans: tuple[IdentitySpan, ...]

    def lasted(self, now: Time) -> Duration:
        """How long the trial has lasted at `now`."""
        return (now if self.until is None else min(self.until, now)) - self.since

    def is_recent(self, now: Time) -> bool:
        """Whether the trial goes on, or ended in the last 90 days, so that it may be an attempt."""
        return self.until is None or self.until > now - ATTEMPTS_WITHIN


def find_trials(
    spans: Iterable[IdentitySpan], releases: Sequence[Time], now: Time
) -> tuple[Trial, ...]:
    """All trials up to `now`, the oldest first; the last one goes on if its `until` is None.

    `releases` are the times at which the brake was released.
    """
    known = sorted(
        (span for span in spans if span.since <= now), key=lambda span: (span.since, span.run)
    )
    trials: list[Trial] = []
    for identity, since, until, began_by in _stretches(known, releases, now):
        parts = tuple(cut for span in known if (cut := _cut(span, since, until)) is not None)
        trials.append(
            Trial(identity=identity, since=since, until=until, began_by=began_by, spans=parts)
        )
    return tuple(trials)


def find_differences(spans: Iterable[IdentitySpan], now: Time) -> tuple[str, ...]:
    """The names of the parts in which the processes that are alive at `now` differ."""
    alive = [
        span.identity
        for span in spans
        if span.since <= now and (span.until is None or span.until > now)
    ]
    return tuple(name for name in _PARTS if len({getattr(one, name) for one in alive}) > 1)


def _stretches(
    spans: Sequence[IdentitySpan], releases: Sequence[Time], now: Time
) -> Iterator[tuple[TrialIdentity, Time, Time | None, str]]:
    """Identity, begin, end and cause of each trial."""
    current: TrialIdentity | None = None
    before: TrialIdentity | None = None
    since, began_by = 0, ""
    for at in _turning_points(spans, releases, now):
        alive = {
            span.identity
            for span in spans
            if span.since <= at and (span.until is None or span.until > at)
        }
        changed = bool(alive) and alive != {current}
        if current is not None and (changed or at in releases):
            yield current, since, at, began_by
            before, current = current, None
            if not changed:
                # Between two processes nobody is alive, and the identity is as it was.
                current, since, began_by = before, at, BRAKE_RELEASED
        if current is None and len(alive) == 1:
            (current,) = alive
            since, began_by = at, _cause(current, before)
    if current is not None:
        yield current, since, None, began_by


def _turning_points(
    spans: Sequence[IdentitySpan], releases: Sequence[Time], now: Time
) -> list[Time]:
    points = {span.since for span in spans} | {span.until for span in spans if span.until}
    return sorted(at for at in points | set(releases) if at <= now)


def _cause(identity: TrialIdentity, before: TrialIdentity | None) -> str:
    if before is None:
        return START
    return ", ".join(identity.differences(before)) or OTHERS_ENDED


def _cut(span: IdentitySpan, since: Time, until: Time | None) -> IdentitySpan | None:
    """The part of a span that lies in a trial; only those of the trial's identity have one."""
    begin = max(span.since, since)
    ends = [end for end in (span.until, until) if end is not None]
    end = min(ends) if ends else None
    if end is not None and end <= begin:
        return None
    return replace(span, since=begin, until=end)


@dataclass(frozen=True, slots=True)
class TrialUsers:
    """What decides whether a trial was an attempt.

    Attributes:
        control: users for whom the control acted, on average over the trial.
        candidate: users for whom the candidate acted.
        soak: how long the step of the plan that the trial was at has to last; None: it was at no step.
    """

    control: float
    candidate: float
    soak: Duration | None = None

    @property
    def both_sides(self) -> bool:
        """Whether each side has at least a quarter of the users."""
        least = LEAST_SHARE * (self.control + self.candidate)
        return min(self.control, self.candidate) >= least > 0


def count_attempts(trials: Sequence[tuple[Trial, TrialUsers]], unit: Duration, now: Time) -> int:
    """Which attempt the last trial is: 1 for the first (R16's k).

    `trials`: all up to the one that is judged, the oldest first. An earlier trial of the last 90 days
    counts if it lasted `unit`, or its step's soak where that is shorter, with a quarter of the users on
    each side. So beginning anew until one trial is lucky does not help.
    """
    *earlier, _ = trials
    return 1 + sum(
        users.both_sides
        and trial.is_recent(now)
        and trial.lasted(now) >= min(unit, unit if users.soak is None else users.soak)
        for trial, users in earlier
    )

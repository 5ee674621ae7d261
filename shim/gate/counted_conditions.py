"""The conditions that are counted: data enough, pings sent, mismatches explained, arms as said (R16).

Rules: docs/design.md#r16.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any

from shim.gate.answer import Condition, Scale, Sense, Standing
from shim.gate.evidence import Heartbeats
from shim.gate.kind_gate import KindGate
from shim.gate.sample_ratio import UNSOUND
from shim.gate.statistics import finite_e_value, log_e_value, wilson
from shim.model import Duration, Role
from shim.model.time import DAY

MIN_COVERAGE = 0.99
"""Of the candidate's heartbeat intervals, the share with a ping."""

MIN_HEARTBEATS = 10_000
"""Fewer say nothing about 99 %: the first and the last interval of each connection are cut by chance."""


def acted(case: KindGate) -> Condition:
    """A monitor that never acted on a timeout has shown nothing of what its closing does."""
    counts = {role: case.evidence.acted.get(role, 0) for role in Role}
    idle = " and the ".join(str(role) for role in Role if not counts[role])
    return _amount(
        case,
        "acted",
        "Timeouts acted on, by the monitor with fewer of them",
        min(counts.values()),
        1,
        f"the {idle} never acted on a timeout",
        inputs={str(role): count for role, count in counts.items()},
    )


def users(case: KindGate) -> Condition:
    """Enough users are observed."""
    count, wanted = case.evidence.users, case.targets.min_users
    unsettled = case.evidence.unsettled_users
    return _amount(
        case,
        "users",
        "Users observed",
        count,
        wanted,
        f"{wanted - count} more users ({unsettled} are being observed)",
        case.until_users(wanted / (count + unsettled)) if count + unsettled else None,
        {"unsettled_users": unsettled, "later_users": case.evidence.later_users},
    )


def timeouts(case: KindGate) -> Condition:
    """Enough timeouts are compared."""
    evidence, wanted = case.evidence, case.targets.min_timeouts
    count = evidence.timeouts
    return _amount(
        case,
        "timeouts",
        "Timeouts compared",
        count,
        wanted,
        f"{wanted - count} more timeouts",
        case.until(count, wanted),
        {
            "matched": evidence.matched,
            "mismatched": evidence.mismatched,
            "improvements": evidence.improvements,
            "expected": evidence.expected,
            "inconclusive": evidence.inconclusive,
            "acting_first": evidence.acting_first,
        },
    )


def days(case: KindGate) -> Condition:
    """How many days had timeouts: what a step of a plan may require."""
    count, wanted = case.evidence.days, case.targets.min_days
    missing = wanted - count
    return _amount(
        case,
        "days",
        "Days with timeouts",
        count,
        wanted,
        f"{missing} more days",
        missing * DAY if count else None,
    )


def coverage(case: KindGate) -> Condition:
    """In shadow the candidate lives on the control's pongs: one that never pings would pass (R16).

    The process with the lowest share decides; those with few heartbeats are taken together.
    """
    processes = case.evidence.heartbeats
    known = [(beats, beats.needed) for beats in processes if beats.needed is not None]
    needed = sum(needed for _, needed in known)
    judged = _large_enough(known)
    worst = min(judged, key=lambda beats: beats.share, default=None)
    figure = None if worst is None else worst.share
    missing = eta = None
    if processes and not known:
        standing, missing = Standing.OPEN, "the candidate's settings have no heartbeat_interval"
    elif worst is None:
        standing = Standing.OPEN
        missing = f"{ceil(MIN_HEARTBEATS - needed)} more heartbeats to judge by"
        eta = case.until(needed, MIN_HEARTBEATS)
    elif worst.share < MIN_COVERAGE:
        standing = Standing.FAILED
        missing = f"the candidate does not ping as often as it should ({worst.process})"
    else:
        standing = Standing.MET
    return case.condition(
        "coverage",
        "Heartbeats at which the candidate pinged, in the worst process",
        standing,
        target=MIN_COVERAGE,
        bound=figure,
        figure=figure,
        missing=missing,
        eta=eta,
        inputs={
            "pings": sum(beats.pings for beats in processes),
            "heartbeats": needed,
            "min_heartbeats": MIN_HEARTBEATS,
            "processes": {
                beats.process: {"pings": beats.pings, "heartbeats": beats.needed}
                for beats in judged
            },
        },
    )


def _large_enough(processes: Sequence[tuple[Heartbeats, float]]) -> list[Heartbeats]:
    """The processes that can be judged; the small ones together, if they are enough then."""
    large = [beats for beats, needed in processes if needed >= MIN_HEARTBEATS]
    small = [(beats.pings, needed) for beats, needed in processes if needed < MIN_HEARTBEATS]
    needed = sum(needed for _, needed in small)
    if needed >= MIN_HEARTBEATS:
        pings = sum(pings for pings, _ in small)
        large.append(Heartbeats("small processes together", pings, needed))
    return large


def expected(case: KindGate) -> Condition:
    """A statement about the record, so its figure decides; only *failed* has to be significant."""
    explained, conclusive = case.evidence.expected, case.evidence.timeouts
    limit, total = case.targets.max_expected, explained + conclusive
    figure = explained / total if total else None
    missing = None
    if figure is None:
        standing, missing = Standing.OPEN, "no timeouts"
    elif figure <= limit:
        standing = Standing.MET
    else:
        missing = f"{explained} of {total} episodes are explained by rules"
        shares = {(1, 1): explained, (0, 1): conclusive}
        significant = not limit or log_e_value(shares, limit) >= case.log_wanted
        standing = Standing.FAILED if significant else Standing.OPEN
    return case.condition(
        "expected",
        "Episodes that a rule explains",
        standing,
        sense=Sense.AT_MOST,
        target=limit,
        bound=figure,
        figure=figure,
        interval=wilson(explained, total),
        missing=missing,
        inputs={"expected": explained, "conclusive": conclusive},
    )


def sample_ratio(case: KindGate) -> Condition:
    """The users seen in the arms stand to each other as the widths say; else no figure can be believed."""
    arms = case.evidence.arms
    off = [name for name, users in arms.items() if users.is_off and not case.braked]
    evidence = max((users.log_e_value for users in arms.values()), default=0.0)
    described = {
        name: {
            **{str(role): users.seen.get(role, 0) for role in Role},
            "crossed": users.crossed,
            "expected": {str(role): users.expected.get(role, 0.0) for role in Role},
            "e_value": finite_e_value(users.log_e_value),
        }
        for name, users in arms.items()
    }
    value = finite_e_value(evidence)
    return case.condition(
        "sample_ratio",
        "Evidence that the arms are not as wide as the flags say",
        Standing.FAILED if off else Standing.MET,
        scale=Scale.COUNT,
        sense=Sense.AT_MOST,
        target=UNSOUND,
        bound=value,
        figure=value,
        missing=f"users of {', '.join(off)} are not where the widths place them: do all processes "
        "have the same flags file, and does each arm register its connections?"
        if off
        else None,
        inputs={"groups": described},
    )


def _amount(
    case: KindGate,
    name: str,
    title: str,
    count: int,
    wanted: int,
    missing: str,
    eta: Duration | None = None,
    inputs: dict[str, Any] | None = None,
) -> Condition:
    met = count >= wanted
    return case.condition(
        name,
        title,
        Standing.MET if met else Standing.OPEN,
        scale=Scale.COUNT,
        target=wanted,
        bound=count,
        figure=count,
        missing=None if met else missing,
        eta=None if met else eta,
        inputs=inputs or {},
    )

"""The conditions that are counted: data enough, pings sent, mismatches explained (R16: docs/design.md#r16)."""

from math import ceil, log
from typing import Any

from shim.gate.answer import Condition, Scale, Sense, Standing
from shim.gate.kind_gate import E_VALUE, KindGate
from shim.gate.statistics import log_e_value, wilson
from shim.model import SECOND, Duration, Role

MIN_COVERAGE = 0.99
"""Of the candidate's heartbeat intervals, the share with a ping."""

MIN_HEARTBEATS = 10_000
"""Fewer say nothing about 99 %: the first and the last interval of each connection are cut by chance."""

_DAY: Duration = 86_400 * SECOND


def acted(case: KindGate) -> Condition:
    """A monitor that never acted on a timeout has shown nothing of what its closing does."""
    counts = {role: case.evidence.acted.get(role, 0) for role in Role}
    idle = " and the ".join(str(role) for role in Role if not counts[role])
    return _amount(
        case,
        "acted",
        "Timeouts acted on, by the monitor that did so less often",
        min(counts.values()),
        1,
        f"the {idle} never acted on a timeout",
        inputs={str(role): count for role, count in counts.items()},
    )


def users(case: KindGate) -> Condition:
    count, wanted = case.evidence.users, case.targets.min_users
    unsettled = case.evidence.unsettled_users
    return _amount(
        case,
        "users",
        "Users observed",
        count,
        wanted,
        f"{wanted - count} more users ({unsettled} are being observed)",
        case.until(count, wanted),
        {"unsettled_users": unsettled},
    )


def timeouts(case: KindGate) -> Condition:
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
            "expected": evidence.expected,
            "inconclusive": evidence.inconclusive,
            "acting_first": evidence.acting_first,
        },
    )


def days(case: KindGate) -> Condition:
    count, wanted = case.evidence.days, case.targets.min_days
    missing = wanted - count
    return _amount(
        case,
        "days",
        "Days with timeouts",
        count,
        wanted,
        f"{missing} more days",
        missing * _DAY if count else None,
    )


def coverage(case: KindGate) -> Condition:
    """In shadow the candidate lives on the control's pongs: one that never pings would pass (R16)."""
    pings, heartbeats = case.evidence.pings, case.evidence.heartbeats
    figure = pings / heartbeats if heartbeats else None
    missing = eta = None
    if heartbeats is None:
        standing, missing = Standing.OPEN, "the candidate's settings have no heartbeat_interval"
    elif figure is None or heartbeats < MIN_HEARTBEATS:
        standing = Standing.OPEN
        missing = f"{ceil(MIN_HEARTBEATS - heartbeats)} more heartbeats to judge by"
        eta = case.until(heartbeats, MIN_HEARTBEATS)
    elif figure < MIN_COVERAGE:
        standing, missing = Standing.FAILED, "the candidate does not ping as often as it should"
    else:
        standing = Standing.MET
    return case.condition(
        "coverage",
        "Heartbeats at which the candidate pinged",
        standing,
        target=MIN_COVERAGE,
        bound=figure,
        figure=figure,
        missing=missing,
        eta=eta,
        inputs={"pings": pings, "heartbeats": heartbeats, "min_heartbeats": MIN_HEARTBEATS},
    )


def expected(case: KindGate) -> Condition:
    """A statement about the record, so its figure decides; only *failed* has to be significant."""
    explained, mismatched = case.evidence.expected, case.evidence.mismatched
    limit, total = case.targets.max_expected, explained + mismatched
    figure = explained / total if total else None
    missing = None
    if not total and not case.evidence.timeouts:
        standing, missing = Standing.OPEN, "no timeouts"
    elif figure is None or figure <= limit:
        standing = Standing.MET
    else:
        missing = f"{explained} of {total} mismatches are explained by rules"
        shares = {(1, 1): explained, (0, 1): mismatched}
        significant = not limit or log_e_value(shares, limit) >= log(E_VALUE)
        standing = Standing.FAILED if significant else Standing.OPEN
    return case.condition(
        "expected",
        "Mismatches that a rule explains",
        standing,
        sense=Sense.AT_MOST,
        target=limit,
        bound=figure,
        figure=figure,
        interval=wilson(explained, total),
        missing=missing,
        inputs={"expected": explained, "mismatched": mismatched},
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

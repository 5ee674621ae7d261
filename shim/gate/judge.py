"""May the control be retired? (R16: docs/design.md#r16)"""

from collections.abc import Callable
from dataclasses import replace

from shim.gate import counted_conditions as counted
from shim.gate import stretch_conditions as over_days
from shim.gate import tested_conditions as tested
from shim.gate.answer import Condition, GateAnswer, GateVerdict, Scale, Sense, Standing
from shim.gate.evidence import Evidence, KindEvidence
from shim.gate.kind_gate import GateTargets, KindGate, format_days
from shim.gate.trial_description import describe_no_trial, describe_trial
from shim.model import SECOND, Duration, seconds
from shim.model.time import DAY, describe_unset_clock, format_utc, seconds_or_none

COMPLETE_WITHIN: Duration = 3600 * SECOND
"""How old the end of the record may be."""

_AT_ONCE = ("failures", "brake", "sample_ratio")
"""Conditions whose failure is a fact: they make `not_ready` before the first period has passed."""

_OF_EACH_KIND: tuple[Callable[[KindGate], Condition], ...] = (
    counted.acted,
    counted.users,
    counted.timeouts,
    tested.agreement,
    counted.coverage,
    tested.returns,
    tested.proofs_of_life,
    over_days.stretches,
    over_days.recent,
    counted.expected,
    counted.sample_ratio,
)


def judge(evidence: Evidence, targets: GateTargets) -> GateAnswer:
    """`ready` if every condition holds, `not_ready` if one is refuted, else `insufficient`.

    No data is never success: without a trial, or any kind of connection in it, the answer is
    `insufficient`. A `ready` of an earlier trial stands for 30 days while nothing but widths grows
    (`Evidence.standing`), unless something in the present trial speaks against it.
    """
    conditions = [
        _length(evidence, targets),
        _record(evidence),
        _brake(evidence),
        _failures(evidence),
        _expired(evidence),
    ]
    for kind in evidence.kinds:
        braked = evidence.brake is not None
        case = KindGate(
            evidence=kind,
            targets=targets,
            span=evidence.span,
            attempt=evidence.attempt,
            braked=braked,
        )
        conditions.extend(condition(case) for condition in _OF_EACH_KIND)
    verdict = _verdict(conditions, evidence, targets)
    if verdict is GateVerdict.INSUFFICIENT and _stands(evidence, conditions):
        verdict = GateVerdict.READY
    return GateAnswer(
        verdict,
        tuple(conditions),
        _eta(conditions) if verdict is GateVerdict.INSUFFICIENT else None,
        describe_trial(evidence, targets),
    )


def judge_so_far(evidence: Evidence, targets: GateTargets) -> GateAnswer:
    """The same for a step of a plan: on each user's first five rows as they are now, not yet final.

    The verdict is that of `judge`: before the first period is over, the trial is too young for `ready`,
    and what makes `not_ready` so early does not depend on observations. The condition `days` is there
    for plans alone.
    """
    if evidence.span < targets.period:
        evidence = replace(evidence, kinds=tuple(_so_far(kind) for kind in evidence.kinds))
    answer = judge(evidence, targets)
    days = [counted.days(KindGate(kind, targets, evidence.span)) for kind in evidence.kinds]
    return replace(answer, conditions=(*answer.conditions, *days))


def _so_far(kind: KindEvidence) -> KindEvidence:
    return replace(
        kind,
        agreement=kind.so_far.agreement,
        returns=kind.so_far.returns,
        proofs=kind.so_far.proofs,
        users=kind.users + kind.unsettled_users,
    )


def _verdict(conditions: list[Condition], evidence: Evidence, targets: GateTargets) -> GateVerdict:
    failed = {one.name for one in conditions if one.standing is Standing.FAILED}
    over = evidence.span >= targets.period
    if failed and (over or failed.intersection(_AT_ONCE)):
        return GateVerdict.NOT_READY
    unmet = any(one.standing is not Standing.MET for one in conditions)
    return GateVerdict.INSUFFICIENT if unmet else GateVerdict.READY


_AGAINST_STANDING = ("record", "brake", "failures", "expired_rules", "stretches")


def _stands(evidence: Evidence, conditions: list[Condition]) -> bool:
    """Whether an earlier `ready` stands: nothing has refuted it since."""
    refuted = any(
        condition.standing is not Standing.MET
        for condition in conditions
        if condition.name in _AGAINST_STANDING
    )
    standing = evidence.standing
    return standing is not None and evidence.now < standing.stands_until and not refuted


def _eta(conditions: list[Condition]) -> Duration | None:
    """When the last of the open conditions will hold; None if nothing is open or one cannot be told."""
    unmet = [condition for condition in conditions if condition.standing is not Standing.MET]
    etas = [condition.eta for condition in unmet if condition.eta is not None]
    return max(etas) if etas and len(etas) == len(unmet) else None


def _length(evidence: Evidence, targets: GateTargets) -> Condition:
    """The trial has lasted a whole period, on each day of which both monitors acted for somebody."""
    days = evidence.days_acted
    idle = [
        number
        for number, both in enumerate(days, 1)
        if not both and min(number * DAY, targets.period) <= evidence.span
    ]
    missing: str | None = None
    eta: Duration | None = None
    if evidence.trial is None:
        missing = describe_no_trial(evidence.differing)
    elif not evidence.kinds:
        missing = "there were no connections"
    elif idle:
        missing = (
            f"on day {', '.join(map(str, idle))} of the trial not both monitors acted for somebody: "
            "another trial is needed"
        )
    elif evidence.span < targets.period:
        eta = targets.period - evidence.span
        missing = f"the trial has to last {format_days(eta)} longer"
    return _fact(
        "length",
        "Days of the trial's first period on which both monitors acted",
        sum(days),
        Standing.OPEN if missing else Standing.MET,
        missing,
        sense=Sense.AT_LEAST,
        target=-(-targets.period // DAY),
        eta=eta,
    )


def _record(evidence: Evidence) -> Condition:
    """The record is complete to within an hour of now."""
    until, process = evidence.complete_until, evidence.ends_first
    missing: str | None = None
    if evidence.unset_clock is not None:
        missing = describe_unset_clock(evidence.unset_clock)
    elif until is None:
        missing = "there is no record"
    elif until < evidence.now - COMPLETE_WITHIN:
        whose = "the record" if process is None else f"the record of the process {process!r}"
        why = "no process has written" if process is None else "what it found is not in the store"
        missing = f"{whose} ends at {format_utc(until)}: {why} since"
    return _fact(
        "record",
        "Age of the record, in seconds",
        None if until is None else seconds(max(0, evidence.now - until)),
        Standing.OPEN if missing else Standing.MET,
        missing,
        target=seconds(COMPLETE_WITHIN),
    )


def _brake(evidence: Evidence) -> Condition:
    by_itself = evidence.braked_by_itself
    standing, missing = Standing.MET, None
    if by_itself is not None:
        standing = Standing.FAILED
        missing = f"the brake engaged by itself at {format_utc(by_itself)}"
    elif evidence.brake is not None:
        standing, missing = Standing.OPEN, f"the brake is engaged: {evidence.brake}"
    return _fact(
        "brake",
        "Brake engaged, now or by itself in the trial",
        int(missing is not None),
        standing,
        missing,
        engaged=evidence.brake,
        by_itself_at=seconds_or_none(by_itself),
    )


def _failures(evidence: Evidence) -> Condition:
    failures, quarantines = evidence.failures, evidence.quarantines
    missing = None
    standing = Standing.MET if evidence.trial is not None else Standing.OPEN
    if failures or quarantines:
        standing = Standing.FAILED
        missing = f"the candidate failed {failures} times; quarantines: {quarantines}"
    return _fact(
        "failures",
        "Errors and quarantines of the candidate",
        failures + quarantines,
        standing,
        missing,
        failures=failures,
        quarantines=quarantines,
    )


def _expired(evidence: Evidence) -> Condition:
    rules = evidence.expired_rules
    return _fact(
        "expired_rules",
        "Rules of comparison.expected past their last day",
        len(rules),
        Standing.FAILED if rules else Standing.MET,
        f"renew or remove: {', '.join(rules)}" if rules else None,
        rules=list(rules),
    )


def _fact(
    name: str,
    title: str,
    figure: float | None,
    standing: Standing,
    missing: str | None,
    sense: Sense = Sense.AT_MOST,
    target: float = 0,
    eta: Duration | None = None,
    **inputs: object,
) -> Condition:
    return Condition(
        name=name,
        title=title,
        kind=None,
        standing=standing,
        scale=Scale.COUNT,
        sense=sense,
        target=target,
        bound=figure,
        figure=figure,
        missing=missing,
        eta=eta,
        inputs=inputs,
    )

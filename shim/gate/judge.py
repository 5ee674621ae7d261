"""May the control be retired? (R16: docs/design.md#r16)"""

from shim.gate import counted_conditions as counts
from shim.gate import tested_conditions as tested
from shim.gate.answer import Condition, GateAnswer, GateVerdict, Scale, Sense, Standing
from shim.gate.evidence import Evidence
from shim.gate.kind_gate import GateTargets, KindGate
from shim.model import Duration, seconds

_OF_EACH_KIND = (
    counts.acted,
    counts.users,
    counts.timeouts,
    counts.days,
    tested.agreement,
    counts.coverage,
    tested.returns,
    tested.proofs_of_life,
    counts.expected,
)


def judge(evidence: Evidence, targets: GateTargets) -> GateAnswer:
    """`ready` if every condition holds, `not_ready` if one has failed, else `insufficient`.

    No data is never success: without a period, or any kind of connection in it, the answer is
    `insufficient`.
    """
    conditions = [_period(evidence), _failures(evidence), _expired(evidence)]
    for kind in evidence.kinds:
        case = KindGate(kind, targets, evidence.span)
        conditions.extend(condition(case) for condition in _OF_EACH_KIND)
    return GateAnswer(
        _verdict(conditions),
        tuple(conditions),
        _eta(conditions),
        {
            "now": seconds(evidence.now),
            "period_start": _seconds(evidence.period_start),
            "period_end": _seconds(evidence.period_end),
            "epoch_start": _seconds(evidence.epoch_start),
            "kinds": [kind.kind for kind in evidence.kinds],
        },
    )


def _verdict(conditions: list[Condition]) -> GateVerdict:
    standings = {condition.standing for condition in conditions}
    if Standing.FAILED in standings:
        return GateVerdict.NOT_READY
    return GateVerdict.INSUFFICIENT if Standing.OPEN in standings else GateVerdict.READY


def _eta(conditions: list[Condition]) -> Duration | None:
    """When the last of the open conditions will hold; None if nothing is open or one cannot be told."""
    unmet = [condition for condition in conditions if condition.standing is not Standing.MET]
    etas = [condition.eta for condition in unmet if condition.eta is not None]
    return max(etas) if etas and len(etas) == len(unmet) else None


def _period(evidence: Evidence) -> Condition:
    missing = None
    if evidence.period_end is None:
        missing = "control and candidate never acted for users at the same time"
    elif not evidence.kinds:
        missing = "there were no connections"
    return _fact(
        "period",
        "Kinds of connection while both monitors acted",
        len(evidence.kinds),
        Standing.OPEN if missing else Standing.MET,
        missing,
        Sense.AT_LEAST,
        target=1,
    )


def _failures(evidence: Evidence) -> Condition:
    failures, quarantines = evidence.failures, evidence.quarantines
    missing = None
    standing = Standing.MET if evidence.period_end is not None else Standing.OPEN
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
        "Expected rules past their last day",
        len(rules),
        Standing.FAILED if rules else Standing.MET,
        f"renew or remove: {', '.join(rules)}" if rules else None,
        rules=list(rules),
    )


def _fact(
    name: str,
    title: str,
    count: int,
    standing: Standing,
    missing: str | None,
    sense: Sense = Sense.AT_MOST,
    target: int = 0,
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
        bound=count,
        figure=count,
        missing=missing,
        inputs=inputs,
    )


def _seconds(time: int | None) -> float | None:
    return None if time is None else seconds(time)

"""What the ledger knows about the flags file that is in force, for the plan of promotion."""

from collections.abc import Iterable

from shim.gate.answer import Condition, GateAnswer, GateVerdict, Standing
from shim.gate.judge import judge_so_far
from shim.ledger.gate_evidence import gate_evidence
from shim.ledger.protocols import LedgerReader
from shim.ledger.rows import FlagsRow
from shim.model import Time
from shim.rollout.promotion_plan import Check, Facts
from shim.settings.settings import Settings

_WORST_FIRST = (Standing.FAILED, Standing.OPEN, Standing.MET)


def facts_from(reader: LedgerReader, settings: Settings, digest: str, now: Time) -> Facts:
    """Facts about the file of this digest; `now` is wall-clock microseconds.

    Raises InputError if there is no ledger.
    """
    active_since = in_force_since(reader.rows(FlagsRow), digest)
    # In a fleet the last order is in force, also before the processes have recorded that they follow.
    brake = next(iter(reader.orders(1)), None) or reader.brake()
    engaged = brake.reason if brake is not None and brake.engaged else None
    if active_since is None:
        return Facts(now, None, engaged, {})
    evidence = gate_evidence(reader, settings, now)
    answer = judge_so_far(evidence, settings.gate)
    return Facts(
        now,
        evidence.watched,
        engaged,
        findings_of(answer),
        ready=answer.verdict is GateVerdict.READY,
    )


def in_force_since(loads: Iterable[FlagsRow], digest: str) -> Time | None:
    """Since when this file is the one in force without a break; `loads` are the newest first."""
    since: Time | None = None
    for load in loads:
        if load.problem is not None:
            continue
        if load.digest != digest:
            break
        since = load.at
    return since


def findings_of(answer: GateAnswer) -> dict[str, Check]:
    """The gate's conditions by name: each is as good as for its worst kind of connection."""
    findings: dict[str, Check] = {}
    for condition in sorted(answer.conditions, key=lambda each: _WORST_FIRST.index(each.standing)):
        name, standing = condition.name, condition.standing
        findings.setdefault(name, Check(name, standing, _describe_condition(condition)))
    return findings


def _describe_condition(condition: Condition) -> str:
    kind = "" if condition.kind is None else f"{condition.kind}: "
    if condition.missing:
        return f"{kind}{condition.missing}"
    if condition.bound is None or condition.target is None:
        return f"{kind}{condition.title}"
    sense = condition.sense.replace("_", " ")
    return f"{kind}{condition.bound:.4g}, {sense} {condition.target:.4g}"

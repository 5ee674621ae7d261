"""The conditions about stretches of days: none of them refutes, and the last seven days do not fall short.

Without these two conditions a candidate that broke late, or decays slowly, would stay ready.

Rules: docs/design.md#r16.
"""

from collections.abc import Iterator, Sequence
from math import log

from shim.gate.answer import Condition, Scale, Sense, Standing
from shim.gate.kind_gate import E_VALUE, KindGate
from shim.gate.statistics import log_e_value_below, mean_share
from shim.gate.tested_conditions import (
    describe_counted,
    describe_groups,
    idle,
    large_groups,
    refutes_returns,
)
from shim.model import Role

_LISTED = 3
"""So many stretches are named; the inputs have all of them."""


def stretches(case: KindGate) -> Condition:
    """No stretch refutes agreement or returns: else a candidate that broke late would stay ready."""
    wrong = list(_refuted(case))
    return case.condition(
        "stretches",
        "Days and weeks that speak against the candidate",
        Standing.FAILED if wrong else Standing.MET,
        scale=Scale.COUNT,
        sense=Sense.AT_MOST,
        target=0,
        bound=len(wrong),
        figure=len(wrong),
        missing=_list_shortly(wrong) or None,
        inputs={"stretches": len(case.evidence.stretches), "refuted": wrong},
    )


def _list_shortly(stretches: Sequence[str]) -> str:
    """The first ones, and the number of the others."""
    text = "; ".join(stretches[:_LISTED])
    return f"{text}; and {left} more" if (left := len(stretches) - _LISTED) > 0 else text


def recent(case: KindGate) -> Condition:
    """In the last seven days the means of the users' last five must not fall short."""
    evidence, targets = case.evidence, case.targets
    short = []
    agreed = [
        mean for shares in evidence.recent_agreement if (mean := mean_share(shares)) is not None
    ]
    if agreed and min(agreed) < targets.min_agreement:
        short.append(f"agreement {min(agreed):.4g}")
    for name, arms in large_groups(evidence.recent_returns).items():
        if idle(arms):
            continue
        pairs = zip(arms[Role.CONTROL], arms[Role.CANDIDATE], strict=True)
        for control, candidate in pairs:
            by_control, by_candidate = mean_share(control), mean_share(candidate)
            # All rows of an arm may belong to a crowd that began on the day before.
            if by_control is None or by_candidate is None:
                continue
            if by_candidate < by_control - targets.return_margin:
                short.append(f"{name}: returns {by_candidate:.4g} against {by_control:.4g}")
                break
    return case.condition(
        "recent",
        "Agreement and returns in the last seven days",
        Standing.OPEN if short else Standing.MET,
        target=targets.min_agreement,
        bound=min(agreed, default=None),
        figure=agreed[0] if agreed else None,
        missing=f"they fall short: {'; '.join(short)}" if short else None,
        inputs={
            "agreement": describe_counted(evidence.recent_agreement),
            "returns": describe_groups(evidence.recent_returns),
        },
    )


def _refuted(case: KindGate) -> Iterator[str]:
    """The stretches that refute, in words; each is judged alone."""
    targets = case.targets
    large = set(large_groups(case.evidence.returns)) or {
        name for stretch in case.evidence.stretches for name in stretch.returns
    }
    for stretch in case.evidence.stretches:
        wanted = E_VALUE * stretch.ordinal
        if all(
            log_e_value_below(shares, targets.min_agreement) >= log(wanted)
            for shares in stretch.agreement
        ):
            yield f"{stretch.name}: agreement"
        for name, arms in stretch.returns.items():
            if name in large and refutes_returns(arms, 1 / wanted / 2, targets.return_margin):
                yield f"{stretch.name}: returns of {name}"

"""The conditions that a test decides: agreement, returns, proofs of life (R14 to R16).

Each holds if the test says so twice: on the period, as R16 asks, and on the whole epoch. Periods slide:
asked every hour they are many overlapping tests, each begun anew, and together they are wrong more often
than each of them (at the border, with 3 users an hour, in 13 % of months and 80 % of years); the epoch is
one test, never begun anew (4 %). Having *failed* is judged on
the period alone: what is wrong now must not hide behind a good past.

Rules: docs/design.md#r14, docs/design.md#r16.
"""

from collections.abc import Mapping
from math import exp, log
from typing import Any

from shim.gate.answer import Condition, Sense, Standing
from shim.gate.evidence import Sample, Shares
from shim.gate.kind_gate import E_VALUE, SEQUENCE_ALPHA, KindGate
from shim.gate.statistics import (
    certainly_lower,
    grown,
    log_e_value,
    log_e_value_below,
    lower_bound,
    mean_share,
    observations,
    upper_bound,
    wilson,
)
from shim.model import Role

_ENOUGH = log(E_VALUE)
_GREATEST_LOG = 690.0
"""Beyond this an e-value is no float."""


def agreement(case: KindGate) -> Condition:
    evidence, target = case.evidence, case.targets.min_agreement
    period, epoch = evidence.period.agreement, evidence.epoch.agreement
    logs = log_e_value(period, target), log_e_value(epoch, target)
    missing = eta = None
    if not observations(period):
        standing, missing = Standing.OPEN, "no user's observation is final yet"
    elif min(logs) >= _ENOUGH:
        standing = Standing.MET
    elif log_e_value_below(period, target) >= _ENOUGH:
        standing, missing = Standing.FAILED, f"users see less agreement than {target:.4g}"
    else:
        standing = Standing.OPEN
        missing, eta = case.until_holds(
            observations(period),
            "users",
            lambda factor: all(
                log_e_value(grown(shares, factor), target) >= _ENOUGH for shares in (period, epoch)
            ),
        )
    return case.condition(
        "agreement",
        "Agreement",
        standing,
        target=target,
        bound=min(lower_bound(shares, 1 / E_VALUE) for shares in (period, epoch)),
        figure=evidence.matched / evidence.timeouts if evidence.timeouts else None,
        interval=wilson(evidence.matched, evidence.timeouts),
        missing=missing,
        eta=eta,
        inputs={
            "matched": evidence.matched,
            "mismatched": evidence.mismatched,
            "min_e_value": E_VALUE,
            "period": {"e_value": exp(min(logs[0], _GREATEST_LOG)), **_described(period)},
            "epoch": {"e_value": exp(min(logs[1], _GREATEST_LOG)), **_described(epoch)},
        },
    )


def returns(case: KindGate) -> Condition:
    """The bound is the candidate's lower sequence, the target the control's upper less the margin."""
    evidence, margin = case.evidence, case.targets.return_margin
    samples = evidence.period, evidence.epoch
    control, candidate = _arms(evidence.period.returns)
    bound, target = _weakest(samples, margin)
    missing = eta = None
    if idle := _idle(control, candidate):
        standing, missing = Standing.OPEN, f"no outcomes of the {idle}'s closings"
    elif _no_fewer(samples, margin):
        standing = Standing.MET
    elif certainly_lower(candidate, control, SEQUENCE_ALPHA, margin):
        standing = Standing.FAILED
        missing = f"fewer clients come back from the candidate's closing, by more than {margin:.4g}"
    else:
        standing = Standing.OPEN
        missing, eta = case.until_holds(
            min(observations(control), observations(candidate)),
            "users of either monitor",
            lambda factor: _no_fewer(samples, margin, factor),
        )
    return case.condition(
        "returns",
        "Clients that come back after a timeout",
        standing,
        target=target,
        bound=bound,
        figure=mean_share(candidate),
        interval=_interval(candidate),
        missing=missing,
        eta=eta,
        inputs={
            "return_margin": margin,
            "outcomes": {
                str(role): {str(result): count for result, count in results.items()}
                for role, results in evidence.outcomes.items()
            },
            "period": _sequences(evidence.period.returns),
            "epoch": _sequences(evidence.epoch.returns),
        },
    )


def proofs_of_life(case: KindGate) -> Condition:
    """Met if the candidate's figure is one that the control's true one may have, or less."""
    evidence = case.evidence
    control, candidate = _arms(evidence.period.proofs)
    tops, figures = [], []
    for sample in (evidence.period, evidence.epoch):
        by_control, by_candidate = _arms(sample.proofs)
        tops.append(upper_bound(by_control, SEQUENCE_ALPHA))
        figures.append(mean_share(by_candidate) or 0.0)
    missing = None
    if idle := _idle(control, candidate):
        standing, missing = Standing.OPEN, f"no timeouts acted on by the {idle}"
    elif all(figure <= top for figure, top in zip(figures, tops, strict=True)):
        standing = Standing.MET
    elif certainly_lower(control, candidate, SEQUENCE_ALPHA):
        standing = Standing.FAILED
        missing = "the candidate closes live connections more often than the control"
    else:
        standing = Standing.OPEN
        missing = "more than the control's, as far as that is known; more data will tell"
    return case.condition(
        "proofs_of_life",
        "Timeouts that closed a live connection",
        standing,
        sense=Sense.AT_MOST,
        target=min(tops),
        bound=max(figures) if observations(candidate) else None,
        figure=mean_share(candidate),
        interval=_interval(candidate),
        missing=missing,
        inputs={
            "proofs": {str(role): count for role, count in evidence.proofs.items()},
            "period": _sequences(evidence.period.proofs),
            "epoch": _sequences(evidence.epoch.proofs),
        },
    )


def _no_fewer(samples: tuple[Sample, ...], margin: float, factor: float = 1.0) -> bool:
    """Whether on every sample the candidate's lower sequence is not below the control's upper - margin."""
    for sample in samples:
        control, candidate = (grown(shares, factor) for shares in _arms(sample.returns))
        if not certainly_lower(control, candidate, SEQUENCE_ALPHA, -margin):
            return False
    return True


def _weakest(samples: tuple[Sample, ...], margin: float) -> tuple[float, float]:
    """The candidate's lower sequence and what it has to reach, of the sample that shows least."""
    pairs = []
    for sample in samples:
        control, candidate = _arms(sample.returns)
        low = lower_bound(candidate, SEQUENCE_ALPHA)
        pairs.append((low, upper_bound(control, SEQUENCE_ALPHA) - margin))
    return min(pairs, key=lambda pair: pair[0] - pair[1])


def _arms(shares: Mapping[Role, Shares]) -> tuple[Shares, Shares]:
    return shares.get(Role.CONTROL, {}), shares.get(Role.CANDIDATE, {})


def _idle(control: Shares, candidate: Shares) -> str:
    """Who has no observations."""
    arms = ((Role.CONTROL, control), (Role.CANDIDATE, candidate))
    return " and the ".join(str(role) for role, shares in arms if not observations(shares))


def _interval(shares: Shares) -> tuple[float, float] | None:
    count = observations(shares)
    return wilson((mean_share(shares) or 0.0) * count, count)


def _sequences(shares: Mapping[Role, Shares]) -> dict[str, Any]:
    return {
        str(role): {
            **_described(arm),
            "lower": lower_bound(arm, SEQUENCE_ALPHA),
            "upper": upper_bound(arm, SEQUENCE_ALPHA),
        }
        for role, arm in shares.items()
    }


def _described(shares: Shares) -> dict[str, Any]:
    """The observations themselves: `[successes, trials, how many]`, and what they say plainly."""
    return {
        "observations": observations(shares),
        "mean": mean_share(shares),
        "interval": _interval(shares),
        "shares": [[*share, count] for share, count in sorted(shares.items())],
    }

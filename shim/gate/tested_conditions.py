"""The conditions that a test decides: agreement, returns, proofs of life (R14 to R16).

There is one capital per question, begun with the trial. What must be shown must be shown with crowds as
single events *and* plainly; what is refuted is refuted in both ways of counting. Before the first
`gate.period` has passed nothing is final, so nothing is shown or refuted.

Rules: docs/design.md#r14, docs/design.md#r16.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from shim.gate.answer import Condition, Sense, Standing
from shim.gate.evidence import NOTHING, ByArm
from shim.gate.kind_gate import KindGate, grown_both
from shim.gate.statistics import (
    Counted,
    Shares,
    certainly_lower,
    finite_e_value,
    join_shares,
    log_e_value,
    log_e_value_below,
    lower_bound,
    mean_share,
    observations,
    upper_bound,
    wilson,
)
from shim.model import Duration, Role

GROUP_SHARE = 0.25
"""A group with fewer of the compared users is too small to be asked for itself."""


def agreement(case: KindGate) -> Condition:
    """The e-value of "agreement is at most `min_agreement`"."""
    evidence, target = case.evidence, case.targets.min_agreement
    counted = evidence.agreement
    standing, missing, eta = _decide(
        case,
        observations(counted.plain),
        "users",
        shown=partial(_suffices, case, log_e_value, target, counted),
        likely=partial(_suffices, case, log_e_value, target, evidence.so_far.agreement),
        refuted=_suffices(case, log_e_value_below, target, counted),
        against=f"users see less agreement than {target:.4g}",
        nothing="no user's observation is final yet",
    )
    return case.condition(
        "agreement",
        "Agreement",
        standing,
        target=target,
        bound=min(lower_bound(shares, 1 / case.wanted) for shares in counted)
        if observations(counted.plain)
        else None,
        figure=evidence.matched / evidence.timeouts if evidence.timeouts else None,
        interval=wilson(evidence.matched, evidence.timeouts),
        missing=missing,
        eta=eta,
        inputs={
            "matched": evidence.matched,
            "mismatched": evidence.mismatched,
            "improvements": evidence.improvements,
            "min_e_value": case.wanted,
            "crowds": evidence.crowds,
            **describe_counted(
                counted,
                lambda shares: {
                    "e_value": finite_e_value(log_e_value(shares, target)),
                    **describe_shares(shares),
                },
            ),
        },
    )


def returns(case: KindGate) -> Condition:
    """The candidate's lower sequence against the control's upper one less the margin, in each group."""
    evidence, margin = case.evidence, case.targets.return_margin
    large = large_groups(evidence.returns)
    complete = bool(large) and not any(idle(arms) for arms in large.values())
    so_far = large_groups(evidence.so_far.returns)
    standing, missing, eta = _decide(
        case,
        _fewest(large) if complete else 0,
        "users of either monitor",
        shown=partial(_no_fewer, case, large, margin),
        likely=lambda factor: (
            bool(so_far)
            and not any(idle(arms) for arms in so_far.values())
            and _no_fewer(case, so_far, margin, factor)
        ),
        refuted=any(
            refutes_returns(arms, case.alpha, margin) for arms in evidence.returns.values()
        ),
        against=f"fewer clients come back from the candidate's closing, by more than {margin:.4g}",
        nothing=_missing_arms(large),
    )
    bound = target = figure = interval = None
    if complete:
        bound, target = _weakest(case, large, margin)
        candidate = join_shares(*(arms[Role.CANDIDATE].plain for arms in large.values()))
        figure, interval = mean_share(candidate), _interval(candidate)
    return case.condition(
        "returns",
        "Clients that come back after a timeout",
        standing,
        target=target,
        bound=bound,
        figure=figure,
        interval=interval,
        missing=missing,
        eta=eta,
        inputs={
            "return_margin": margin,
            "min_e_value": case.wanted,
            "outcomes": {
                str(role): {str(result): count for result, count in results.items()}
                for role, results in evidence.outcomes.items()
            },
            "groups": describe_groups(
                evidence.returns,
                lambda shares: {
                    **describe_shares(shares),
                    "lower": lower_bound(shares, case.alpha),
                    "upper": upper_bound(shares, case.alpha),
                },
            ),
        },
    )


def proofs_of_life(case: KindGate) -> Condition:
    """The e-value of "the share of users with a proof of life is at least `max_proofs`"."""
    evidence, limit = case.evidence, case.targets.max_proofs
    counted = evidence.proofs
    standing, missing, eta = _decide(
        case,
        observations(counted.plain),
        "users on whom the candidate acts",
        shown=partial(_suffices, case, log_e_value_below, limit, counted),
        likely=partial(_suffices, case, log_e_value_below, limit, evidence.so_far.proofs),
        refuted=_suffices(case, log_e_value, limit, counted),
        against=f"the candidate closes live connections of more than {limit:.4g} of its users",
        nothing="no final observation of a timeout acted on by the candidate",
    )
    return case.condition(
        "proofs_of_life",
        "Users of whom the candidate closed a live connection",
        standing,
        sense=Sense.AT_MOST,
        target=limit,
        bound=max(upper_bound(shares, 1 / case.wanted) for shares in counted)
        if observations(counted.plain)
        else None,
        figure=mean_share(counted.plain),
        interval=_interval(counted.plain),
        missing=missing,
        eta=eta,
        inputs={
            "proofs": {str(role): count for role, count in evidence.proofs_of_life.items()},
            "min_e_value": case.wanted,
            **describe_counted(counted),
        },
    )


def _suffices(
    case: KindGate,
    log_evidence: Callable[[Shares, float], float],
    target: float,
    sample: Counted,
    factor: float = 1.0,
) -> bool:
    """Whether the evidence about a mean would be enough, in both ways, on so many times the sample."""
    grown = grown_both(sample, factor)
    return all(log_evidence(shares, target) >= case.log_wanted for shares in grown)


def _decide(
    case: KindGate,
    have: float,
    what: str,
    *,
    shown: Callable[[float], bool],
    likely: Callable[[float], bool],
    refuted: bool,
    against: str,
    nothing: str,
) -> tuple[Standing, str | None, Duration | None]:
    """How a test stands, what is missing in words, and how long that takes to come.

    `have` are the final observations, of `what`; `shown` and `likely` say whether the test would pass on so
    many times the final observations, or the ones so far.
    """
    if not have:
        return Standing.OPEN, nothing, case.until_final(likely)
    if refuted:
        return Standing.FAILED, against, None
    if shown(1.0):
        return Standing.MET, None, None
    return Standing.OPEN, *case.until_holds(have, what, shown)


def large_groups(groups: Mapping[str, ByArm]) -> dict[str, ByArm]:
    """The groups that hold at least a quarter of the compared users."""
    sizes = {name: _size(arms) for name, arms in groups.items()}
    total = sum(sizes.values())
    return {
        name: arms
        for name, arms in groups.items()
        if sizes[name] and sizes[name] >= GROUP_SHARE * total
    }


def refutes_returns(arms: ByArm, alpha: float, margin: float) -> bool:
    """Whether the candidate's return rate is certainly lower by more than `margin`, in both ways."""
    control, candidate = arms.get(Role.CONTROL, NOTHING), arms.get(Role.CANDIDATE, NOTHING)
    return all(
        certainly_lower(lesser, greater, alpha, margin)
        for lesser, greater in zip(candidate, control, strict=True)
    )


def idle(arms: ByArm) -> str:
    """The monitors without observations."""
    return " and the ".join(
        str(role) for role in Role if not observations(arms.get(role, NOTHING).plain)
    )


def _no_fewer(case: KindGate, groups: Mapping[str, ByArm], margin: float, factor: float) -> bool:
    """Whether in each group, both ways, the lower sequence is not below the upper one less the margin."""
    return all(
        certainly_lower(control, candidate, case.alpha, -margin)
        for arms in groups.values()
        for control, candidate in zip(
            grown_both(arms[Role.CONTROL], factor),
            grown_both(arms[Role.CANDIDATE], factor),
            strict=True,
        )
    )


def _weakest(case: KindGate, groups: Mapping[str, ByArm], margin: float) -> tuple[float, float]:
    """The candidate's lower sequence and what it has to reach, where least is shown."""
    pairs = [
        (lower_bound(candidate, case.alpha), upper_bound(control, case.alpha) - margin)
        for arms in groups.values()
        for control, candidate in zip(arms[Role.CONTROL], arms[Role.CANDIDATE], strict=True)
    ]
    return min(pairs, key=lambda pair: pair[0] - pair[1])


def _fewest(groups: Mapping[str, ByArm]) -> float:
    """The observations of the smallest arm."""
    return min(observations(arms[role].plain) for arms in groups.values() for role in Role)


def _missing_arms(groups: Mapping[str, ByArm]) -> str:
    without = {name: idle(arms) for name, arms in groups.items() if idle(arms)}
    if not without:
        return "no final outcomes of closings yet"
    return "; ".join(
        f"{name}: no outcomes of the {who}'s closings" for name, who in without.items()
    )


def _size(arms: ByArm) -> float:
    return sum(observations(counted.plain) for counted in arms.values())


def describe_shares(shares: Shares) -> dict[str, Any]:
    """The observations themselves: `[successes, trials, how many]`, and what they say plainly."""
    return {
        "observations": observations(shares),
        "mean": mean_share(shares),
        "interval": _interval(shares),
        "shares": [[*share, count] for share, count in sorted(shares.items())],
    }


def describe_counted(
    counted: Counted, describe: Callable[[Shares], dict[str, Any]] = describe_shares
) -> dict[str, Any]:
    """The observations in each way of counting."""
    return {way: describe(shares) for way, shares in zip(Counted._fields, counted, strict=True)}


def describe_groups(
    groups: Mapping[str, ByArm], describe: Callable[[Shares], dict[str, Any]] = describe_shares
) -> dict[str, Any]:
    """The observations of each arm in each group."""
    return {
        name: {str(role): describe_counted(counted, describe) for role, counted in arms.items()}
        for name, arms in groups.items()
    }


def _interval(shares: Shares) -> tuple[float, float] | None:
    count = observations(shares)
    return wilson((mean_share(shares) or 0.0) * count, count)

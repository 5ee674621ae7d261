"""What is certain of a mean, however often people look: e-processes and confidence sequences.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", J. R. Stat.
Soc. B 86(1), 2023, sections 4 and 5. Let observations x in [0, 1] come one by one, each with a mean of
at most m given those before. Whoever starts with a capital of 1 and bets the fraction f of what may be bet on
"x > m" multiplies it by

    1 + f (x / m - 1),    0 <= f < 1,

which on average gains nothing. So is the mean of several such capitals (the mixture), and by Ville's
inequality it *ever* reaches 1/alpha with a probability of at most alpha: looking at it every hour, or
after every observation, costs nothing. The product does not depend on the order of the observations.

The capital falls as m grows, so the means that it does not refute at 1/alpha are an interval: a one-sided
confidence sequence. Upper bounds are lower bounds of 1 - x.

Sums are exactly rounded (`fsum`), so that an answer does not depend on the order of the observations.
"""

from collections.abc import Mapping, Sequence
from math import exp, fsum, log, log1p, sqrt
from typing import NamedTuple, TypeAlias

Share: TypeAlias = tuple[int, int]
"""Successes and rows."""

Shares: TypeAlias = Mapping[Share, float]
"""Observations between 0 and 1: how many there are of each `(successes, trials)`, with trials >= 1.

`{(5, 5): 310, (4, 5): 2}`: 310 users with five of five, two with four of five. The tests of the gate do
not depend on the order, so nothing more has to be kept. (Counts are whole but where data is projected.)
"""


class Counted(NamedTuple):
    """The same observations in both ways of counting."""

    plain: Shares
    crowded: Shares


_BETS = (0.98, 0.9, 0.75, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015, 0.0075)
"""The fractions bet. Near 1 for observations that are all alike (at a target of 0.99 perfect agreement
needs 370 users), small ones for bounds close to the mean of tens of thousands."""

_LOG_WEIGHTS = (log(0.4), *(log(0.6 / 9),) * 9)

_PRECISION = 1e-12
"""Of a bound."""

_GREATEST_LOG = 690.0
"""Beyond this an e-value is no float."""


def finite_e_value(logarithm: float) -> float:
    """The e-value that has this logarithm; about 1e299 for all greater ones."""
    return exp(min(logarithm, _GREATEST_LOG))


def log_e_value(shares: Shares, mean: float) -> float:
    """The logarithm of the evidence against "the mean is at most `mean`"; 0 without observations."""
    logs = _logs([(s / t / mean - 1, count) for (s, t), count in shares.items()])
    greatest = max(logs)
    return greatest + log(sum(exp(value - greatest) for value in logs))


def _logs(gains: Sequence[tuple[float, float]]) -> list[float]:
    """The logarithm of each bet's capital; of each gain, how often."""
    return [
        log_weight + fsum([count * log1p(bet * gain) for gain, count in gains])
        for bet, log_weight in zip(_BETS, _LOG_WEIGHTS, strict=True)
    ]


def log_e_value_below(shares: Shares, mean: float) -> float:
    """The logarithm of the evidence against "the mean is at least `mean`"."""
    return log_e_value(_failures(shares), 1 - mean)


def lower_bound(shares: Shares, alpha: float) -> float:
    """The mean is above this, ever wrong with a probability of at most `alpha`; 0 without evidence."""
    wanted, mean = -log(alpha), mean_share(shares) or 0.0
    # The evidence falls with the mean and is convex, so the zero of a tangent lies below the bound:
    # Newton's steps come from below, and each of them is a bound itself.
    low = 0.0
    while low <= 0:
        if mean < _PRECISION:
            return 0.0
        low = _newton(shares, mean, wanted)
        mean /= 2
    while (step := _newton(shares, low, wanted)) - low > _PRECISION:
        low = step
    return low


def _newton(shares: Shares, mean: float, wanted: float) -> float:
    """The mean at which the tangent of the evidence at `mean` has the value `wanted`."""
    gains = [(s / t / mean - 1, count) for (s, t), count in shares.items()]
    logs = _logs(gains)
    greatest = max(logs)
    weights = [exp(value - greatest) for value in logs]
    slope = sum(
        weight * fsum([count * bet * (1 + gain) / (1 + bet * gain) for gain, count in gains])
        for bet, weight in zip(_BETS, weights, strict=True)
        if weight
    )
    total = sum(weights)
    return mean * (1 + (greatest + log(total) - wanted) * total / slope)


def upper_bound(shares: Shares, alpha: float) -> float:
    """The mean is below this, ever wrong with a probability of at most `alpha`; 1 without evidence."""
    return 1 - lower_bound(_failures(shares), alpha)


def certainly_lower(lesser: Shares, greater: Shares, alpha: float, margin: float = 0.0) -> bool:
    """Whether the upper bound of one mean is below the lower bound of another, less `margin`.

    A negative margin asks whether `lesser` is certainly not greater by as much. False without evidence.
    """
    lesser_mean, greater_mean = mean_share(lesser), mean_share(greater)
    if lesser_mean is None or greater_mean is None or lesser_mean >= greater_mean - margin:
        return False
    wanted = -log(alpha)
    # One value that neither sequence refutes is quickly tried, and settles most cases.
    middle = (lesser_mean + greater_mean - margin) / 2
    if middle < 1 and middle + margin > 0:
        above = log_e_value_below(lesser, middle) < wanted
        if above and log_e_value(greater, middle + margin) < wanted:
            return False
    limit = lower_bound(greater, alpha) - margin
    return limit >= 1 or log_e_value_below(lesser, limit) >= wanted


def observations(shares: Shares) -> float:
    """How many observations there are."""
    return sum(shares.values())


def join_shares(*parts: Shares) -> Shares:
    """The observations of all parts together."""
    shares: dict[Share, float] = {}
    for part in parts:
        for share, count in part.items():
            shares[share] = shares.get(share, 0) + count
    return shares


def grown(shares: Shares, factor: float) -> Shares:
    """As many observations again and again: what is to be expected of more data of the same make."""
    return {share: count * factor for share, count in shares.items()}


def mean_share(shares: Shares) -> float | None:
    """The mean of the observations, each of the same weight; None if there are none."""
    count = observations(shares)
    if not count:
        return None
    return fsum(s / t * number for (s, t), number in shares.items()) / count


def wilson(successes: float, trials: float, z: float = 1.959964) -> tuple[float, float] | None:
    """Wilson's interval of a proportion (95 %), for one look at independent trials; None without any.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    if not trials:
        return None
    share = successes / trials
    spread = z * sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    middle, scale = share + z * z / (2 * trials), 1 + z * z / trials
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def _failures(shares: Shares) -> Shares:
    return {(t - s, t): count for (s, t), count in shares.items()}

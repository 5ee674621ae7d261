"""Is the comparison itself sound? Sample ratio and crossovers (R16: docs/design.md#r16).

The users seen in the two arms must stand to each other as the widths of the flags file say. If they do
not, an arm loses registrations, two processes have different flags files, or the buckets are not
uniform, and no figure of the arms may be believed.

Source: Lindon and Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022: the
evidence against the shares p, with a Dirichlet prior around p, is

    E = D(a p + n) / D(a p) / prod p_i^n_i        D: the Dirichlet normalizer

Several strengths a of the prior are mixed, which again is an e-value: strong ones find small deviations
of many users, weak ones large deviations of few.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, lgamma, log

from shim.model import Role

UNSOUND = 1000.0
"""An e-value of this size says that the sample ratio is off."""

_STRENGTHS = (10.0, 100.0, 1000.0, 10_000.0)


@dataclass(frozen=True, slots=True)
class ArmUsers:
    """The users whom the same percentages placed, in one group.

    Attributes:
        seen: users with outcomes in one arm alone.
        crossed: users with outcomes in both arms; they are left out of the test.
        expected: the shares that the widths give to the arms; they add up to 1.
    """

    seen: Mapping[Role, int]
    crossed: int
    expected: Mapping[Role, float]

    @property
    def log_e_value(self) -> float:
        """The logarithm of the evidence against the widths; 0 without users."""
        return log_multinomial_e_value(
            [self.seen.get(role, 0) for role in Role],
            [self.expected.get(role, 0.0) for role in Role],
        )

    @property
    def is_off(self) -> bool:
        return self.log_e_value >= log(UNSOUND)


def log_multinomial_e_value(counts: Sequence[int], shares: Sequence[float]) -> float:
    """The logarithm of the evidence against "each observation falls into part i with share i"."""
    if any(count and not share for count, share in zip(counts, shares, strict=True)):
        return inf
    parts = [(count, share) for count, share in zip(counts, shares, strict=True) if share]
    total = sum(count for count, _ in parts)
    logs = [
        lgamma(strength)
        - lgamma(strength + total)
        + sum(
            lgamma(strength * share + count) - lgamma(strength * share) - count * log(share)
            for count, share in parts
        )
        for strength in _STRENGTHS
    ]
    greatest = max(logs)
    return greatest + log(sum(exp(value - greatest) for value in logs) / len(logs))

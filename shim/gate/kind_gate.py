"""What is asked of one kind of connection, and how long more data would take to come.

Rules: docs/design.md#r16.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log
from typing import Any, Protocol

from shim.gate.answer import Condition, Standing
from shim.gate.evidence import KindEvidence
from shim.gate.statistics import Counted, grown
from shim.model import Duration
from shim.model.time import DAY

E_VALUE = 20.0
"""R16's evidence: without truth behind it, it is ever reached with a probability of at most 5 %."""

_MOST_GROWTH = 1024.0
_REFINEMENTS = 10


class GateTargets(Protocol):
    """What the gate asks for; the `gate` section of the settings is one."""

    @property
    def period(self) -> Duration: ...
    @property
    def unit(self) -> Duration: ...
    @property
    def grain(self) -> Duration: ...
    @property
    def min_timeouts(self) -> int: ...
    @property
    def min_users(self) -> int: ...
    @property
    def min_days(self) -> int: ...
    @property
    def min_agreement(self) -> float: ...
    @property
    def return_margin(self) -> float: ...
    @property
    def max_proofs(self) -> float: ...
    @property
    def max_expected(self) -> float: ...


def wanted_e_value(attempt: int) -> float:
    """What the k-th trial needs: 20 k (k + 1), so that all trials together are wrong in 5 %."""
    return E_VALUE * attempt * (attempt + 1)


@dataclass(frozen=True, slots=True)
class KindGate:
    """One kind of connection before the gate.

    Attributes:
        span: how long its evidence took to come, in microseconds.
        attempt: which attempt the trial is, from 1.
        braked: whether the brake is engaged, so that users are not where the widths place them.
    """

    evidence: KindEvidence
    targets: GateTargets
    span: Duration
    attempt: int = 1
    braked: bool = False

    @property
    def wanted(self) -> float:
        """The e-value that shows or refutes something in this trial."""
        return wanted_e_value(self.attempt)

    @property
    def log_wanted(self) -> float:
        return log(self.wanted)

    @property
    def alpha(self) -> float:
        """For each of two sequences that are compared."""
        return 1 / self.wanted / 2

    def condition(self, name: str, title: str, standing: Standing, **numbers: Any) -> Condition:
        return Condition(name, title, self.evidence.kind, standing, **numbers)

    def until(self, have: float, wanted: float) -> Duration | None:
        """How long it takes until so many things have come that come all the time, like timeouts."""
        return round(self.span * (wanted / have - 1)) if have else None

    @property
    def first_period_left(self) -> Duration:
        """How long it takes until the observations of the first period are final."""
        return max(0, self.targets.period - self.span)

    def until_final(self, holds: Callable[[float], bool]) -> Duration | None:
        """When the first period ends, if that will do; None: it will not, or the period is over.

        `holds(factor)`: whether a test would pass on so many times the users seen so far. No more than so
        many times as many come, as the period is longer than what has passed of it.
        """
        left = self.first_period_left
        return left if left and self.span and holds(self.targets.period / self.span) else None

    def until_holds(
        self, have: float, what: str, holds: Callable[[float], bool]
    ) -> tuple[str, Duration | None]:
        """What is missing, in words, and how long that takes, for a test that is not decided yet.

        `holds(factor)`: whether the test would pass on so many times the data, of the same make.
        """
        factor = _growth(holds)
        if factor is None:
            return "more data of the same kind would not do: the figure is too close", None
        missing = f"about {ceil(have * (factor - 1))} more {what}"
        if not self.first_period_left and not self.evidence.later_users:
            return f"{missing}; no new ones occur in this trial any more", None
        return missing, self.until_users(factor)

    def until_users(self, factor: float) -> Duration | None:
        """How long it takes until there are so many times the users; None: that cannot be told.

        In the first period users who have not been seen yet occur. After it only new users count, and how
        often they occur has been seen since.
        """
        if left := self.first_period_left:
            return left if self.span * factor <= self.targets.period else None
        evidence = self.evidence
        users, later = evidence.users + evidence.unsettled_users, evidence.later_users
        since = self.span - self.targets.period
        return round(since * users * (factor - 1) / later) if later else None


def grown_both(counted: Counted, factor: float) -> Counted:
    """So many times the data of the same make."""
    return Counted(grown(counted.plain, factor), grown(counted.crowded, factor))


def format_days(duration: Duration) -> str:
    """A length of time in days, as people say it."""
    return f"{duration / DAY:.3g} d"


def _growth(holds: Callable[[float], bool]) -> float | None:
    """The smallest factor at which it holds, to a thousandth of its size; None: none in reach."""
    high = 2.0
    while not holds(high):
        high *= 2
        if high > _MOST_GROWTH:
            return None
    low = high / 2
    for _ in range(_REFINEMENTS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high

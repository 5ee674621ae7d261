"""What is asked of one kind of connection, and how long more data would take to come.

Rules: docs/design.md#r16.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any, Protocol

from shim.gate.answer import Condition, Scale, Sense, Standing
from shim.gate.evidence import KindEvidence
from shim.model import SECOND, Duration

E_VALUE = 20.0
"""R16's evidence: without truth behind it, it is ever reached with a probability of at most 5 %."""

SEQUENCE_ALPHA = 0.025
"""For each of two sequences that are compared; 5 % together."""

_DAY: Duration = 86_400 * SECOND
_MOST_GROWTH = 1024.0
_REFINEMENTS = 10


class GateTargets(Protocol):
    """What the gate asks for; the `gate` section of the settings is one."""

    @property
    def period(self) -> Duration: ...
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
    def max_expected(self) -> float: ...


@dataclass(frozen=True, slots=True)
class KindGate:
    """One kind of connection before the gate; `span` is how long its evidence took to come."""

    evidence: KindEvidence
    targets: GateTargets
    span: Duration

    def condition(
        self,
        name: str,
        title: str,
        standing: Standing,
        *,
        scale: Scale = Scale.SHARE,
        sense: Sense = Sense.AT_LEAST,
        **numbers: Any,
    ) -> Condition:
        return Condition(
            name=name,
            title=title,
            kind=self.evidence.kind,
            standing=standing,
            scale=scale,
            sense=sense,
            **numbers,
        )

    def until(self, have: float, wanted: float) -> Duration | None:
        """How long it takes at the present rate; None if it never comes, or a period is too short."""
        return self._wait(wanted / have) if have else None

    def until_holds(
        self, have: float, what: str, holds: Callable[[float], bool]
    ) -> tuple[str, Duration | None]:
        """What is missing, in words, and how long that takes, for a test that is not decided yet.

        `holds(factor)`: whether the test would pass on so many times the data, of the same make.
        """
        factor = _growth(holds)
        if factor is None:
            return "more data of the same kind would not do: the figure is too close", None
        more, wait = f"about {ceil(have * (factor - 1))} more {what}", self._wait(factor)
        if wait is None and self.span:
            more += f"; at the present rate {self.targets.period / _DAY:g} d do not hold so many"
        return more, wait

    def _wait(self, factor: float) -> Duration | None:
        if not self.span or self.span * factor > self.targets.period:
            return None
        return round(self.span * (factor - 1))


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

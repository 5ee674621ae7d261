"""What the gate answers, for the command line, the API and the dashboard alike.

Rules: docs/design.md#r16.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from shim.model import Duration, Kind
from shim.model.time import seconds_or_none


class Standing(StrEnum):
    """How one condition stands. `FAILED` is significantly so, or a fact; the rest is `OPEN`."""

    MET = "met"
    OPEN = "open"
    FAILED = "failed"


class GateVerdict(StrEnum):
    """The answer of the gate (R16); a condition that failed makes it `not_ready`."""

    READY = "ready"
    NOT_READY = "not_ready"
    INSUFFICIENT = "insufficient"


class Sense(StrEnum):
    """On which side of its target a bound has to be."""

    AT_LEAST = "at_least"
    AT_MOST = "at_most"


class Scale(StrEnum):
    """What a condition's numbers are: shares between 0 and 1, or counts."""

    SHARE = "share"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Condition:
    """One of the things that must hold, for one kind of connection (None: for all of them).

    `figure` is the plain figure, `interval` its 95 % Wilson interval where it is a proportion; `bound`
    is what has to be on the right side of `target`: the figure itself, or what is certain of it however
    often people look. None: there is nothing to compute it from. `missing` says in words what is not
    there yet or what is wrong, `eta` about how long the rest takes at the present rate (None: that
    cannot be said, or it never comes). `inputs` are the numbers that all this was computed from.
    """

    name: str
    title: str
    kind: Kind | None
    standing: Standing
    scale: Scale = Scale.SHARE
    sense: Sense = Sense.AT_LEAST
    target: float | None = None
    bound: float | None = None
    figure: float | None = None
    interval: tuple[float, float] | None = None
    missing: str | None = None
    eta: Duration | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; durations in seconds."""
        return asdict(self) | {"eta": seconds_or_none(self.eta)}


@dataclass(frozen=True, slots=True)
class GateAnswer:
    """May the control be retired?"""

    verdict: GateVerdict
    conditions: tuple[Condition, ...]
    eta: Duration | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unmet(self) -> tuple[Condition, ...]:
        """What stands between this answer and `ready`, the failed first."""
        return tuple(
            condition
            for standing in (Standing.FAILED, Standing.OPEN)
            for condition in self.conditions
            if condition.standing is standing
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON; durations in seconds."""
        return {
            "answer": self.verdict,
            "eta": seconds_or_none(self.eta),
            "inputs": dict(self.inputs),
            "conditions": [condition.as_dict() for condition in self.conditions],
        }

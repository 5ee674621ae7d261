"""Rules that explain mismatches, each with a reason and a last day (R13: docs/design.md#r13)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

from shim.model import Duration, Kind, Verdict, VerdictKind


@dataclass(frozen=True, slots=True)
class ExpectedRule:
    """Explains a mismatch for which every field that is not None holds.

    `skew` is an inclusive range of control minus candidate; it is never true of a verdict without
    skew. `package` is a glob; it is never true of a connection without package. `until` is the last
    day on which the rule holds, in UTC.
    """

    name: str
    reason: str
    until: date
    kind: VerdictKind | None = None
    recovered: bool | None = None
    connection_kind: Kind | None = None
    skew: tuple[Duration, Duration] | None = None
    package: str | None = None

    def explains(self, verdict: Verdict) -> bool:
        if self.kind is not None and verdict.kind is not self.kind:
            return False
        if self.recovered is not None and verdict.recovered is not self.recovered:
            return False
        connection = verdict.connection
        if self.connection_kind is not None and connection.kind is not self.connection_kind:
            return False
        if self.skew is not None:
            skew = verdict.skew
            if skew is None or not self.skew[0] <= skew <= self.skew[1]:
                return False
        if self.package is not None:
            return connection.package is not None and fnmatchcase(connection.package, self.package)
        return True


class ExpectedRules:
    """The rules of `comparison.expected` as they stand on one day."""

    def __init__(self, rules: Sequence[ExpectedRule] = (), today: date | None = None) -> None:
        self._rules = tuple(rules)
        self.today = today

    @property
    def today(self) -> date | None:
        """The day, in UTC, on which the rules are judged; None: none of them has expired."""
        return self._today

    @today.setter
    def today(self, today: date | None) -> None:
        self._today = today
        self._valid = tuple(rule for rule in self._rules if today is None or today <= rule.until)

    @property
    def expired(self) -> tuple[ExpectedRule, ...]:
        """The rules that match nothing any more; the caller reports them."""
        return tuple(rule for rule in self._rules if rule not in self._valid)

    def explanation(self, verdict: Verdict) -> str | None:
        """The name of the first rule that explains this mismatch."""
        return next((rule.name for rule in self._valid if rule.explains(verdict)), None)

"""A version of the flags in the store of a fleet, as readers of the store see it (R26).

Rules: docs/design.md#r26.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from shim.ledger.json_record import JsonRecord, Wall
from shim.model.ledger_url import LedgerUrl


class FlagsVersion(JsonRecord, frozen=True, kw_only=True):
    """One content of the flags.

    Attributes:
        id: the number of the version.
        digest: the SHA-256 of the text, in hex; `before` is that of the version before (None: the first).
        who: the user who brought it, `reason` why, `at` when, by the store's clock.
        text: the content of a flags file; empty where only the version was asked for.
    """

    id: int
    digest: str
    before: str | None
    who: str
    reason: str
    at: Wall
    text: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the text."""
        facts = super().as_dict()
        del facts["text"]
        return facts


def describe_missing_flags(store: LedgerUrl) -> str:
    """Say that this store has no version yet, and what helps."""
    return f"{store} has no flags yet: `shim flags push` brings a file there"


@dataclass(frozen=True, slots=True)
class FlagsInForce:
    """The version in force, and the number of the last order to the fleet's brake (None: there was none).

    A step of a plan is about both: it is taken only if both are still the same.
    """

    version: FlagsVersion
    order: int | None


@dataclass(frozen=True, slots=True)
class PushedFlags:
    """The version in force after a push, and whether that has the pushed content."""

    version: FlagsVersion
    in_force: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**self.version.as_dict(), "in_force": self.in_force}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Self:
        """What `as_dict` gave. Raises LookupError, msgspec.ValidationError."""
        return cls(FlagsVersion.from_dict(facts), facts["in_force"])

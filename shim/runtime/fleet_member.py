"""What a running shim knows of its membership in a fleet, without the library of the store.

Rules: docs/design.md#r25, docs/design.md#r27.
"""

from typing import Protocol


class SharedBrake(Protocol):
    """The brake of a fleet (docs/design.md#r25)."""

    async def release(self, reason: str) -> None:
        """Release it for every process. Raises InputError if that cannot be done."""


class FleetMember(Protocol):
    """The membership of this process in its fleet."""

    @property
    def brake(self) -> SharedBrake | None:
        """None: without a control there is no brake."""

    @property
    def leads(self) -> bool:
        """Whether this process judges the brake for all processes at present."""

    @property
    def problem(self) -> str | None:
        """Why the fleet cannot be reached; None: it can."""

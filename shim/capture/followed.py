"""The captured connections, in the order of their last signs of life.

In this order the oldest is known at once, and the next file opens the connections again without sorting
them, however many there are (`Reopenings`).

Rules: docs/design.md#r3b.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from shim.capture.format import OpenLine
from shim.model import Closing, Time

_DATA = 1000
"""The most pieces of evidence besides signs of life that are remembered for one connection."""


@dataclass(slots=True, eq=False)
class Followed:
    """A connection: what its first line says, and what the next file has to know of it."""

    facts: OpenLine
    last_seen: Time
    order: int
    """By the opening."""
    file: int
    """The number of the last file in which it was opened, or opened again."""
    data: tuple[Time, ...] = ()
    """The times of what was evidence of life since `last_seen`, and maybe some from before it."""
    stage: str | None = None
    """The stage it was given since its last line."""
    judged: Time | None = None
    """The silence that had the last verdict."""
    ended: bool = False
    """Its close has been captured."""
    closing: Closing | None = None
    """That close, by a monitor, while the verdict is still to come."""
    earlier: Optional["Followed"] = None
    later: Optional["Followed"] = None
    """The neighbours by the last sign of life."""

    @property
    def over(self) -> bool:
        """Whether nothing is left to say about it in another file."""
        return self.ended and self.closing is None

    def add_data(self, at: Time) -> None:
        """Each counts: it may have come just in time to put off a decision (R3b)."""
        self.data = (*(earlier for earlier in self.data if earlier > self.last_seen), at)[-_DATA:]

    def news(self) -> str | None:
        """The changed stage, once."""
        stage, self.stage = self.stage, None
        return stage


class FollowedConnections:
    """All of them by their ids, and in the order of their last signs of life."""

    def __init__(self) -> None:
        self._by_id: dict[str, Followed] = {}
        self._newest: Followed | None = None
        self.oldest: Followed | None = None

    def __getitem__(self, connection_id: str) -> Followed:
        return self._by_id[connection_id]

    def get(self, connection_id: str) -> Followed | None:
        return self._by_id.get(connection_id)

    def __iter__(self) -> Iterator[Followed]:
        """The oldest first."""
        followed = self.oldest
        while followed is not None:
            yield followed
            followed = followed.later

    def add(self, followed: Followed) -> None:
        """Follow a connection; its opening is the latest sign of life of all."""
        self._by_id[followed.facts.connection] = followed
        self._append(followed)

    def remove(self, followed: Followed) -> None:
        del self._by_id[followed.facts.connection]
        self._unlink(followed)

    def seen(self, followed: Followed, at: Time) -> None:
        """A sign of life, which is the latest of all."""
        followed.last_seen = at
        if followed is not self._newest:
            self._unlink(followed)
            self._append(followed)

    def _append(self, followed: Followed) -> None:
        newest = followed.earlier = self._newest
        if newest is None:
            self.oldest = followed
        else:
            newest.later = followed
        self._newest = followed

    def _unlink(self, followed: Followed) -> None:
        earlier, later = followed.earlier, followed.later
        if earlier is None:
            self.oldest = later
        else:
            earlier.later = later
        if later is None:
            self._newest = earlier
        else:
            later.earlier = earlier
        followed.earlier = followed.later = None

"""The capture file: JSON Lines, a header, events in the order of time, an end.

The contract is docs/design.md#contract-capture. The types below declare the shape of a line; the replay
checks what lines mean together. A running shim writes the types that end in `Line`: they have further fields
about the origin of an event. Readers ignore those fields.

Rules: docs/design.md#r3, docs/design.md#r3b.
"""

from datetime import UTC, date, datetime
from typing import Any

import msgspec

from shim.model import Cause, Kind, Role

VERSION = 1


class Header(msgspec.Struct, omit_defaults=True):
    """The first line. `started` is the capture's start, ISO 8601 or seconds since 1970."""

    capture: int
    started: str | float | None = None
    settings: Any = None

    def day(self) -> date | None:
        """The day, in UTC, on which the capture started. Raises ValueError."""
        if self.started is None:
            return None
        if isinstance(self.started, str):
            moment = datetime.fromisoformat(self.started)
            return (moment.astimezone(UTC) if moment.tzinfo else moment).date()
        try:
            return datetime.fromtimestamp(self.started, UTC).date()
        except (OverflowError, OSError) as error:
            raise ValueError(f"no time: {self.started}") from error


class Line(msgspec.Struct, tag_field="event", omit_defaults=True, gc=False):
    """One event; `t` in seconds from the start of the capture."""

    t: float


class Open(Line, tag="open"):
    """A connection begins; its registration is a sign of life. `package` is for apps alone."""

    connection: str
    user: str
    session: str
    kind: Kind
    package: str | None = None
    instance: str | None = None


class Message(Line, tag="message"):
    """The client sent a message: a sign of life."""

    connection: str


class Pong(Line, tag="pong"):
    """The client answered a ping: a sign of life."""

    connection: str


class Data(Line, tag="data"):
    """The kernel received bytes: a sign of life for the candidate alone (R3b)."""

    connection: str


class CloseEvent(Line, tag="close"):
    """The connection ended, by `cause`; None: the cause is not known."""

    connection: str
    cause: Cause | None = None


class Stall(Line, tag="stall"):
    """The process did not run for `duration` seconds from `t` on (R3)."""

    duration: float


class End(Line, tag="end"):
    """The last line: nothing is known of the time after `t`."""


Event = Open | Message | Pong | Data | CloseEvent | Stall | End


class HeaderLine(Header):
    """`settings` is a digest. `began`: the seconds from the start of the capture to the start of this file.

    Lines before `began` give the state at the start of the file; the file before has them, too.
    """

    began: float = 0.0


class OpenLine(Open, tag="open"):
    """`acting`: the monitor that acts. `reopened`: the connection was open before the file began, and `t`
    is its last sign of life."""

    stage: str | None = None
    acting: Role | None = None
    reopened: bool = False


class MessageLine(Message, tag="message"):
    """`stage`: the new stage, if it changed since the connection's last line."""

    stage: str | None = None


class PongLine(Pong, tag="pong"):
    """`stage` as in `MessageLine`."""

    stage: str | None = None


class CloseLine(CloseEvent, tag="close"):
    """`stage` as in `MessageLine`."""

    stage: str | None = None

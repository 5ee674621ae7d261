"""The capture file: JSON Lines, a header, events in the order of time, an end (DESIGN section 8).

The shape of a line is declared by the types below; what lines mean together is checked by the replay.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from shim.model import Cause, InputError, Kind, Problem


class Line(msgspec.Struct, tag_field="event"):
    """One event; `t` in seconds from the start of the capture."""

    t: float


class Open(Line, tag="open"):
    connection: str
    user: str
    session: str
    kind: Kind
    package: str | None = None


class Message(Line, tag="message"):
    connection: str


class Pong(Line, tag="pong"):
    connection: str


class Data(Line, tag="data"):
    connection: str


class Close(Line, tag="close"):
    connection: str
    cause: Cause | None = None


class Stall(Line, tag="stall"):
    duration: float


class End(Line, tag="end"):
    pass


Event = Open | Message | Pong | Data | Close | Stall | End


class Header(msgspec.Struct):
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


class CaptureReader:
    """Reads one capture from an open binary file, line by line.

    `line` is the number of the line read last, from 1. Raises InputError with file and line.
    """

    def __init__(self, file: BinaryIO, name: str | Path) -> None:
        self._file = file
        self._name = str(name)
        self._decode = msgspec.json.Decoder(Event).decode
        self.line = 0
        self.bytes_read = 0
        self.started = self._read_header()

    def _read_header(self) -> date | None:
        text = self._file.readline()
        self.line = 1
        self.bytes_read = len(text)
        try:
            header = msgspec.json.decode(text, type=Header)
            if header.capture != 1:
                raise self.error(f"capture format {header.capture} is not known; 1 is", "capture")
            return header.day()
        except msgspec.MsgspecError as error:
            raise self.error(f'the first line must be {{"capture": 1}}: {error}') from None
        except UnicodeDecodeError:
            raise self.error('the first line must be {"capture": 1}; this is no UTF-8') from None
        except ValueError as error:
            raise self.error(str(error), "started") from None

    def __iter__(self) -> Iterator[Event]:
        decode = self._decode
        for text in self._file:
            self.line += 1
            self.bytes_read += len(text)
            try:
                yield decode(text)
            except msgspec.MsgspecError as error:
                if text.isspace():
                    continue
                hint = "" if text.endswith(b"\n") else " (is the file truncated?)"
                raise self.error(f"{error}{hint}") from None
            except UnicodeDecodeError as error:
                raise self.error(f"not UTF-8: {error.reason}") from None

    def error(self, reason: str, path: str | None = None) -> InputError:
        return InputError(Problem(reason, self._name, self.line, path=path))

"""Reads captures, line by line; the replay checks what lines mean together."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import BinaryIO

import msgspec

from shim.capture.format import VERSION, Event, Header
from shim.model import InputError, Problem
from shim.replay.replay_engine import CaptureError


class CaptureReader:
    """Reads one capture from an open binary file, line by line.

    `line` is the number of the last line that was read, from 1. Raises InputError with file and line.
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
        text = text.removeprefix(BOM_UTF8)
        try:
            header = msgspec.json.decode(text, type=Header)
            if header.capture != VERSION:
                raise self.error(
                    f"capture format {header.capture} is not known; {VERSION} is", "capture"
                )
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


@contextmanager
def open_capture(path: Path) -> Iterator[CaptureReader]:
    """The capture in this file, as long as the context lasts.

    Raises InputError if the file cannot be read, or if its events are impossible.
    """
    try:
        with path.open("rb") as file:
            reader = CaptureReader(file, path)
            try:
                yield reader
            except CaptureError as error:
                raise reader.error(error.reason, error.path) from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None

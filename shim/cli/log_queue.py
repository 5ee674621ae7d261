"""The log of `shim serve` on standard error: one line for each event, written in a thread of its own.

A log that nobody reads (a pipe whose reader hangs, a full disk) must not stop the service. So lines wait in a
queue, and what does not fit is dropped and counted.
"""

import io
import logging
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from shim.model.visible_text import USER_TAG, describe_free_text, show_invisible

_FORMAT = "%(asctime)s %(levelname)-8s %(message)s"
_CAPACITY = 4_000_000
"""Bytes that wait at most."""

_CLOSE = 1.0
"""Seconds that the last lines have at the end."""

_CONTINUED = "    | "
"""Begins each further line of an event, which is a line of its traceback."""


class LineFormatter(logging.Formatter):
    """Nothing in a message ends its line, or looks like another event."""

    def __init__(self) -> None:
        super().__init__(_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        text = show_invisible(record.getMessage())
        # Only the program itself begins a line with the tag of a user.
        own = len(USER_TAG) if str(record.msg).startswith(USER_TAG) else 0
        record.message = text[:own] + describe_free_text(text[own:])
        record.asctime = self.formatTime(record)
        more: list[str] = []
        if record.exc_info:
            more += self.formatException(record.exc_info).splitlines()
        if record.stack_info:
            more += record.stack_info.splitlines()
        lines = [self.formatMessage(record), *(_CONTINUED + show_invisible(line) for line in more)]
        return "\n".join(lines)


class LogQueue(logging.Handler):
    """Writes to a file descriptor what it is given, in order, as far as somebody reads it.

    `capacity` bytes wait at most. `close` waits a second for the rest.
    """

    def __init__(self, descriptor: int, encoding: str = "utf-8", capacity: int = _CAPACITY) -> None:
        super().__init__()
        self.setFormatter(LineFormatter())
        self._descriptor = descriptor
        self._encoding = encoding
        self._capacity = capacity
        self._lines: deque[bytes] = deque()
        self._waiting = 0
        self._dropped = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="shim-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self._encode(record)
        except Exception:  # a message that does not fit its arguments
            line = f"a line of {record.name} cannot be shown: {record.msg!a}\n".encode()
        with self._changed:
            if self._waiting + len(line) > self._capacity:
                self._dropped += 1
                return
            self._lines.append(line)
            self._waiting += len(line)
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_CLOSE)
        super().close()

    def _encode(self, record: logging.LogRecord) -> bytes:
        return (self.format(record) + "\n").encode(self._encoding, "backslashreplace")

    # -- The thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        while (line := self._next()) is not None:
            written = self._write(line)
            with self._changed:
                self._waiting -= len(line)
                self._dropped += not written
                dropped = self._dropped if written and not self._lines else 0
                self._dropped -= dropped
            if dropped:
                words = "%d lines of the log were dropped: they could not be written"
                lost = logging.LogRecord(__name__, logging.WARNING, "", 0, words, (dropped,), None)
                self._write(self._encode(lost))

    def _next(self) -> bytes | None:
        """The next line; it counts as waiting until it is written. None: this is the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._closing)
            return self._lines.popleft() if self._lines else None

    def _write(self, line: bytes) -> bool:
        """Not through `sys.stderr`, whose lock would be held while nobody reads, also when Python ends."""
        try:
            while line:
                try:
                    line = line[os.write(self._descriptor, line) :]
                except BlockingIOError:
                    select.select([], [self._descriptor], [])
        except OSError:
            return False
        return True


@contextmanager
def log_on_stderr(level: str) -> Iterator[None]:
    """Inside it, log messages of this level and above, and warnings, go to standard error."""
    root, handler = logging.getLogger(), _handler()
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        handler.close()


def _handler() -> logging.Handler:
    if sys.stderr is None:  # it was closed
        return logging.NullHandler()
    try:
        return LogQueue(sys.stderr.fileno(), sys.stderr.encoding)
    except io.UnsupportedOperation:  # another object is in its place
        handler = logging.StreamHandler()
        handler.setFormatter(LineFormatter())
        return handler

"""The service's log while the demo runs: kept off the terminal, and its errors kept for the checks."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_CHECKED = ("shim", "aiohttp", "asyncio")


class CapturedLog(logging.Handler):
    """Keeps the lines of the errors in `errors`, and prints nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.ERROR or record.name.partition(".")[0] not in _CHECKED:
            return
        line = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            line += f" ({record.exc_info[1]!r})"
        self.errors.append(line)


@contextmanager
def captured_log() -> Iterator[CapturedLog]:
    """Inside the context the log goes to the handler alone."""
    root, handler = logging.getLogger(), CapturedLog()
    before, root.handlers = root.handlers, [handler]
    try:
        yield handler
    finally:
        root.handlers = before

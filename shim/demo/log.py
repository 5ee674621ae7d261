"""The servers' log while the demo runs: kept off the terminal, which belongs to the view."""

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class LastLines(logging.Handler):
    """The last lines for the view, the errors for the summary."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: deque[str] = deque(maxlen=6)
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            line += f" ({record.exc_info[1]!r})"
        self.lines.append(line)
        if record.levelno >= logging.ERROR:
            self.errors.append(line)


@contextmanager
def captured_log() -> Iterator[LastLines]:
    """Inside it nothing of the log reaches the terminal."""
    handler = LastLines()
    loggers = [logging.getLogger(name) for name in ("shim", "aiohttp", "asyncio")]
    propagating = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield handler
    finally:
        for logger, propagate in zip(loggers, propagating, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagate

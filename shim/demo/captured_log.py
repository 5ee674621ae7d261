"""The service's log while the demo runs: kept off the terminal, and its errors kept for the checks."""

import logging
from types import TracebackType

_LOGGERS = ("shim", "aiohttp", "asyncio")


class CapturedLog(logging.Handler):
    """A context: inside it nothing of the log reaches the terminal. `errors` has the errors' lines."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            line += f" ({record.exc_info[1]!r})"
        self.errors.append(line)

    def __enter__(self) -> "CapturedLog":
        loggers = [logging.getLogger(name) for name in _LOGGERS]
        self._propagating = [(logger, logger.propagate) for logger in loggers]
        for logger in loggers:
            logger.addHandler(self)
            logger.propagate = False
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for logger, propagates in self._propagating:
            logger.removeHandler(self)
            logger.propagate = propagates

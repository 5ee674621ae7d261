"""HTTP that is none is a mistake of the client's: one line of the log, and no traceback."""

import logging
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

_log = logging.getLogger("aiohttp.server")
_CLIENTS_OWN = (HttpProcessingError, web.RequestPayloadError)


async def told_in_a_line(_: web.Application) -> AsyncIterator[None]:
    """For `app.cleanup_ctx`: aiohttp logs such errors like those of the server's own handlers."""
    _log.addFilter(_in_a_line)
    yield
    _log.removeFilter(_in_a_line)


def _in_a_line(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, _CLIENTS_OWN):
        # Its message quotes what came, which may be a token.
        record.args = (record.getMessage(), type(error).__name__)
        record.msg = "%s: bad HTTP (%s)"
        record.exc_info = None
        record.levelno = min(record.levelno, logging.WARNING)
        record.levelname = logging.getLevelName(record.levelno)
    return True

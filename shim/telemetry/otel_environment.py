"""`OTEL_…` variables, which a platform often sets for all its services: none of them stops this one.

OpenTelemetry's SDK raises for some values that it cannot use, and logs tracebacks or the same line several
times for others. Here each of them is one warning, and the SDK works as without it. Imports nothing of
OpenTelemetry, because that reads some variables when it is imported.
"""

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from shim.model import InputError

log = logging.getLogger(__name__)

_PREFIX = "OTEL_"
_LIMIT = re.compile(r"OTEL_\w+_LIMIT")
_FIRST = ("EXPORTER", "ENDPOINT", "PROTOCOL")
"""What such a variable names decides which others are read: they are tried first."""

_READ_AGAIN = "_PROVIDER"
"""The SDK reads such a variable each time it is asked for a provider, and raises each time."""

_MOST = 2**31 - 1


@contextmanager
def importing_the_sdk() -> Iterator[None]:
    """Inside it the SDK can be imported: limits that are no numbers stop it. It reads them again later."""
    limits = [name for name in os.environ if _LIMIT.fullmatch(name)]
    with _without([name for name in limits if not os.environ[name].strip().isdigit()]), _heard:
        yield


@contextmanager
def usable_variables(trial: Callable[[], None]) -> Iterator[None]:
    """Inside it, `os.environ` has no `OTEL_…` variable with which the trial fails; each of them is a warning.

    Raises what the trial raises when there is no such variable at all.
    """
    given = {name: value for name, value in os.environ.items() if name.startswith(_PREFIX)}
    left_out: list[str] = []
    with _heard:
        if _error_of(trial) is None:
            given = {}
        with _without(given):
            if given:
                trial()
            for name in sorted(given, key=lambda name: not name.endswith(_FIRST)):
                os.environ[name] = given[name]
                if (error := _error_of(trial)) is not None:
                    del os.environ[name]
                    left_out.append(name)
                    log.warning("the variable %s is left out: %s", name, error)
            yield
    for name in left_out:
        if name.endswith(_READ_AGAIN):
            del os.environ[name]
    _heard.report()


def read_variable(name: str) -> str:
    """The value of a variable without blanks around it; empty if there is no value."""
    return os.environ.get(name, "").strip()


def read_whole_number(name: str, default: int) -> int:
    """The value of a variable, a whole number above 0; the default without a value. Raises InputError."""
    value = read_variable(name)
    if not value:
        return default
    if not re.fullmatch("[0-9]{1,10}", value) or not 0 < int(value) <= _MOST:
        raise InputError(f"{name} is {value!r}, not a whole number from 1 to {_MOST}")
    return int(value)


def read_seconds(names: Iterable[str], default: float) -> float:
    """The value of the first variable that has one, in seconds; else the default. Raises InputError."""
    for name in names:
        if value := read_variable(name):
            if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{0,9})?", value) or float(value) == 0:
                raise InputError(f"{name} is {value!r}, not a number of seconds above 0")
            return float(value)
    return default


def _error_of(trial: Callable[[], None]) -> str | None:
    """Why the trial fails; what the SDK logged about that is not reported. None: it does not fail."""
    before = len(_heard.messages)
    try:
        trial()
    except Exception as error:
        logged = list(_heard.messages)[before:]
        for message in logged:
            del _heard.messages[message]
        return str(error) or (logged or [type(error).__name__])[0]
    return None


@contextmanager
def _without(names: Iterable[str]) -> Iterator[None]:
    """Inside it these variables are not set; afterwards they are as they were."""
    before = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(before)


class _SdkLog(logging.Handler):
    """Keeps what the SDK logs in its context, each message once, until it is reported."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: dict[str, int] = {}
        self._logger = logging.getLogger("opentelemetry")

    def __enter__(self) -> None:
        self._logger.addHandler(self)
        self._logger.propagate = False

    def __exit__(self, *error: object) -> None:
        self._logger.propagate = True
        self._logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.setdefault(record.getMessage(), min(record.levelno, logging.WARNING))

    def report(self) -> None:
        for message, level in self.messages.items():
            log.log(level, "OpenTelemetry: %s", message)
        self.messages.clear()


_heard = _SdkLog()

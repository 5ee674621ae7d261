"""The kinds of value in the settings that pydantic does not know, and the base of all sections."""

from collections.abc import Callable, Iterable
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from shim.model import Duration
from shim.settings.durations import parse_duration
from shim.settings.suggest import suggestion

_E = TypeVar("_E", bound=StrEnum)


class Section(BaseModel):
    """A mapping of the settings file: no unknown keys, no guessing of types, never changed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def read_duration(value: Any, *, negative: bool = False) -> Duration:
    """Microseconds of a duration in the file; raises ValueError."""
    if not isinstance(value, str):
        raise ValueError("must be a duration with its unit, like 15s")
    return parse_duration(value, negative=negative)


def _read_positive_duration(value: Any) -> Duration:
    duration = read_duration(value)
    if duration == 0:
        raise ValueError("must be longer than 0s")
    return duration


def _read_skew(value: Any) -> tuple[Duration, Duration] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("must be a list of two durations, like [0s, 15s]")
    low, high = (read_duration(bound, negative=True) for bound in value)
    if low > high:
        raise ValueError("the first duration must not be longer than the second")
    return low, high


def _read_day(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a day like 2027-01-31") from None


def read_word(words: Iterable[_E]) -> Callable[[Any], _E | None]:
    """A reader of one of these words, or null; it raises ValueError."""
    known = {str(word): word for word in words}

    def read(value: Any) -> _E | None:
        if value is None:
            return None
        word = known.get(value) if isinstance(value, str) else None
        if word is None:
            raise ValueError(f"must be one of {', '.join(known)}{suggestion(value, known)}")
        return word

    return read


AnyDuration: TypeAlias = Annotated[int, BeforeValidator(read_duration)]
"""Microseconds, 0 or more."""

PositiveDuration: TypeAlias = Annotated[int, BeforeValidator(_read_positive_duration)]
"""Microseconds, more than 0."""

SkewRange: TypeAlias = Annotated[tuple[int, int], BeforeValidator(_read_skew)]
"""Two skews in microseconds, the lower first; they may be negative."""

Day: TypeAlias = Annotated[date, BeforeValidator(_read_day)]
Text: TypeAlias = Annotated[str, Field(min_length=1)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Port: TypeAlias = Annotated[int, Field(ge=0, le=65_535)]
"""0 lets the system choose one."""

"""The kinds of value in files that pydantic does not know, and the base of all their mappings."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import islice
from typing import Annotated, Any, Self, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    ModelWrapValidatorHandler,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core.core_schema import no_info_after_validator_function

from shim.flags.buckets import buckets_of
from shim.model import SECOND, Duration
from shim.settings.document import MAX_PROBLEMS
from shim.settings.durations import format_duration, parse_duration
from shim.settings.faults import Fault, Faults, faults_of, suggestion, unknown_key

_E = TypeVar("_E", bound=Enum)
_T = TypeVar("_T")

_SHORTEST_GRAIN = SECOND // 10
"""The gate keeps in memory how many users were connected in each grain of a trial."""


class Section(BaseModel):
    """A mapping in a file: no unknown keys, no guessing of types, never changed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @classmethod
    def contradictions(cls, given: Mapping[str, Any]) -> Iterable[Fault]:
        """What is wrong with several values together; `given` is what the file says, good or bad."""
        return ()

    @model_validator(mode="wrap")
    @classmethod
    def _find_all_faults(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """The section; raises `Faults` with what is wrong with its values, alone and together."""
        if not isinstance(given, dict):
            return handler(given)
        section: Self | None = None
        faults: list[Fault] = []
        # No more problems than this are reported.
        most = MAX_PROBLEMS + 1
        try:
            section = handler({key: given[key] for key in cls.model_fields if key in given})
        except ValidationError as error:
            faults += islice(faults_of(error), most)
        unknown = islice((key for key in given if key not in cls.model_fields), most)
        faults += [Fault((key,), unknown_key(str(key), cls.model_fields)) for key in unknown]
        faults += cls.contradictions(given)
        if section is None or faults:
            raise Faults(faults)
        return section


def read_by(section: type[Section], make: Callable[[Any], Any]) -> GetPydanticSchema:
    """Annotates a field: its value has the keys of `section`, and `make` makes the value of that."""
    return GetPydanticSchema(
        lambda _, handler: no_info_after_validator_function(make, handler(section))
    )


def _read_positive_duration(value: Any) -> Duration:
    duration = parse_duration(value)
    if duration == 0:
        raise ValueError("must be longer than 0s")
    return duration


def _read_grain(value: Any) -> Duration:
    grain = _read_positive_duration(value)
    if grain < _SHORTEST_GRAIN:
        raise ValueError(f"must be at least {format_duration(_SHORTEST_GRAIN)}")
    return grain


def _read_skew(value: Any) -> tuple[Duration, Duration]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("must be a list of two durations, like [0s, 15s]")
    low, high = (parse_duration(bound, negative=True) for bound in value)
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


def read_width(value: Any) -> Decimal:
    """A width, exactly; raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        hint = ", without quotes" if isinstance(value, str) and value.isdecimal() else ""
        raise ValueError(f"must be a percentage such as 12.5{hint}")
    # The shortest text of a float is what stands in the file.
    width = Decimal(str(value))
    buckets_of(width)
    return width


def _read_network(value: Any) -> IPv4Network | IPv6Network:
    if not isinstance(value, str):
        raise ValueError("must be an address or a network, like 10.0.0.7 or 10.0.0.0/8")
    try:
        return ip_network(value)
    except ValueError as error:
        raise ValueError(f"must be an address or a network, like 10.0.0.0/8: {error}") from None


def read_word(words: Iterable[_E]) -> Callable[[Any], _E]:
    """A reader of one of these words; it raises ValueError."""
    known = {str(word): word for word in words}

    def read(value: Any) -> _E:
        word = known.get(value) if isinstance(value, str) else None
        if word is None:
            instead = f", not {value!r}" if isinstance(value, str) and len(value) <= 40 else ""
            hint = suggestion(value, known)
            raise ValueError(f"must be one of {', '.join(known)}{instead}{hint}")
        return word

    return read


AnyDuration: TypeAlias = Annotated[int, BeforeValidator(parse_duration)]
"""Microseconds, 0 or more."""

PositiveDuration: TypeAlias = Annotated[int, BeforeValidator(_read_positive_duration)]
"""Microseconds, more than 0."""

Grain: TypeAlias = Annotated[int, BeforeValidator(_read_grain)]
"""Microseconds, a tenth of a second or more."""

Network: TypeAlias = Annotated[IPv4Network | IPv6Network, PlainValidator(_read_network)]
"""An address, or all addresses of a network."""

SkewRange: TypeAlias = Annotated[tuple[int, int], BeforeValidator(_read_skew)]
"""Two skews in microseconds, the lower first; they may be negative."""

Width: TypeAlias = Annotated[
    Decimal,
    PlainValidator(read_width),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 100}),
]
"""Percent of all users, exactly as it is written, no finer than one bucket."""

ListOf: TypeAlias = Annotated[tuple[_T, ...], Field(strict=False)]
"""A list in the file, a tuple here."""

Day: TypeAlias = Annotated[date, BeforeValidator(_read_day)]
Text: TypeAlias = Annotated[str, Field(min_length=1)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Port: TypeAlias = Annotated[int, Field(ge=0, le=65_535)]
"""0 lets the system choose one."""

"""Records that go over the API as JSON: each says once what it holds, as the types of its fields.

Inside, times and durations are whole microseconds and stages are numbers; in JSON they are seconds and
words. `as_dict` and `from_dict` lead from one to the other and back, and `answer_schema` makes the JSON
Schema of the same types.
"""

from collections.abc import Callable, Mapping
from functools import cache
from types import NoneType
from typing import Annotated, Any, NamedTuple, Self, TypeAlias, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from shim.model import Stage, from_seconds, seconds

_IN_SECONDS = "seconds"
_Seconds = Meta(extra_json_schema={"format": _IN_SECONDS})

_MOMENT = "a time by the clock"

Wall: TypeAlias = Annotated[int, _Seconds, _MOMENT]
"""Microseconds since 1970, UTC; in JSON seconds."""

Length: TypeAlias = Annotated[int, _Seconds]
"""Microseconds between two times; in JSON seconds."""


class JsonRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record whose fields are plain values, times, stages, other records, or lists of these."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            name: value if codec is None or value is None else codec.encode(value)
            for (name, value), codec in zip(
                msgspec.structs.asdict(self).items(), _codecs(type(self)), strict=True
            )
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Self:
        """A record as `as_dict` gave it; what is not a field is left out.

        Raises msgspec.ValidationError when a value is missing or has another type.
        """
        values: dict[str, Any] = {}
        for name, codec in zip(cls.__struct_fields__, _codecs(cls), strict=True):
            if name in facts:
                value = facts[name]
                values[name] = value if codec is None or value is None else codec.decode(value)
        return msgspec.convert(values, cls, strict=False)


class _Codec(NamedTuple):
    """How the values of a field are written as JSON, and read."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


@cache
def _codecs(record: type[JsonRecord]) -> tuple[_Codec | None, ...]:
    """One for each field; None where the value is JSON already."""
    hints = get_type_hints(record, include_extras=True)
    return tuple(_codec(hints[name]) for name in record.__struct_fields__)


def _codec(hint: Any) -> _Codec | None:
    origin, parts = get_origin(hint), get_args(hint)
    if NoneType in parts:
        return _codec(next(part for part in parts if part is not NoneType))
    if _Seconds in getattr(hint, "__metadata__", ()):
        return _Codec(seconds, from_seconds)
    if origin in (list, tuple):
        if (item := _codec(parts[0])) is None:
            return None
        encode, decode = item
        return _Codec(lambda items: [*map(encode, items)], lambda items: [*map(decode, items)])
    if hint is Stage:
        return _Codec(str, lambda word: Stage[word.upper()])
    if isinstance(hint, type) and issubclass(hint, JsonRecord):
        return _Codec(hint.as_dict, hint.from_dict)
    return None


def is_moment(hint: Any) -> bool:
    """Whether a field of this type is a `Wall`."""
    return _MOMENT in getattr(hint, "__metadata__", ())


def answer_schema(schema: Any) -> Any:
    """The JSON Schema of records (and of what holds them) as the API answers them; no field is left out."""
    if isinstance(schema, list):
        return [answer_schema(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    answer = {key: answer_schema(part) for key, part in schema.items() if key != "default"}
    if answer.get("format") == _IN_SECONDS:
        answer |= {"type": "number"}
        del answer["format"]
    elif answer.get("title") == Stage.__name__:
        answer["enum"] = [str(stage) for stage in Stage]
    elif "properties" in answer:
        answer["required"] = list(answer["properties"])
    return answer

"""Shapes: what a value of the flags file may be, told once, for its reader and for the JSON Schema.

A reader answers with something harmless for what it reports: whoever reports anything gets no
rollout.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from shim.settings.document import Cursor
from shim.settings.suggest import unknown_key

_T = TypeVar("_T")
_LONGEST_QUOTE = 40


@dataclass(frozen=True)
class Shape(Generic[_T]):
    """A kind of value: `read` answers with it or reports, `schema` is its JSON Schema."""

    read: Callable[[Cursor], _T]
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class Key:
    """A key of a `record`."""

    shape: Shape[Any]
    description: str
    required: bool = True


def record(
    keys: Mapping[str, Key], make: Callable[..., _T], schema: Mapping[str, Any] | None = None
) -> Shape[_T]:
    """A mapping with these keys and no others.

    `make` gets the cursor, and by name the value of each key that is required or there. `schema` adds
    to the JSON Schema.
    """

    def read(at: Cursor) -> _T:
        _check_keys(at, keys)
        present = {name: key for name, key in keys.items() if key.required or name in at}
        return make(at, **{name: key.shape.read(at[name]) for name, key in present.items()})

    properties = {
        name: {"description": key.description, **key.shape.schema} for name, key in keys.items()
    }
    required = [name for name, key in keys.items() if key.required]
    return Shape(
        read,
        {
            "type": "object",
            "additionalProperties": False,
            "properties": properties,
            **({"required": required} if required else {}),
            **(schema or {}),
        },
    )


def mapping_of(values: Shape[_T]) -> Shape[dict[str, _T]]:
    """A mapping from any texts but the empty one."""

    def read(at: Cursor) -> dict[str, _T]:
        _check_mapping(at)
        if "" in at:
            at[""].report("must not be empty")
        return {key: values.read(child) for key, child in at.items()}

    return Shape(
        read,
        {
            "type": "object",
            "propertyNames": {"minLength": 1},
            "additionalProperties": values.schema,
        },
    )


def list_of(elements: Shape[_T], *, empty: bool = True) -> Shape[tuple[_T, ...]]:
    """A list; an empty one only where that says something."""

    def read(at: Cursor) -> tuple[_T, ...]:
        if not isinstance(at.value, list):
            at.report(f"should be a list ([] for nothing), not {seen(at)}")
        elif not at.value and not empty:
            at.report("must not be empty")
        return tuple(elements.read(element) for element in at.elements())

    minimum = {} if empty else {"minItems": 1}
    return Shape(read, {"type": "array", "items": elements.schema, **minimum})


def constant(value: str | int, hint: str) -> Shape[None]:
    """This value and no other; `hint` says why."""

    def read(at: Cursor) -> None:
        if at.value is True or at.value != value:
            at.report(f"should be {value}, {hint}")

    return Shape(read, {"const": value})


def _read_text(at: Cursor) -> str:
    match at.value:
        case "":
            at.report("must not be empty")
        case str():
            return at.value
        case None | dict() | list():
            at.report(f"should be a string, not {seen(at)}")
        case _:
            at.report(f"should be a string; put {seen(at)} in quotes")
    return ""


def _read_boolean(at: Cursor) -> bool:
    if isinstance(at.value, bool):
        return at.value
    at.report(f"should be true or false, not {seen(at)}")
    return False


TEXT = Shape(_read_text, {"type": "string", "minLength": 1})
BOOLEAN = Shape(_read_boolean, {"type": "boolean"})


def seen(at: Cursor) -> str:
    """What is there instead, in a few words."""
    match at.value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "nothing"
        case "":
            return "an empty string"
    text = at.node.text
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"


def _check_keys(at: Cursor, keys: Mapping[str, Key]) -> None:
    if not _check_mapping(at):
        return
    for name, key in keys.items():
        if key.required and name not in at:
            at.report_missing(name)
    for name, child in at.items():
        if name not in keys:
            child.report(unknown_key(name, keys))


def _check_mapping(at: Cursor) -> bool:
    if isinstance(at.value, dict):
        return True
    at.report(f"should be a mapping ({{}} for nothing), not {seen(at)}")
    return False

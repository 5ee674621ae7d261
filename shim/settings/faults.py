"""From what pydantic says of wrong values to problems with a place, in plain words."""

import math
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from shim.settings.document import Document, KeyPath

_M = TypeVar("_M", bound=BaseModel)


class Fault(NamedTuple):
    """One thing wrong, at a path from whatever was validated."""

    path: KeyPath
    reason: str


class Faults(ValueError):
    """Several things wrong below a value, raised by a validator: pydantic has one place for it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.reason for fault in faults))
        self.faults = tuple(faults)


_REASONS = {
    "missing": "is missing",
    "model_type": "must be a mapping",
    "dict_type": "must be a mapping; write {} for an empty one",
    "tuple_type": "must be a list; write [] for an empty one",
    "list_type": "must be a list; write [] for an empty one",
    "string_type": "must be a text; if it is one, quote it",
    "string_too_short": "must not be empty",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false, without quotes",
    "date_type": "must be a day like 2027-01-31",
}

_NUMBERS = ("int_type", "float_type")


def faults_of(error: ValidationError) -> Iterator[Fault]:
    """Every fault of a validation, missing keys first."""
    details = error.errors(include_url=False)
    for detail in sorted(details, key=lambda detail: detail["type"] != "missing"):
        path: KeyPath = detail["loc"]
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, Faults):
            for fault in cause.faults:
                yield Fault(path + fault.path, fault.reason)
        elif isinstance(cause, ValueError):
            yield Fault(path, str(cause))
        else:
            # Of a key pydantic says so in a step of its own.
            path = path[:-1] if path[-2:] == ("", "[key]") else path
            reason = detail["msg"].replace("Input should", "must", 1)
            is_quoted = detail["type"] in _NUMBERS and _is_number(detail["input"])
            hint = ", without quotes" if is_quoted else ""
            yield Fault(path, _REASONS.get(detail["type"], reason) + hint)


def _is_number(text: Any) -> bool:
    try:
        return isinstance(text, str) and math.isfinite(float(text))
    except ValueError:
        return False


def validate(model: type[_M], document: Document, value: Any, context: object = None) -> _M:
    """The value of a document as an instance of `model`.

    Raises InputError with everything that is wrong with the document, what was reported before included.
    """
    instance: _M | None = None
    try:
        instance = model.model_validate(value, context=context)
    except ValidationError as error:
        for fault in faults_of(error):
            document.report_path(fault.path, fault.reason)
    document.raise_problems()
    assert instance is not None
    return instance


def duplicate_names(entries: Any, key: str) -> Iterator[Fault]:
    """A fault for each entry of the list at `key` that has the name of an earlier one."""
    first: dict[str, int] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        name = entry.get("name") if isinstance(entry, dict) else None
        if isinstance(name, str) and name and first.setdefault(name, index) != index:
            reason = f"duplicate name; the first is that of {key}[{first[name]}]"
            yield Fault((key, index, "name"), reason)


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The reason for refusing a key."""
    return f"unknown key{suggestion(key, known)}; known are {', '.join(known)}"


def suggestion(word: Any, known: Iterable[str]) -> str:
    """` (did you mean …?)`: the word that was probably meant, or nothing."""
    # Words of a file can be long, and comparing them is quadratic.
    if not isinstance(word, str) or len(word) > 40:
        return ""
    close = get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""

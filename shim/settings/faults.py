"""From what pydantic says of wrong settings to problems with a place, in plain words."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from shim.settings.document import KeyPath
from shim.settings.suggest import unknown_key


class Fault(NamedTuple):
    """One thing wrong, at a path from whatever was validated."""

    path: KeyPath
    reason: str


class Faults(ValueError):
    """Several things wrong below a value, raised by a validator: pydantic has one place for it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.reason for fault in faults))
        self.faults = tuple(faults)


def faults_of(error: ValidationError, model: type[BaseModel] | None = None) -> list[Fault]:
    """Every fault of a validation; `model` (what was validated) has the names of the known keys."""
    faults: list[Fault] = []
    for detail in error.errors(include_url=False):
        path: KeyPath = detail["loc"]
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, Faults):
            faults += [Fault(path + fault.path, fault.reason) for fault in cause.faults]
        elif isinstance(cause, ValueError):
            faults.append(Fault(path, str(cause)))
        elif detail["type"] == "extra_forbidden":
            faults.append(Fault(path, unknown_key(str(path[-1]), _known_keys(model, path[:-1]))))
        else:
            faults.append(Fault(path, _in_words(detail["type"], detail["msg"])))
    return faults


_REASONS = {
    "missing": "is missing",
    "model_type": "must be a mapping; leave the key out for the defaults",
    "dict_type": "must be a mapping; write {} for an empty one",
    "tuple_type": "must be a list; write [] for none",
    "list_type": "must be a list; write [] for none",
    "string_type": "must be a text; if it is one, quote it",
    "string_too_short": "must not be empty",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "date_type": "must be a day like 2027-01-31",
}


def _in_words(kind: str, message: str) -> str:
    return _REASONS.get(kind) or message.replace("Input should", "must", 1)


def _known_keys(model: Any, path: KeyPath) -> Sequence[str]:
    """The keys of the model at a path below another, if there is one."""
    for key in path:
        field = getattr(model, "model_fields", {}).get(key)
        if field is None:
            return ()
        model = field.annotation
    return tuple(getattr(model, "model_fields", {}))

"""The settings of the two monitors: a plugin's name and the keys that this plugin brings along.

The shim does not know them: the fields of the plugin's `Settings` dataclass say what they are
(`shim.model.MonitorType`).
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError, ValidationInfo

from shim.model import Duration, MonitorType
from shim.settings.document import Origin
from shim.settings.faults import Fault, Faults, faults_of, suggestion, unknown_key
from shim.settings.fields import AnyDuration

_PLUGIN = "plugin"
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class MonitorChoice:
    """A monitor for one of the roles: `settings` is an instance of `type.Settings`."""

    plugin: str
    type: MonitorType
    settings: Any


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What settings are read in: the monitors that plugins offer, the folder of the file, the file."""

    types: Mapping[str, MonitorType]
    folder: Path | None = None
    origin: Origin = field(default_factory=Origin)


def monitor_reader(default: str) -> Callable[[Any, ValidationInfo], MonitorChoice]:
    """A validator of `monitors.<role>`, where `default` is the plugin unless another one is named.

    Needs `Surroundings` as pydantic's context; raises `Faults`.
    """

    def read(value: Any, info: ValidationInfo) -> MonitorChoice:
        if not isinstance(value, dict):
            raise ValueError("must be a mapping, with the plugin and its settings")
        name = value.get(_PLUGIN, default)
        surroundings: Any = info.context
        types: Mapping[str, MonitorType] = surroundings.types
        if not isinstance(name, str) or name not in types:
            available = ", ".join(sorted(types)) or "none"
            reason = (
                f"there is no monitor {name!r}{suggestion(name, types)}; installed are: {available}"
            )
            raise Faults([Fault((_PLUGIN,), reason)])
        keys = {key: given for key, given in value.items() if key != _PLUGIN}
        return MonitorChoice(name, types[name], _plugin_settings(types[name], keys))

    return read


def _plugin_settings(monitor_type: MonitorType, given: dict[str, Any]) -> Any:
    """An instance of the plugin's settings; raises `Faults` with everything that is wrong."""
    settings_class = monitor_type.Settings
    known = {field.name: field for field in fields(settings_class) if field.init}
    hints = get_type_hints(settings_class, include_extras=True)
    faults = []
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in known:
            faults.append(Fault((key,), unknown_key(key, [_PLUGIN, *known])))
            continue
        try:
            values[key] = _adapter(hints[key]).validate_python(value)
        except ValidationError as error:
            faults += [Fault((key, *fault.path), fault.reason) for fault in faults_of(error)]
    faults += [
        Fault((name,), "is missing")
        for name, field in known.items()
        if name not in given and field.default is field.default_factory is MISSING
    ]
    try:
        settings = settings_class(**values)
    except Exception as error:  # the code is a stranger's
        own = _own_faults(error, known)
        # Beside other faults only what it says of values that were read is sure to be meant.
        faults += (
            [fault for fault in own if fault.path and fault.path[0] in values] if faults else own
        )
    if faults:
        raise Faults(faults)
    return settings


def _adapter(hint: Any) -> TypeAdapter[Any]:
    # pydantic ignores the shim's own annotation, so that durations are recognised here.
    is_duration = get_origin(hint) is Annotated and get_args(hint) == get_args(Duration)
    return TypeAdapter(AnyDuration if is_duration else hint, config=_STRICT)


def _own_faults(error: Exception, known: Mapping[str, Any]) -> list[Fault]:
    """What the plugin itself says is wrong; `<field>: <reason>` is about that field."""
    if not isinstance(error, ValueError):
        return [Fault((), f"the plugin failed with {type(error).__name__}: {error}")]
    texts = error.args if all(isinstance(text, str) for text in error.args) else ()
    faults = []
    for text in texts or (str(error),):
        name, colon, reason = text.partition(": ")
        faults.append(Fault((name,), reason) if colon and name in known else Fault((), text))
    return faults

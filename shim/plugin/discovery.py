"""Finds plugins: every installed package with an entry point of the group `shim`."""

from collections.abc import Iterable, Sequence
from dataclasses import is_dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import cast

import pluggy

from shim.model import InputError, MonitorType, Problem, Scope
from shim.plugin import hookspecs as hooks

GROUP = hooks.PROJECT


@cache
def installed_plugins() -> Sequence[EntryPoint]:
    """The entry points of plugins. They are looked for once: all installed distributions are read for that."""
    return tuple(entry_points(group=GROUP))


def plugin_manager() -> pluggy.PluginManager:
    """A manager with the shim's hooks and every installed plugin.

    Raises InputError with every entry point that cannot be loaded.
    """
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    problems = []
    # One distribution may be found twice, for example after an editable install.
    found = {(point.name, point.value): point for point in installed_plugins()}
    for point in found.values():
        try:
            manager.register(point.load(), name=point.name)
        except Exception as error:  # the code is a third party's
            place = f"plugin {point.name!r} ({point.value})"
            problems.append(Problem(f"{place} cannot be loaded: {_words(error)}"))
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        problems.append(Problem(f"a plugin has a hook that the shim does not know: {error}"))
    if problems:
        raise InputError(problems)
    return manager


def monitor_types(manager: pluggy.PluginManager) -> dict[str, MonitorType]:
    """The monitors that the plugins offer, by name.

    Raises InputError if two monitors have one name, or if a plugin does not fulfil `MonitorType`.
    """
    types: dict[str, MonitorType] = {}
    owners: dict[str, str] = {}
    problems = []
    for hook in manager.hook.shim_monitor_types.get_hookimpls():
        owner = hook.plugin_name
        try:
            brought: list[MonitorType] = list(cast(Iterable[MonitorType], hook.function()))
        except Exception as error:  # the code is a third party's
            problems.append(Problem(f"plugin {owner!r} names no monitors: {_words(error)}"))
            continue
        for monitor_type in brought:
            reason = _misfit(monitor_type)
            name = str(getattr(monitor_type, "name", monitor_type))
            if reason is not None:
                problems.append(Problem(f"plugin {owner!r}: monitor {name!r} {reason}"))
            elif name in types:
                problems.append(
                    Problem(f"plugins {owners[name]!r} and {owner!r} both bring a monitor {name!r}")
                )
            else:
                types[name] = monitor_type
                owners[name] = owner
    if problems:
        raise InputError(problems)
    return types


def _misfit(monitor_type: MonitorType) -> str | None:
    """What the monitor type of a plugin lacks; None if it lacks nothing."""
    if not isinstance(getattr(monitor_type, "name", None), str):
        return "has no `name`"
    if not isinstance(getattr(monitor_type, "scope", None), Scope):
        return "has no `scope`"
    if not is_dataclass(getattr(monitor_type, "Settings", None)):
        return "has no dataclass `Settings`"
    if not callable(getattr(monitor_type, "create", None)):
        return "has no method `create`"
    return None


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

"""Plugins are found by entry point, whoever ships them."""

from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import pytest

from shim.hooks import hookimpl
from shim.model import InputError
from shim.plugin import discovery
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import load_settings
from tests.settings.fake_monitors import Fake


class Plugin:
    """What a third party would ship."""

    def __init__(self, *types: Any) -> None:
        self._types = types

    @hookimpl
    def shim_monitor_types(self) -> Any:
        return self._types


class Failing:
    @hookimpl
    def shim_monitor_types(self) -> Any:
        raise RuntimeError("boom")


class Misspelt:
    @hookimpl
    def shim_monitor_type(self) -> Any:
        return []


def install(monkeypatch: pytest.MonkeyPatch, **plugins: Any) -> None:
    """Pretend that these, and no others, are installed; an exception fails to import."""

    class Point(SimpleNamespace):
        def load(self) -> Any:
            if isinstance(self.plugin, Exception):
                raise self.plugin
            return self.plugin

    points = [
        Point(name=name, value=f"package_{name}", plugin=plugin) for name, plugin in plugins.items()
    ]
    monkeypatch.setattr(discovery, "installed_plugins", lambda: points)


def test_the_plugins_of_this_distribution() -> None:
    pytest.importorskip("shim_legacy_global")
    assert set(monitor_types(plugin_manager())) >= {"legacy-global", "per-session"}


def test_a_third_party_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, third=Plugin(Fake()))
    types = monitor_types(plugin_manager())
    assert list(types) == ["fake"]
    with pytest.raises(InputError, match="installed are: fake"):
        load_settings(None, types)


def test_one_entry_point_found_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("legacy-global", "shim.hooks", "shim")
    monkeypatch.setattr(discovery, "installed_plugins", lambda: [point, point])
    plugin_manager()


def test_two_entry_points_for_one_module(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint(name, "shim.hooks", "shim") for name in ("one", "other")]
    monkeypatch.setattr(discovery, "installed_plugins", lambda: points)
    with pytest.raises(InputError, match=r"'other' \(shim.hooks\) cannot be loaded"):
        plugin_manager()


def test_a_plugin_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, good=Plugin(Fake()), bad=ImportError("no module named gone"))
    with pytest.raises(InputError, match=r"'bad' \(package_bad\).*no module named gone"):
        plugin_manager()


def test_two_monitors_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, first=Plugin(Fake()), second=Plugin(Fake()))
    with pytest.raises(InputError, match="'fake'") as caught:
        monitor_types(plugin_manager())
    assert "'first'" in str(caught.value)
    assert "'second'" in str(caught.value)


def test_a_plugin_that_fails_to_name_its_monitors(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, bad=Failing())
    with pytest.raises(InputError, match=r"'bad'.*RuntimeError: boom"):
        monitor_types(plugin_manager())


def test_a_hook_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, bad=Misspelt())
    with pytest.raises(InputError, match="shim_monitor_type"):
        plugin_manager()


@pytest.mark.parametrize("lacking", ["name", "scope", "Settings", "create"])
def test_a_monitor_that_lacks_something(monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    fake = type("Lacking", (Fake,), {lacking: None})()
    install(monkeypatch, bad=Plugin(fake), good=Plugin(Fake()))
    with pytest.raises(InputError) as caught:
        monitor_types(plugin_manager())
    what = {"Settings": "dataclass `Settings`", "create": "method `create`"}
    (problem,) = caught.value.problems
    assert problem.reason.endswith(f" has no {what.get(lacking, f'`{lacking}`')}")


def test_all_problems_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The good monitors beside them do not hide them, and a name that is taken goes to the first."""
    other = type("Other", (Fake,), {"name": "other"})()
    nameless = type("Nameless", (Fake,), {"name": 5})()
    install(
        monkeypatch,
        a=Failing(),
        b=Plugin(nameless, other),
        c=Plugin(other),
        d=Plugin(Fake()),
    )
    with pytest.raises(InputError) as caught:
        monitor_types(plugin_manager())
    assert [problem.reason for problem in caught.value.problems] == [
        "plugin 'a' names no monitors: RuntimeError: boom",
        "plugin 'b': monitor '5' has no `name`",
        "plugins 'b' and 'c' both bring a monitor 'other'",
    ]


def test_two_distributions_may_name_their_entry_points_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both are loaded; pluggy refuses the second name, and that is told."""
    loaded: list[str] = []

    class Point(SimpleNamespace):
        def load(self) -> Any:
            loaded.append(self.value)
            return Plugin()

    points = [Point(name="same", value=value) for value in ("one", "other")]
    monkeypatch.setattr(discovery, "installed_plugins", lambda: points)
    with pytest.raises(InputError, match=r"'same' \(other\) cannot be loaded"):
        plugin_manager()
    assert loaded == ["one", "other"]

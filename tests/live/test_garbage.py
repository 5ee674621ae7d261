"""The garbage freezer: what is set aside is still freed (`gc_freeze`)."""

import gc
import weakref
from functools import partial
from pathlib import Path

import pytest

from benchmarks.virtual_connection import VirtualConnection
from shim.flags.targeting import everyone_at
from shim.model import InputError, Kind, Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.runtime.coordinator import Coordinator
from shim.settings.settings import load_settings, settings_from
from tests.waiting import until


class Noticed(VirtualConnection):
    __slots__ = ("__weakref__",)


def coordinator(freeze: str | None) -> Coordinator[Noticed]:
    settings = settings_from({"gc_freeze": freeze}, monitor_types(plugin_manager()))
    return Coordinator(settings, everyone_at(Stage.SHADOW).evaluate)


def is_set_aside(thing: object) -> bool:
    """Whether Python's collection does not look at this object."""
    return not any(other is thing for other in gc.get_objects())


async def test_connections_are_set_aside_and_freed_when_they_end() -> None:
    shim = coordinator("50ms")
    shim.start()
    live = shim.register(partial(Noticed, shim), Kind.GLASSES, "u", "u", None)
    await until(partial(is_set_aside, live))
    assert gc.get_freeze_count() > 1000
    reference = weakref.ref(live)
    gc.disable()
    try:
        live.release()
        del live
        assert reference() is None
    finally:
        gc.enable()
    shim.stop()
    assert gc.get_freeze_count() == 0


async def test_without_the_setting_nothing_is_set_aside() -> None:
    shim = coordinator(None)
    before = gc.get_freeze_count()
    shim.start()
    assert gc.get_freeze_count() == before
    shim.stop()
    assert gc.get_freeze_count() == before


def test_an_interval_of_nothing_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "shim.yaml"
    file.write_text("rollout: null\ngc_freeze: 0s\n")
    with pytest.raises(InputError, match=r"shim\.yaml:2.*gc_freeze"):
        load_settings(file, monitor_types(plugin_manager()))

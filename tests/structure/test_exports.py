"""What is public: the names that each public package exports, and that they come with their types."""

import importlib
from types import ModuleType

import pytest

from tests.structure.sources import PACKAGES

# Users import these; a name that goes is a change for them (and an entry of the changelog).
PUBLIC = {
    "shim.aio": {"Shim", "WebSocket"},
    "shim.asgi": {"Shim", "WebSocketProtocol"},
    "shim.websockets": {"ServerConnection", "Shim"},
    "shim.hooks": {"hookimpl", "hookspec"},
    "shim.openfeature": {"FileProvider", "OpenFeatureStages", "ShimProvider"},
    "shim.model": {
        "MICROSECOND",
        "SECOND",
        "BY_CHANCE",
        "Cause",
        "Close",
        "Closing",
        "Confirm",
        "Confirmation",
        "Connection",
        "Coverage",
        "Decision",
        "Duration",
        "EVERYBODY",
        "Effect",
        "Evidence",
        "FlagsLoad",
        "Forget",
        "Identity",
        "InputError",
        "Kind",
        "LateDecision",
        "Monitor",
        "MonitorFailure",
        "MonitorType",
        "Monitors",
        "Note",
        "Outcome",
        "Pings",
        "Placement",
        "Problem",
        "Pulse",
        "Request",
        "Return",
        "Role",
        "Scope",
        "ShimError",
        "Stage",
        "Terminate",
        "Time",
        "UNCOUNTED",
        "Verdict",
        "VerdictKind",
        "VerdictName",
        "from_seconds",
        "seconds",
        "without_details",
    },
}


@pytest.mark.parametrize("name", PUBLIC)
def test_what_is_exported(name: str) -> None:
    module = importlib.import_module(name)
    assert set(module.__all__) == PUBLIC[name]
    assert module.__all__ == sorted(module.__all__, key=_in_ruffs_order)
    for each in module.__all__:
        assert hasattr(module, each), each


def _in_ruffs_order(name: str) -> tuple[bool, bool, str]:
    """Constants first, then classes, then functions."""
    return (not name.isupper(), name[0].islower(), name)


def packages() -> list[ModuleType]:
    """Those packages that say what they export."""
    found = []
    for package, folder in PACKAGES.items():
        for path in folder.rglob("__init__.py"):
            name = ".".join((package, *path.relative_to(folder).parent.parts))
            module = importlib.import_module(name)
            if hasattr(module, "__all__"):
                found.append(module)
    return found


@pytest.mark.parametrize("module", packages(), ids=lambda module: module.__name__)
def test_a_package_exports_what_it_has_and_nothing_twice(module: ModuleType) -> None:
    assert len(set(module.__all__)) == len(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_comes_with_its_types(package: str) -> None:
    assert (PACKAGES[package] / "py.typed").read_bytes() == b""

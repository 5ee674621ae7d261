"""What a registration does, counted: a flood of openings waits for each of these calls."""

from asyncio import Transport

import pytest

from shim.flags.evaluation import Evaluation
from shim.flags.targeting import everyone_at
from shim.model import Duration, Kind, Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.runtime.coordinator import Coordinator
from shim.runtime.live_connection import LiveConnection
from shim.settings.settings import load_settings


class Socketless(LiveConnection):
    __slots__ = ()

    @property
    def codes(self) -> tuple[int | None, int | None]:
        return None, None

    @property
    def transport(self) -> Transport | None:
        return None

    def send_ping(self, payload: bytes) -> None: ...

    def begin_close(self, code: int, reason: str, timeout: Duration) -> None: ...

    def abort(self) -> None: ...


class Asked:
    """The flags, and the users about whom they were asked."""

    def __init__(self) -> None:
        self.users: list[str] = []
        self._evaluate = everyone_at(Stage.SHADOW).evaluate

    def __call__(self, user: str) -> Evaluation:
        self.users.append(user)
        return self._evaluate(user)


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def coordinator(asked: Asked) -> Coordinator[Socketless]:
    return Coordinator(load_settings(None, monitor_types(plugin_manager())), asked)


def register(
    coordinator: Coordinator[Socketless], package: str, *, counted: bool = True
) -> Socketless:
    return coordinator.register(
        lambda connection, session: Socketless(coordinator, connection, session),
        Kind.APP,
        "u",
        "s",
        package,
        counted=counted,
    )


def test_the_flags_are_asked_once_for_each_connection(
    coordinator: Coordinator[Socketless], asked: Asked
) -> None:
    first, second = register(coordinator, "com.example.a"), register(coordinator, "com.example.b")
    assert asked.users == ["u", "u"]
    assert first.touch is second.touch  # and neither keeps a function of its own
    first.release()
    second.release()
    assert asked.users == ["u", "u"]
    assert not coordinator.sessions


def test_they_are_asked_again_where_the_others_of_the_session_become_evidence(
    coordinator: Coordinator[Socketless], asked: Asked
) -> None:
    made_up = register(coordinator, "com.example.a", counted=False)
    assert not made_up.tracked.placement.counted
    register(coordinator, "com.example.b")
    assert asked.users == ["u", "u", "u"]
    assert made_up.tracked.placement.counted

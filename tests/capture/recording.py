"""A shim that is captured, and its captures replayed."""

from pathlib import Path
from typing import Any

from shim.aio import Shim
from shim.aio.connection import LiveConnection
from shim.capture import Limits, Recorder
from shim.driver.driver import clock
from shim.replay import CaptureReader
from shim.replay.capture import Event
from shim.router import Tracked


class RecordingShim(Shim):
    """The shim with a recorder in its hooks."""

    def __init__(self, path: Path, limits: Limits, *arguments: Any) -> None:
        self.started = clock()  # the control's, but for microseconds
        super().__init__(*arguments)
        control = self.settings.monitors.control
        assert control is not None
        self.recorder = Recorder(
            path,
            limits,
            pseudonym=lambda value: f"hidden-{value}",
            settings="digest",
            start=self.started,
            interval=control.settings.heartbeat_interval,
            clock=clock,
            call_at=self.driver.call_at,
        )
        self.observer.add(self.recorder)

    def start(self) -> None:
        super().start()
        self.recorder.begin()

    def stop(self) -> None:
        super().stop()
        self.recorder.close()

    def _register(self, live: LiveConnection, *arguments: Any) -> None:
        super()._register(live, *arguments)
        live.touch = self.recorder.touch(live.tracked, live.touch)

    def pong(self, tracked: Tracked, payload: bytes) -> None:
        super().pong(tracked, payload)
        self.recorder.pong(tracked.connection.id)

    def data(self, tracked: Tracked) -> None:
        super().data(tracked)
        self.recorder.data(tracked.connection.id, clock())

    def gone(self, live: LiveConnection) -> None:
        super().gone(live)
        if live.tracked.closed_by is None:
            self.recorder.gone(live.connection.id, live.cause, clock())


def captures(folder: Path) -> list[Path]:
    """The files that were captured, in the order of their start."""
    return sorted(folder.glob("capture-*.jsonl"))


def read(path: Path) -> list[Event]:
    with path.open("rb") as file:
        return list(CaptureReader(file, path))

"""A per-session monitor with what drives it: it answers `confirm`, and keeps what the monitor asked for."""

from collections.abc import Iterable
from typing import Any

from shim.model import (
    SECOND,
    Confirm,
    Confirmation,
    Connection,
    Decision,
    Kind,
    Pings,
    Pulse,
    Request,
    Time,
)
from shim_per_session import PerSessionMonitor, PerSessionSettings

S = SECOND
NOTHING = Confirmation()


def connection(id: str = "c1", session: str = "s1") -> Connection:
    return Connection(id, Kind.APP, "u1", session, "com.example.app1")


class Driven:
    """A monitor and its driver: answers `confirm` from `evidence`, keeps what was said."""

    def __init__(self, session: str = "s1", start: Time = 0, **changes: Any) -> None:
        self.machine = PerSessionMonitor(PerSessionSettings(**changes), session, start)
        self.evidence: dict[str, Confirmation] = {}
        self.asked: list[tuple[Time, str]] = []
        self.pings: list[tuple[Time, str, bytes]] = []
        self.decisions: list[Decision] = []

    def register(self, id: str = "c1", now: Time = 0, last_seen: Time | None = None) -> Pulse:
        pulse = self.machine.register(connection(id), now, now if last_seen is None else last_seen)
        pulse.owner = id
        return pulse

    def wake(self, now: Time) -> list[Request]:
        requests = list(self.machine.wake(now))
        self._do(requests, now)
        return requests

    def _do(self, requests: Iterable[Request], now: Time) -> None:
        for request in requests:
            if isinstance(request, Pings):
                self.pings += [(now, pulse.owner, pulse.ping) for pulse in request.pulses]
            elif isinstance(request, Confirm):
                self.asked.append((now, request.connection_id))
                evidence = self.evidence.get(request.connection_id, NOTHING)
                self._do(self.machine.confirmed(request.connection_id, evidence, now), now)
            else:
                assert isinstance(request, Decision)
                self.decisions.append(request)

    def run(self, until: Time) -> None:
        """Wake it whenever it asks for it, up to and including `until`."""
        wakes = 0
        while (due := self.machine.next_wake) is not None and due <= until:
            self.wake(due)
            wakes += 1
            assert wakes < 100_000, "it never rests"

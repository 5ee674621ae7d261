"""Calls of the legacy monitor, and what it asks for in answer."""

from shim.model import SECOND, Connection, Decision, Kind, Note, Pings, Pulse, Request, Time
from shim_legacy_global import LegacyGlobal, LegacyGlobalMonitor, LegacySettings

S = SECOND


def connection(id: str, kind: Kind = Kind.APP) -> Connection:
    return Connection(id, kind, "u1", "s1", "com.example.app1" if kind is Kind.APP else None)


def monitor(start: Time = 0, **changes: int) -> LegacyGlobalMonitor:
    return LegacyGlobal().create(LegacySettings(**changes), "", start)


def register(
    machine: LegacyGlobalMonitor, connection: Connection, now: Time, last_seen: Time
) -> Pulse:
    pulse = machine.register(connection, now, last_seen)
    pulse.owner = connection.id
    return pulse


def wake(machine: LegacyGlobalMonitor, now: Time) -> list[Request]:
    return list(machine.wake(now))


def pinged(requests: list[Request]) -> list[str]:
    return [pulse.owner for r in requests if isinstance(r, Pings) for pulse in r.pulses]


def decided(requests: list[Request]) -> list[str]:
    return [r.connection_id for r in requests if isinstance(r, Decision)]


def notes(requests: list[Request]) -> list[str]:
    return [r.text for r in requests if isinstance(r, Note)]

"""Events of a capture, and what the oracle makes of them, in short."""

from __future__ import annotations

from typing import Any

from .replay_oracle import OracleSettings, judge

DEFAULTS = OracleSettings()
Event = dict[str, Any]


def opens(t: float, connection: str = "c1", package: str = "com.example.app1") -> Event:
    who = {"user": "u1", "session": "s1", "kind": "app", "package": package}
    return {"t": t, "event": "open", "connection": connection, **who}


def message(t: float, connection: str = "c1") -> Event:
    return {"t": t, "event": "message", "connection": connection}


def data(t: float, connection: str = "c1") -> Event:
    return {"t": t, "event": "data", "connection": connection}


def close(t: float, connection: str = "c1", **cause: str) -> Event:
    return {"t": t, "event": "close", "connection": connection, **cause}


def stall(t: float, duration: float) -> Event:
    return {"t": t, "event": "stall", "duration": duration}


def end(t: float) -> Event:
    return {"t": t, "event": "end"}


def replay(*events: Event, acting: str = "control", settings: OracleSettings = DEFAULTS) -> Any:
    return judge(events, settings, acting)


def rows(result: Any) -> list[tuple[Any, ...]]:
    """The verdicts, short: verdict, kind, at, control_at, candidate_at."""
    keys = ("verdict", "kind", "at", "control_at", "candidate_at")
    return [tuple(verdict[key] for key in keys) for verdict in result["verdicts"]]


def counted(counts: dict[str, int]) -> dict[str, int]:
    """Without the zeros."""
    return {name: number for name, number in counts.items() if number}

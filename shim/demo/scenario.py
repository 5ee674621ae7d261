"""The scenario: who takes part, at which stage, how each behaves, and with which settings.

Times are those of the seed, in seconds; the settings and the fleet divide them by one factor.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shim.model import Kind, Stage

PACKAGE = "com.example.demo"
FACTOR = 20.0
SHORTEST = 400.0
"""Seconds of the seed within which all that is checked happens, return windows included."""

HEARTBEAT = 15.0
TIMEOUT = 45.0
TOLERANCE = 20.0
"""The seed's 16 s and a busy machine's lag."""

_NEVER = 1_000_000_000


class Behaviour(StrEnum):
    HEALTHY = "healthy"
    FROZEN = "frozen"
    SILENT = "silent"
    DROPPED = "dropped"
    FLAPPING = "flapping"
    SDK = "sdk"


DESCRIPTIONS: Mapping[Behaviour, str] = {
    Behaviour.HEALTHY: "answers pings, speaks now and then",
    Behaviour.FROZEN: "TCP open, nothing read, for good",
    Behaviour.SILENT: "silent for 50 to 54 s, then back; after a close, reconnects",
    Behaviour.DROPPED: "gone without a close; a while later on a new connection",
    Behaviour.FLAPPING: "comes, leaves properly, comes again",
    Behaviour.SDK: "suspended a while; reconnects as the SDK: not after 1000, 1001, 1008",
}

_SHARES: Mapping[Behaviour, float] = {
    Behaviour.HEALTHY: 0.40,
    Behaviour.FROZEN: 0.12,
    Behaviour.SILENT: 0.16,
    Behaviour.DROPPED: 0.12,
    Behaviour.FLAPPING: 0.08,
    Behaviour.SDK: 0.12,
}
_LEAST: Mapping[Behaviour, int] = {Behaviour.SILENT: 3}
"""Per stage: whether a silence ends before the next sweep is chance, but not for many of them."""

PERMANENT = (1000, 1001, 1008)
"""After these close codes the SDK does not reconnect."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time of the client, drawn evenly between two lengths in seconds of the seed."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How the clients spend their time."""

    arrival: Span = Span(0, 20)
    speaking: Span = Span(40, 120)
    well: Span = Span(20, 60)
    silence: Span = Span(50, 54)
    outage: Span = Span(85, 105)
    reconnect: Span = Span(1, 10)
    stay: Span = Span(10, 40)
    leave: Span = Span(4, 20)


RHYTHM = Rhythm()


@dataclass(frozen=True, slots=True)
class Client:
    """One identity of the fleet; `stage` is what the rollout gives to its user."""

    user: str
    kind: Kind
    behaviour: Behaviour
    stage: Stage


def cast(users: int, stage_of: Callable[[str], Stage]) -> list[Client]:
    """The fleet: for every behaviour and stage as many users as its share of `users`, at least one.

    Nobody is assigned to a stage: users are taken in turn, and each goes where the rollout puts it.
    """
    clients = []
    for behaviour in Behaviour:
        share = round(_SHARES[behaviour] * users / len(Stage))
        room = dict.fromkeys(Stage, max(share, _LEAST.get(behaviour, 1)))
        number = 0
        while any(room.values()):
            number += 1
            user = f"{behaviour}-{number}@example.com"
            stage = stage_of(user)
            if room[stage]:
                room[stage] -= 1
                clients += [
                    Client(user, kind, behaviour, stage) for kind in _kinds(behaviour, room[stage])
                ]
    return clients


def _kinds(behaviour: Behaviour, number: int) -> tuple[Kind, ...]:
    """Healthy users have glasses and an app; the others one of the two, in turn."""
    if behaviour is Behaviour.HEALTHY:
        return (Kind.GLASSES, Kind.APP)
    if behaviour is Behaviour.SDK:
        return (Kind.APP,)
    return (Kind.APP if number % 2 else Kind.GLASSES,)


ROLLOUT = """\
version: 1
flag: monitor-rollout
hash: {algorithm: blake2b-v1, salt: monitor-rollout-demo}
kill_switch: false
default: off
holdback: 0
overrides: {}
rules: []
percent: {complete: 25, live: 25, shadow: 25}
...
"""


def scaled(seconds: float, factor: float) -> str:
    """A length of time of the seed, as the settings write it."""
    return f"{seconds * 1000 / factor:.3f}ms"


def settings_value(factor: float, ledger: str, trace_url: str | None = None) -> dict[str, Any]:
    """The settings of the seed, with every duration divided by `factor`."""
    heartbeat, timeout = scaled(HEARTBEAT, factor), scaled(TIMEOUT, factor)
    return {
        "monitors": {
            "control": {
                "plugin": "legacy-global",
                "heartbeat_interval": heartbeat,
                "timeout": timeout,
                "stats_interval": scaled(60, factor),
            },
            "candidate": {
                "plugin": "per-session",
                "heartbeat_interval": heartbeat,
                "timeout": timeout,
                "close_code": 1001,
                # Twice those of the seed: these are fractions of a second on a busy machine.
                "close_timeout": scaled(10, factor),
                "stall_threshold": scaled(10, factor),
            },
        },
        "comparison": {
            "tolerance": scaled(TOLERANCE, factor),
            "window": scaled(60, factor),
            "return_window": scaled(120, factor),
        },
        # Half of this fleet times out, and much of it is alive, on purpose: brake and guard would
        # end the experiment that is shown here.
        "brake": {"count": _NEVER},
        "guard": {"count": _NEVER},
        "ledger": f"sqlite:///{ledger}",
        "server": {"drain": "500ms"},
        "telemetry": {"trace_url": trace_url},
    }

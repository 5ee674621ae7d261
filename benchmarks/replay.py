"""How fast a capture is replayed on one core: reading the file is part of it."""

import json
from io import BytesIO
from statistics import median
from time import process_time

from benchmarks.setting import MONITORS
from shim.compare.expected_rules import ExpectedRules
from shim.model import SECOND, Role
from shim.replay.capture_reader import CaptureReader
from shim.replay.replay_engine import Replay, ReplaySettings

CONNECTIONS = 2_000
ROUNDS = 3


def run(events: int) -> None:
    """Replay captures of so many events: of messages, and of nothing but pongs."""
    for what, apart in (("message", 1.5), ("pong", 15.0)):
        capture = _capture(what, apart, events)
        rates = []
        for _ in range(ROUNDS):
            started = process_time()
            engine = Replay(
                ReplaySettings(
                    MONITORS, 16 * SECOND, 60 * SECOND, 120 * SECOND, expected=ExpectedRules()
                ),
                Role.CONTROL,
            )
            engine.feed(CaptureReader(BytesIO(capture), "benchmark"))
            rates.append(events / (process_time() - started))
        print(
            f"replay of a {what} each {apart:g} s on each of {CONNECTIONS} connections: "
            f"{median(rates):,.0f} events/s (goal: at least 150,000)",
            flush=True,
        )


def _capture(what: str, apart: float, events: int) -> bytes:
    """Connections in sessions of their own, evenly spread, which is the dearest case."""
    lines: list[dict[str, object]] = [
        {
            "t": 0,
            "event": "open",
            "connection": f"c{n}",
            "user": f"u{n}",
            "session": f"s{n}",
            "kind": "app",
            "package": "com.example.app1",
        }
        for n in range(CONNECTIONS)
    ]
    lines += (
        {
            "t": round(number * apart / CONNECTIONS, 6),
            "event": what,
            "connection": f"c{number % CONNECTIONS}",
        }
        for number in range(events - CONNECTIONS - 1)
    )
    lines.append({"t": events * apart / CONNECTIONS, "event": "end"})
    return "\n".join(map(json.dumps, ({"capture": 1}, *lines))).encode()

"""The demo's settings and its flags file: a real service's, with every duration divided by one factor."""

from typing import Any

from shim.demo.demo_clients import HEARTBEAT, TIMEOUT

FACTOR = 20.0
FLEET_FACTOR = 10.0
"""Of the demo with several processes: each of them needs time to start."""

PRESCRIBED_CODE = 1001
"""The redesign's close code: clients with the SDK stay away after it."""
BETTER_CODE = 4000
"""After this code clients with the SDK connect again."""

BAD_TIMEOUT = 31.0
"""A mistake: so much patience of the candidate is less than the service's clients need."""

TOLERANCE = 20.0
"""The settings' default of 16 s, and the delays of a busy machine."""

_FLAGS = """\
# The flags of the demo, edited while the server runs.
version: 1
flag: monitor-rollout
hash: {{algorithm: blake2b-v1, salt: monitor-rollout-demo}}
kill_switch: false
default: off
holdback: 5
overrides: {{}}
rules: []
percent: {{complete: 0, live: {live}, shadow: {shadow}}}
...
"""


def flags_file(*, live: int = 0, shadow: int = 0) -> bytes:
    """The content of a flags file with these percentages."""
    return _FLAGS.format(live=live, shadow=shadow).encode()


def scaled(seconds: float, factor: float) -> str:
    """A length of time of a real service, as the settings write it."""
    return f"{seconds * 1000 / factor:.3f}ms"


def settings_value(
    factor: float,
    ledger: str,
    *,
    close_code: int = PRESCRIBED_CODE,
    candidate_timeout: float = TIMEOUT,
    trace_url: str | None = None,
) -> dict[str, Any]:
    """The settings as a mapping; `ledger` is a path."""
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
                "timeout": scaled(candidate_timeout, factor),
                "close_code": close_code,
                # Twice the defaults: these are fractions of a second on a busy machine.
                "close_timeout": scaled(10, factor),
                "stall_threshold": scaled(10, factor),
            },
        },
        "comparison": {
            "tolerance": scaled(TOLERANCE, factor),
            "window": scaled(60, factor),
            "return_window": scaled(120, factor),
        },
        # Timeouts are far more frequent here than in a service; what is one event has to be shorter.
        "gate": {"grain": scaled(10, factor)},
        "brake": {"window": scaled(900, factor)},
        "guard": {"window": scaled(30, factor), "hold": scaled(30, factor)},
        "ledger": f"sqlite:///{ledger}",
        "server": {"drain": "500ms"},
        "telemetry": {"trace_url": trace_url},
    }

"""The settings of the per-session monitor: the keys of `monitors.<role>` for this plugin."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from shim.model import SECOND, Duration

_FORBIDDEN_CODES = {
    1004: "is reserved",
    1005: "may not be sent (RFC 6455 section 7.4.1)",
    1006: "may not be sent (RFC 6455 section 7.4.1)",
}
_LONGEST_REASON = 123
"""Bytes: a control frame carries 125, two of them the code (RFC 6455 section 5.5)."""


@dataclass(frozen=True, slots=True)
class PerSessionSettings:
    """Durations in microseconds. Raises ValueError with every mistake in the values."""

    heartbeat_interval: Duration = field(
        default=15 * SECOND, metadata={"description": "Time from one heartbeat to the next."}
    )
    timeout: Duration = field(
        default=45 * SECOND,
        metadata={"description": "A silence of this length is a timeout, at that very moment."},
    )
    close_code: int = field(
        default=1001,
        metadata={
            "description": "Close code of a timed-out connection. After 1000, 1001 and 1008 the "
            "client of the seed's SDK stays away; after 1012 or 4000 it comes back."
        },
    )
    close_reason: str = field(
        default="Connection timeout detected",
        metadata={"description": "Close reason, at most 123 bytes of UTF-8."},
    )
    close_timeout: Duration = field(
        default=5 * SECOND,
        metadata={"description": "Longest close handshake; then the transport is aborted."},
    )
    stall_threshold: Duration = field(
        default=5 * SECOND,
        metadata={"description": "A longer pause of the server is not counted as silence."},
    )

    def __post_init__(self) -> None:
        if mistakes := list(self._mistakes()):
            raise ValueError(*mistakes)

    def _mistakes(self) -> Iterator[str]:
        for name in ("heartbeat_interval", "timeout", "close_timeout"):
            if getattr(self, name) <= 0:
                yield f"{name}: must be longer than 0s"
        if self.stall_threshold < 0:
            yield "stall_threshold: must not be negative"
        code = self.close_code
        if not (1000 <= code <= 1014 or 3000 <= code <= 4999):
            yield f"close_code: {code} may not be sent; use 1000 to 1014 or 3000 to 4999"
        elif code in _FORBIDDEN_CODES:
            yield f"close_code: {code} {_FORBIDDEN_CODES[code]}"
        if (length := len(self.close_reason.encode())) > _LONGEST_REASON:
            yield (
                f"close_reason: {length} bytes of UTF-8; at most {_LONGEST_REASON} fit a close frame"
            )

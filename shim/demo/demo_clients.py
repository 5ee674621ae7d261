"""Which clients there are, and how each of them behaves.

Times are those of a real service, in seconds; the settings and the clients divide them by one factor.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from shim.model import Kind

PACKAGE = "com.example.demo"

HEARTBEAT = 15.0
TIMEOUT = 45.0

NO_RECONNECT = (1000, 1001, 1008)
"""After these close codes a client with the SDK does not connect again."""


class ClientBehaviour(StrEnum):
    """What a client does, again and again.

    healthy     answers pings and sends a message now and then
    sdk         an app that the phone suspends for a while; connects again as `@mentra/sdk` does
    dropped     loses its network without a close; connects again a while later
    flapping    connects, leaves properly, connects again
    silent      answers nothing for a little longer than the timeout, then goes on
    frozen      answers nothing any more, and does not connect again
    pausing     answers nothing for a while, shorter than the timeout, again and again

    The demo's rollout has the first four, that of a fleet the last one, too; the tests have all of them.
    """

    HEALTHY = "healthy"
    SDK = "sdk"
    DROPPED = "dropped"
    FLAPPING = "flapping"
    SILENT = "silent"
    FROZEN = "frozen"
    PAUSING = "pausing"


@dataclass(frozen=True, slots=True)
class ClientSpec:
    """One identity among the clients; `home` is the only process of a fleet to which it connects (None: to
    all of them)."""

    user: str
    kind: Kind
    behaviour: ClientBehaviour
    home: int | None = field(default=None, kw_only=True)


_PROPORTIONS: Mapping[ClientBehaviour, tuple[float, int, tuple[Kind, ...]]] = {
    ClientBehaviour.HEALTHY: (0.74, 48, (Kind.GLASSES, Kind.APP)),
    ClientBehaviour.SDK: (0.14, 28, (Kind.APP,)),
    ClientBehaviour.DROPPED: (0.06, 8, (Kind.GLASSES,)),
    ClientBehaviour.FLAPPING: (0.06, 6, (Kind.GLASSES,)),
}
"""The share of the users, how many there are at least, and the connections of each. With fewer apps the
brake could not be certain of anything."""


def demo_clients(users: int) -> list[ClientSpec]:
    """The clients of about this many users, in the proportions of the demo."""
    return [
        ClientSpec(f"{behaviour}-{number + 1}@example.com", kind, behaviour)
        for behaviour, (share, least, kinds) in _PROPORTIONS.items()
        for number in range(max(least, round(share * users)))
        for kind in kinds
    ]

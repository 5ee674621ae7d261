"""Slows down failed attempts: after several failures an address must wait."""

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Callable

from shim.console.access.trusted_proxies import read_address
from shim.model import SECOND, Duration, Time

_LIMIT = 5
_WINDOW: Duration = 60 * SECOND
_MOST_ADDRESSES = 10_000


class Throttle:
    """Counts failures by address; for IPv6 by the first 64 bits, which belong to one customer."""

    def __init__(self, clock: Callable[[], Time]) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[Time]] = OrderedDict()

    def wait(self, address: str | None) -> Duration:
        """How long this address must wait before it may try again; 0: it need not wait."""
        failures = self._recent(_network(address))
        return failures[0] + _WINDOW - self._clock() if len(failures) >= _LIMIT else 0

    def failed(self, address: str | None) -> None:
        network = _network(address)
        failures = self._recent(network)
        failures.append(self._clock())
        self._failures[network] = failures
        self._failures.move_to_end(network)
        if len(self._failures) > _MOST_ADDRESSES:
            self._failures.popitem(last=False)

    def _recent(self, network: str) -> deque[Time]:
        failures = self._failures.get(network)
        if failures is None:
            return deque(maxlen=_LIMIT)
        since = self._clock() - _WINDOW
        while failures and failures[0] <= since:
            failures.popleft()
        return failures


def _network(address: str | None) -> str:
    parsed = read_address(address)
    if parsed is None:
        return ""
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))

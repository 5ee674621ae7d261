"""What proxies say about a request: believed from the addresses in `console.trusted_proxies` alone.

Anybody can send X-Forwarded-For, -Proto and -Prefix. From other addresses they are as if absent.
"""

import logging
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import web

log = logging.getLogger(__name__)

FORWARDED_FOR = "X-Forwarded-For"
FORWARDED_PROTO = "X-Forwarded-Proto"
FORWARDED_PREFIX = "X-Forwarded-Prefix"


class TrustedProxies:
    """Reads the headers of these proxies. The address of a proxy is the one that its connection comes from."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._networks = networks
        self._told = False

    def client(self, request: web.Request) -> str | None:
        """The address that asks: the last in X-Forwarded-For that is no trusted proxy, else the connection's.

        Each proxy adds the address that asked it at the end, so what a visitor wrote comes before that.
        """
        address = request.remote
        if not self._trusts(address):
            return address
        for said in _last_first(request.headers.getall(FORWARDED_FOR, [])):
            found = _without_port(said)
            if read_address(found) is None:
                break
            address = found
            if not self._trusts(address):
                break
        return address

    def is_secure(self, request: web.Request) -> bool:
        """Whether the browser's own connection is one over TLS."""
        if request.secure:
            return True
        said = _last_first(self._headers(request, FORWARDED_PROTO))
        return "https" in (scheme.lower() for scheme in said)

    def prefix(self, request: web.Request) -> str:
        """What the one X-Forwarded-Prefix says; empty for none, or for several."""
        headers = self._headers(request, FORWARDED_PREFIX)
        return headers[0] if len(headers) == 1 else ""

    def _headers(self, request: web.Request, name: str) -> list[str]:
        """All headers of this name, if the proxy that sends them is trusted."""
        headers = request.headers.getall(name, [])
        if not headers or self._trusts(request.remote):
            return headers
        if not self._told:
            self._told = True
            log.warning(
                "%s from %s counts for nothing, because this address is not in console.trusted_proxies",
                name,
                request.remote,
            )
        return []

    def _trusts(self, address: str | None) -> bool:
        found = read_address(address)
        return found is not None and any(found in network for network in self._networks)


def read_address(address: str | None) -> IPv4Address | IPv6Address | None:
    """An address without its zone; an IPv4 address that is written as one of IPv6 is one of IPv4."""
    try:
        found = ip_address((address or "").partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _last_first(headers: Sequence[str]) -> Iterator[str]:
    """The items of the lists in these headers, which are one list together."""
    for header in reversed(headers):
        yield from (item.strip() for item in reversed(header.split(",")))


def _without_port(address: str) -> str:
    """Some proxies write `192.0.2.7:4711` and `[2001:db8::7]:4711`."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address

"""The path under which browsers see the console.

    https://host/ops/shim/verdicts
                |   |
                |   the prefix of `app.add_subapp("/shim", shim.console())`; several if applications are nested
                what a proxy takes away before it asks the service

The proxy's part is `console.base_path` in the settings, or else the header X-Forwarded-Prefix of a trusted
proxy, if it is a plain path. It changes nothing but the links in the answer to the request that carries it:
neither what somebody may do, nor the host that a link leads to.
"""

from aiohttp import web

from shim.console.access.trusted_proxies import TrustedProxies
from shim.settings.sections import is_base_path

OVERVIEW = "shim-overview"
"""The name of the route `/`; aiohttp knows its path together with all prefixes."""

PROXY_PATH = web.AppKey("proxy_path", str)
"""`console.base_path`; missing if the header is to say it."""

PROXIES = web.AppKey("proxies", TrustedProxies)
"""Whose headers are believed."""


def base_of(request: web.Request) -> str:
    """What comes before each path of the console in a browser, like `/ops/shim`; empty for nothing."""
    if PROXY_PATH in request.app:
        return request.app[PROXY_PATH] + _mounted(request)
    path = request.app[PROXIES].prefix(request).removesuffix("/")
    return (path if is_base_path(path) else "") + _mounted(request)


def path_of(request: web.Request) -> str:
    """The console's own path of this request, like `/verdicts/7`, percent-encoded."""
    return request.rel_url.raw_path.removeprefix(_mounted(request)) or "/"


def _mounted(request: web.Request) -> str:
    return str(request.app.router[OVERVIEW].url_for()).removesuffix("/")

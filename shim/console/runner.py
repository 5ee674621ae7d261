"""How each listener of the reference server is run."""

from aiohttp import web

KEEPALIVE = 75.0
"""Seconds in which a request has to come, as `web.run_app` has it; a runner's own default is an hour."""


def runner_of(app: web.Application, shutdown_timeout: float) -> web.AppRunner:
    """`shutdown_timeout`: seconds that requests get to end."""
    return web.AppRunner(
        app, access_log=None, shutdown_timeout=shutdown_timeout, keepalive_timeout=KEEPALIVE
    )

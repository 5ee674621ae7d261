"""`shim serve`: the reference server."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from shim.cli.common import input_errors
from shim.model import InputError
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.runtime.hook_observer import HookObserver
from shim.server import Secrets, open_house
from shim.server.serving import listen, serve_until_told, url_of
from shim.settings import Settings, load_settings


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="The settings file.")
@click.option("--host", help="Listen here instead of `server.host`.")
@click.option("--port", type=click.IntRange(0, 65535), help="Listen here instead of `server.port`.")
@click.option("--dev", is_flag=True, help="Make up missing secrets, accept any app with key `dev`.")
@click.option(
    "--capture",
    type=click.Path(path_type=Path),
    help="Record what happens, for `shim replay`, to files named after this one.",
)
@click.option("--uvloop", "on_uvloop", is_flag=True, help="Run on uvloop (extra `uvloop`).")
@click.option("--auto", is_flag=True, help="Take the steps of the plan (`promotion`) by itself.")
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
)
@input_errors
def serve(
    config: Path | None,
    host: str | None,
    port: int | None,
    dev: bool,
    capture: Path | None,
    auto: bool,
    on_uvloop: bool,
    log_level: str,
) -> None:
    """Serve glasses and apps over WebSockets, watched by both monitors."""
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)-8s %(message)s")
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    manager = plugin_manager()
    settings = load_settings(config, monitor_types(manager))
    secrets = Secrets.from_environment(dev=dev)
    new_event_loop = loop_factory(on_uvloop)
    if dev:
        for name, value in secrets.environment().items():
            click.echo(f"{name}={value}")
    with (
        _listeners(settings, host, port) as (listener, console),
        open_house(
            settings, secrets, observers=[HookObserver(manager)], capture=capture, promote=auto
        ) as house,
    ):
        serve_until_told(
            house,
            listener,
            console,
            ready=lambda: _announce(listener, console),
            new_event_loop=new_event_loop,
        )


@contextmanager
def _listeners(
    settings: Settings, host: str | None, port: int | None
) -> Iterator[tuple[socket.socket, socket.socket | None]]:
    """For connections, and for the console if it is apart; options go before settings."""
    server, blamed = settings.server, settings.origin.of
    if host is None and port is None:
        with blamed("server"):
            listener = listen(server.host, server.port)
    else:
        listener = listen(host or server.host, server.port if port is None else port)
    with listener:
        if server.admin is None:
            yield listener, None
            return
        with blamed("server", "admin"):
            console = listen(server.admin.host, server.admin.port)
        with console:
            yield listener, console


def loop_factory(on_uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop. Raises InputError where uvloop is not installed."""
    if not on_uvloop:
        return asyncio.new_event_loop
    try:
        import uvloop
    except ImportError:
        raise InputError(
            "--uvloop: uvloop is not installed; pip install 'monitor-migration-shim[uvloop]'"
        ) from None
    return uvloop.new_event_loop


def _announce(listener: socket.socket, console: socket.socket | None) -> None:
    click.echo(f"listening on {url_of(listener)}")
    if console is not None:
        click.echo(f"console on {url_of(console)}")

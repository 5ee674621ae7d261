"""`shim demo`: a rollout with real clients, which goes wrong and recovers."""

import sys

import click

from shim.cli.common import input_errors
from shim.cli.terminal import TextConsole
from shim.demo.demo_run import DemoOptions, run_demo
from shim.demo.demo_settings import FACTOR


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
    default=FACTOR,
    show_default=True,
    help="Time runs this much faster than in a real service; the settings are shorter by this factor.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="The port of the service; without the option, any free port.",
)
@click.option("--keep", is_flag=True, help="Keep the service running at the end, until Ctrl-C.")
@click.option(
    "--trace-url",
    help="The address of a trace, like http://127.0.0.1:16686/trace/{trace_id}.",
)
@input_errors
def demo(
    seconds: float, users: int, factor: float, port: int, keep: bool, trace_url: str | None
) -> None:
    """Show the rollout of a new health monitor in a service with real WebSocket clients.

    Edits of the flags file raise the stages. Then the rollout goes wrong: apps stay away after close code
    1001, and the brake takes everybody back. With another close code the rollout goes on. The clients
    run in a process of their own. The demo ends by itself. The exit code is 1 if a check of the demo
    fails.
    """
    sys.exit(run_demo(DemoOptions(seconds, users, factor, port, keep, trace_url), TextConsole()))

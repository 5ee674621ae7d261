"""`shim demo`: a rollout with real clients, which goes wrong and recovers."""

import sys

import click
from rich.console import Console

from shim.cli.common import input_errors
from shim.demo.demo_run import DemoOptions, run_demo
from shim.demo.demo_settings import FACTOR


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="About how long it runs. Each step lasts at least until its goal is reached, all of them "
    "about 45 s at the default --factor.",
)
@click.option(
    "--users",
    type=click.IntRange(36, 5000),
    default=200,
    show_default=True,
    help="About how many users there are; never fewer than 90.",
)
@click.option(
    "--factor",
    type=click.FloatRange(1, 40),
    default=FACTOR,
    show_default=True,
    help="How much faster than in a real service time runs, by settings.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="The service's port; any free one unless given.",
)
@click.option("--keep", is_flag=True, help="Go on with the service at the end, until Ctrl-C.")
@click.option(
    "--trace-url",
    help="Where a trace is seen, like http://127.0.0.1:16686/trace/{trace_id}.",
)
@input_errors
def demo(
    seconds: float, users: int, factor: float, port: int, keep: bool, trace_url: str | None
) -> None:
    """Roll a new health monitor out in a service with real WebSocket clients.

    Edits of the flags file raise the stages. Then the rollout goes wrong: apps stay away after the close
    code 1001, and the brake takes everybody back. With another close code the rollout goes on. The
    clients are in a process of their own. The demo ends by itself; exit code 1 if anything went
    otherwise than it has to.
    """
    sys.exit(run_demo(DemoOptions(seconds, users, factor, port, keep, trace_url), Console()))

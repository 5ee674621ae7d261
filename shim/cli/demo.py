"""`shim demo`: both monitors, a fleet of real clients, and what became of them."""

import sys

import click
from rich.console import Console

from shim.cli.common import input_errors
from shim.demo.run import Options, run
from shim.demo.scenario import FACTOR, SHORTEST


@click.command()
@click.option(
    "--seconds", type=click.FloatRange(1), default=60.0, show_default=True, help="How long it runs."
)
@click.option(
    "--users",
    type=click.IntRange(36, 5000),
    default=200,
    show_default=True,
    help="About how many users take part.",
)
@click.option(
    "--factor",
    type=click.FloatRange(1, 40),
    default=FACTOR,
    show_default=True,
    help="How much faster than in the seed time runs, by settings.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="The server's port; any free one unless given.",
)
@click.option("--keep", is_flag=True, help="Go on after the summary, until Ctrl-C.")
@input_errors
def demo(seconds: float, users: int, factor: float, port: int, keep: bool) -> None:
    """Run the reference server and a fleet of WebSocket clients, and check what happens to each.

    A second process has the clients: healthy, frozen, silent for a while, dropped, flapping, and
    some that reconnect as the SDK does. It ends by itself; exit code 1 if anything went otherwise
    than it had to.
    """
    if seconds * factor < SHORTEST:
        raise click.UsageError(
            f"{seconds:g} s are too short for everything to happen: at --factor {factor:g} "
            f"it takes --seconds {SHORTEST / factor:g}"
        )
    sys.exit(run(Options(seconds, users, factor, port, keep), Console()))

"""`shim demo`: both monitors, fleets of real clients, a rollout, and what became of them all."""

import sys
from math import ceil

import click
from rich.console import Console

from shim.cli.common import input_errors
from shim.demo.production import ACT_ONE, Options
from shim.demo.run import run
from shim.demo.scenario import FACTOR, SHORTEST

_FASTEST = 40.0


def shortest(factor: float) -> int:
    """The seconds within which everything happens that is checked."""
    return ceil(SHORTEST / factor / ACT_ONE)


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(shortest(_FASTEST)),
    default=60.0,
    show_default=True,
    help=f"About how long it runs, {shortest(FACTOR)} at least at the default --factor; the second act "
    "takes what its story needs.",
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
    type=click.FloatRange(1, _FASTEST),
    default=FACTOR,
    show_default=True,
    help="How much faster than in the seed time runs, by settings.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="The first act's port; any free one unless given.",
)
@click.option("--keep", is_flag=True, help="Go on with the first act's server, until Ctrl-C.")
@click.option(
    "--trace-url",
    help="Where a trace is seen, like http://127.0.0.1:16686/trace/{trace_id}.",
)
@input_errors
def demo(
    seconds: float, users: int, factor: float, port: int, keep: bool, trace_url: str | None
) -> None:
    """Run the reference server and fleets of WebSocket clients, and check what happens to each.

    In the first act all sorts of clients are at all stages: healthy, frozen, silent for a while,
    dropped, flapping, and some that reconnect as the SDK does. The second is a rollout by edits of
    the flags file: the stages rise, one step is a bad one, the brake takes everyone back, and it
    goes on. The clients are in processes of their own. It ends by itself; exit code 1 if anything
    went otherwise than it had to.
    """
    if seconds < (least := shortest(factor)):
        raise click.UsageError(
            f"{seconds:g} s are too short for everything to happen: at --factor {factor:g} "
            f"it takes --seconds {least}"
        )
    sys.exit(run(Options(seconds, users, factor, port, keep, trace_url), Console()))

"""A fleet of real processes behind a round robin, with real clients that write down what happens to them.

    python -m benchmarks.fleet --processes 8 --clients 2000

The clients fall silent, freeze, leave, and come back anywhere; then the store has to say of each of them what
its client wrote down. It prints a table, and exits with 1 if anything differs.
"""

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

import click

from benchmarks.processes import raise_limit
from shim.settings import LedgerUrl
from tests.fleet.outcome_check import audit, compare_outcomes, wait_until_concluded
from tests.fleet.real_fleet import TIMES, prepared_store, real_fleet, round_robin, settings_of
from tests.fleet.roaming import roaming
from tests.postgres.server import PostgresServer

DELAY_WITHIN = 0.2
"""Seconds."""

_MOST_DOUBTFUL = 0.01
"""The share of users whose log may leave more than one truth."""


async def check_returns(
    folder: Path, store: LedgerUrl, processes: int, clients: int, seconds: float
) -> bool:
    """Whether the outcomes of clients that roam for so long are what the clients wrote down."""
    audit(store)
    names = [f"p{number}" for number in range(processes)]
    began = perf_counter()
    async with (
        real_fleet(folder, store, names, settings=settings_of(TIMES)) as members,
        round_robin(members) as port,
        roaming(clients, port, TIMES, seconds=seconds, arrival=clients / 200, seed=1) as log,
    ):
        closed = perf_counter()
        await wait_until_concluded(store)
        concluded = perf_counter()
    report = compare_outcomes(store, log, TIMES, delay_within=DELAY_WITHIN)
    _print_table(
        f"{processes} processes, {clients:,} clients, {seconds:g} s",
        {
            "connections": f"{len(log.all_stays()):,}",
            **report.figures(),
            "attempts to connect that failed": f"{len(log.failed)}",
            "took": f"{closed - began:.0f} s, and {concluded - closed:.1f} s until all was concluded",
        },
    )
    for difference in [*report.differences[:20], *log.failed[:20]]:
        print(difference, file=sys.stderr)
    return not (
        report.differences or log.failed or report.doubtful > max(1, clients * _MOST_DOUBTFUL)
    )


def _print_table(title: str, figures: Mapping[str, str]) -> None:
    print(f"fleet: {title}")
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"    {name:<{width}}  {value}")


@click.command()
@click.option("--processes", default=8, show_default=True)
@click.option("--clients", default=2000, show_default=True)
@click.option("--seconds", default=60.0, show_default=True, help="How long the clients roam.")
def main(processes: int, clients: int, seconds: float) -> None:
    raise_limit()
    with tempfile.TemporaryDirectory() as folder, PostgresServer(durable=True) as server:
        store = prepared_store(server)
        done = asyncio.run(check_returns(Path(folder), store, processes, clients, seconds))
    sys.exit(0 if done else 1)


if __name__ == "__main__":
    main()

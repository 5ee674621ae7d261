"""A fleet of real processes behind a round robin, with real clients that write down what happens to them.

    python -m benchmarks.fleet --processes 8 --clients 2000

The clients fall silent, freeze, leave, and come back anywhere; then the store has to say of each of them what
its client wrote down. Then the fleet's brake is engaged, by hand and on false kills of which no process has
seen enough; then the store and a process go away. It prints tables, and exits with 1 if anything differs.
"""

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

import click
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.processes import raise_limit
from shim.model.ledger_url import LedgerUrl
from tests.fleet import brake_scenario
from tests.fleet.outcome_check import audit, compare_outcomes, wait_until_concluded
from tests.fleet.real_fleet import TIMES, ask, prepared_store, real_fleet, round_robin, settings_of
from tests.fleet.roaming import roaming
from tests.postgres.server import PostgresServer

BRAKE_WITHIN = 2.0
"""Seconds."""

_ARRIVALS = 50
"""Clients that come in a second: in a crowd they and the processes would measure how busy the machine is."""

_MOST_DOUBTFUL = 0.01
"""The share of users whose log may leave more than one truth."""


async def check_returns(
    folder: Path, store: LedgerUrl, processes: int, clients: int, seconds: float
) -> bool:
    """Whether the outcomes of clients that roam for so long are what the clients wrote down."""
    audit(store)
    began, arrival = perf_counter(), clients / _ARRIVALS
    async with (
        real_fleet(folder, store, _names(processes), settings=settings_of(TIMES)) as members,
        round_robin(members) as proxy,
        roaming(clients, proxy.port, TIMES, seconds=seconds, arrival=arrival, seed=1) as log,
    ):
        closed = perf_counter()
        await wait_until_concluded(store)
        concluded = perf_counter()
        log.standstills.append(await proxy.standstills())
        metrics = [await ask(one, "/metrics") for one in members]
    report = compare_outcomes(store, log, TIMES)
    differences = [*report.differences, *report.delays.differences()]
    _print_table(
        f"{processes} processes, {clients:,} clients, {seconds:g} s",
        {
            "connections": f"{len(log.all_stays()):,}",
            **report.figures(),
            "attempts to connect that failed": f"{len(log.failed)}",
            **{
                f"{name} stood still": f"{len(found.spans):,} times, "
                f"for at most {found.longest * 1000:.0f} ms"
                for name, found in zip(("the clients", "the proxy"), log.standstills, strict=True)
            },
            "timers of the shims that were more than 0.1 s late, 0.25 s": ", ".join(
                f"{sum(_count_late(text, limit) for text in metrics):,}"
                for limit in ("0.1", "0.25")
            ),
            "took": f"{closed - began:.0f} s, and {concluded - closed:.1f} s until all was concluded",
        },
    )
    for difference in [*differences[:20], *log.failed[:20]]:
        print(difference, file=sys.stderr)
    if not report.is_complete:
        print("not everything has happened that the clients are there for", file=sys.stderr)
    return report.is_complete and not (
        differences or log.failed or report.doubtful > max(1, clients * _MOST_DOUBTFUL)
    )


async def check_brake(folder: Path, server: PostgresServer, processes: int, clients: int) -> bool:
    """Whether everybody was at `shadow` in time, nobody was disconnected, and nobody forgot it."""
    store, names = prepared_store(server), _names(processes)
    async with (
        real_fleet(
            folder, store, names, settings=brake_scenario.SETTINGS, flags=brake_scenario.FLAGS
        ) as members,
        brake_scenario.bystanders(members, clients) as others,
    ):
        by_hand = await brake_scenario.brake_by_hand(members, clients)
        merged = await brake_scenario.brake_by_evidence(members, store)
        disconnected = others.disconnected
        server.stop()
        killed = members[0].process
        killed.kill()
        await killed.wait()
        again = await brake_scenario.start_without_store(folder, store, names[0])
        reports = [await ask(one, "/api/report") for one in members[1:]]
        kept = [again, *(report["brake"] for report in reports)]
    _print_table(
        f"the brake of {processes} processes, {clients:,} clients at live",
        {
            "by hand, until all are at shadow": f"{by_hand.took * 1000:.0f} ms",
            "on the merged record, until all are at shadow": f"{merged.took * 1000:.0f} ms",
            "because": merged.reason,
            "clients disconnected": f"{len(disconnected)}",
            "processes that keep it without the store": f"{kept.count(merged.reason)}",
        },
    )
    in_time = max(by_hand.took, merged.took) <= BRAKE_WITHIN
    return in_time and not disconnected and kept == [merged.reason] * processes


def _count_late(metrics: str, limit: str) -> int:
    """How many timers of a process were later than this bucket of its metric."""
    counts = {
        sample.labels.get("le"): int(sample.value)
        for family in text_string_to_metric_families(metrics)
        if family.name == "shim_timer_lateness_seconds"
        for sample in family.samples
    }
    return counts["+Inf"] - counts[limit]


def _names(processes: int) -> list[str]:
    return [f"p{number}" for number in range(processes)]


def _print_table(title: str, figures: Mapping[str, str]) -> None:
    print(f"fleet: {title}")
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"    {name:<{width}}  {value}")


@click.command()
@click.option("--processes", default=8, show_default=True)
@click.option("--clients", default=2000, show_default=True)
@click.option("--seconds", default=180.0, show_default=True, help="How long the clients roam.")
def main(processes: int, clients: int, seconds: float) -> None:
    raise_limit()
    with tempfile.TemporaryDirectory() as name, PostgresServer(durable=True) as server:
        folder, store = Path(name), prepared_store(server)
        returns = asyncio.run(check_returns(folder / "1", store, processes, clients, seconds))
        brake = asyncio.run(check_brake(folder / "2", server, processes, clients))
    sys.exit(0 if returns and brake else 1)


if __name__ == "__main__":
    main()

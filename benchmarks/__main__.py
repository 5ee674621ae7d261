"""`make bench`: all of them, one after the other."""

import click

from benchmarks import (
    connections,
    console,
    gate,
    guard,
    ledger,
    limit,
    replay,
    returns,
    rollout,
    store,
    storm,
    telemetry,
    touch,
)


@click.command()
@click.option("--quick", is_flag=True, help="Fewer connections and rounds: a look, not a figure.")
def main(quick: bool) -> None:
    touch.run()
    limit.run((1_000, 10_000) if quick else limit.COUNTS)
    replay.run(100_000 if quick else 500_000)
    returns.run(50_000 if quick else 300_000)
    telemetry.run(10_000 if quick else 50_000)
    console.run(10_000 if quick else 100_000, 5_000 if quick else 50_000)
    gate.run(50_000 if quick else 1_000_000)
    ledger.main(50_000 if quick else 300_000)
    store.run(40_000 if quick else 1_000_000)
    if quick:
        connections.run(300, rounds=1, turns=1, peers=True)
        storm.run(300, turns=1)
    else:
        connections.run(2_000, rounds=2, turns=1, peers=True)
        connections.run(5_000, rounds=2, turns=1)
        storm.run(5_000, turns=1)
    rollout.run(500 if quick else 5_000)
    guard.run(200 if quick else 1_000, speed=10 if quick else 4)


main()

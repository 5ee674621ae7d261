"""`make bench`: all of them, one after the other, or those that are named.

python -m benchmarks                    all of them: 20 to 25 minutes on a quiet machine
python -m benchmarks --quick            a look, not a figure
python -m benchmarks storm connections  these two

Some have longer forms of their own: `python -m benchmarks.limit` goes up to a million connections, and
`python -m benchmarks.storm` measures each library on each event loop. A benchmark that fails does not keep the
others from running.
"""

import sys
import traceback
from collections.abc import Callable, Sequence
from time import perf_counter

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


def _measure_connections(quick: bool) -> None:
    if quick:
        connections.run(300, rounds=1, turns=1, peers=True)
    else:
        connections.run(2_000, rounds=2, turns=1, peers=True)
        connections.run(5_000, rounds=2, turns=1)


PARTS: dict[str, Callable[[bool], object]] = {
    "touch": lambda quick: touch.run(),
    "limit": lambda quick: limit.run(limit.COUNTS[: 2 if quick else 3]),
    "replay": lambda quick: replay.run(100_000 if quick else 500_000),
    "returns": lambda quick: returns.run(50_000 if quick else 300_000),
    "telemetry": lambda quick: telemetry.run(10_000 if quick else 50_000),
    "console": lambda quick: console.run(*((10_000, 5_000) if quick else (100_000, 50_000))),
    "gate": lambda quick: gate.run(50_000 if quick else 1_000_000),
    "ledger": lambda quick: ledger.main(50_000 if quick else 300_000),
    "store": lambda quick: store.run(40_000 if quick else 1_000_000),
    "connections": _measure_connections,
    "storm": lambda quick: storm.run(300 if quick else 5_000, turns=1, loops=("asyncio",)),
    "rollout": lambda quick: rollout.run(500 if quick else 5_000),
    "guard": lambda quick: guard.run(200 if quick else 1_000, speed=10 if quick else 4),
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--quick", is_flag=True, help="Fewer connections and rounds: a look, not a figure.")
def main(names: Sequence[str], quick: bool) -> None:
    failed = []
    for name in names or PARTS:
        print(f"== {name}", flush=True)
        began = perf_counter()
        try:
            PARTS[name](quick)
        except Exception:
            traceback.print_exc()
            failed.append(name)
        print(f"== {name}: {perf_counter() - began:.0f} s\n", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}")
        sys.exit(1)


main()

"""A storm of reconnecting clients, and of closes, over loopback: the shim against the bare library.

A server process (`idle_server`) and a client process (`idle_client`), as in `connections.py`:

    opens        all clients connect within two seconds, handshakes without a limit
    returns      all of them connect again, while their old connections are still there and are replaced
    closes       all of them close at one moment

The time is the client's: from the first attempt to the last answer, which the server sends when the
connection is registered, or to the end of the last transport. The CPU time is the server's for one connection,
all threads and the work of the following second included: rows and lines wait before they are written. A bare
handler replaces an older connection of the same client, too.

`+ records` is a shim with everything that `Shim.open` gives: ledger, flags file, metrics, capture.

The variants take turns, so that a loaded minute does not fall on one of them alone; figures are medians, and
the ratios are medians of the ratios within a turn.

python -m benchmarks.storm --library aiohttp --loop asyncio     3 minutes
"""

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from statistics import median
from typing import NamedTuple

import click

from benchmarks.processes import child, raise_limit

HEARTBEAT = 15
OVER = 2.0
FIRST = 100
"""Connections made and closed before anything is measured: what is made once is made then."""

STEPS = ("opens", "returns", "closes")


class Variant(NamedTuple):
    """How the connections are watched (`bare`: by nobody), and whether with ledger, metrics and capture."""

    watched: str
    records: bool = False

    def __str__(self) -> str:
        if self == BARE:
            return "bare"
        return f"+ shim, {self.watched}{' + records' if self.records else ''}"


BARE = Variant("bare")
VARIANTS = (
    BARE,
    Variant("complete"),
    *(Variant(stage, records=True) for stage in ("complete", "shadow", "live")),
)


class Measured(NamedTuple):
    """Of one step of one turn."""

    wall: float  # seconds
    cpu: float  # microseconds of the server for one connection


Turn = dict[str, Measured]


LIBRARIES = ("aiohttp", "uvicorn")
LOOPS = ("asyncio", "uvloop")


def run(
    count: int, turns: int, libraries: Sequence[str] = LIBRARIES, loops: Sequence[str] = LOOPS
) -> None:
    """Measure storms of so many clients, so many times."""
    count = min(count, (raise_limit() - 200) // 2)
    setups = [(library, loop) for library in libraries for loop in loops]
    seen: dict[tuple[str, str, Variant], list[Turn]] = {}
    for _ in range(turns):
        for library, loop in setups:
            for variant in VARIANTS:
                turn = asyncio.run(_measure(library, loop, variant, count))
                seen.setdefault((library, loop, variant), []).append(turn)
    print(f"{count} clients, medians of {turns} turns; the ratio to the bare library in brackets")
    for library, loop in setups:
        print(f" {library} on {loop}")
        for variant in VARIANTS:
            _show(variant, seen[library, loop, variant], seen[library, loop, BARE])


def _show(variant: Variant, turns: list[Turn], bare: list[Turn]) -> None:
    figures = []
    for step in STEPS:
        ours, theirs = [t[step] for t in turns], [t[step] for t in bare]
        pairs = list(zip(ours, theirs, strict=True))
        wall = median(a.wall / b.wall for a, b in pairs)
        cpu = median(a.cpu / b.cpu for a, b in pairs)
        figures.append(
            f"{step} {median(m.wall for m in ours):5.2f} s ({wall:.2f}), "
            f"{median(m.cpu for m in ours):4.0f} us ({cpu:.2f})"
        )
    print(f"  {variant!s:<28} {'   '.join(figures)}", flush=True)


async def _measure(library: str, loop: str, variant: Variant, count: int) -> Turn:
    with tempfile.TemporaryDirectory() if variant.records else nullcontext() as folder:
        arguments = (
            *(library, variant.watched, loop, str(HEARTBEAT)),
            *([folder] if folder else ()),
        )
        async with child("idle_server", *arguments) as server, child("idle_client") as client:
            port = (await server({"do": "port"}))["port"]
            opening = {"do": "open", "port": port}
            await client(opening | {"count": FIRST, "spread": 0})
            await client({"do": "close"})
            used = (await server({"do": "settled", "open": 0}))["cpu"]
            turn = {}

            async def step(name: str, took: float, open: int) -> None:
                nonlocal used
                before, used = used, (await server({"do": "settled", "open": open}))["cpu"]
                turn[name] = Measured(took, 1e6 * (used - before) / count)

            storm = opening | {"count": count, "spread": OVER, "at_once": count, "first": 0}
            await step("opens", (await client(storm))["took"], count)
            took = (await client(storm))["took"]
            await client({"do": "ended", "count": count})
            await step("returns", took, count)
            await step("closes", (await client({"do": "close"}))["took"], 0)
    return turn


@click.command()
@click.option("--count", default=5_000, show_default=True, help="Clients.")
@click.option("--turns", default=3, show_default=True)
@click.option("--library", "libraries", multiple=True, default=LIBRARIES)
@click.option("--loop", "loops", multiple=True, default=LOOPS)
def main(count: int, turns: int, libraries: Sequence[str], loops: Sequence[str]) -> None:
    run(count, turns, libraries, loops)


if __name__ == "__main__":
    main()

"""Real idle connections over loopback: stalls, CPU time and memory, ours against the libraries' own pings.

A server process (`idle_server`) runs one variant, a client process (`idle_client`) holds the connections
open and answers pings:

    parent                        server                    client
    start both                    listen
    connect a few                                           handshakes, pongs
    memory                        RSS before
    connect the rest                                        handshakes, pongs
    let two rounds pass
    cpu                           CPU time of whole rounds, nobody looking
    stalls                        the longest in each of as many rounds
    memory                        RSS after
    close their stdin             stop                      abort, stop

Connections come evenly spread, each in a session of its own, which is the dearest case for the shim.
The stall is how late a sleep of 5 ms ends, so it includes what other processes take from us; `busy` is
the CPU time that passed during one sleep, which does not. The CPU time is measured apart, for looking
costs some, and what an idle server of the same kind needs is taken off. In `shadow` the pings, and with
them the stalls, are those of the legacy monitor's sweep, which a service has before the shim.

The variants take turns, so that a loaded minute does not fall on one of them alone; figures are medians
over the rounds of all turns. A library's keepalive may close clients that answer, because it comes to
their pongs too late: how many is a figure, too, and the other figures are then those of fewer connections.

python -m benchmarks.connections --count 5000 --library aiohttp --loop uvloop     3 minutes
"""

import asyncio
from collections.abc import Sequence
from importlib.util import find_spec
from statistics import median
from typing import NamedTuple

import click

from benchmarks.processes import child, raise_limit

HEARTBEAT = 3.0
FIRST = 100
"""Connections made before memory is looked at: what is allocated once is allocated then."""


class Setup(NamedTuple):
    """A library on an event loop, and the ways in which its connections are watched there.

    `none` sends no pings: an idle server. `own` is the library's own keepalive. The others are stages.
    """

    library: str
    loop: str
    watched: Sequence[str]

    def label(self, watched: str) -> str:
        return f"{self.library} {'keepalive' if watched == 'own' else f'+ shim, {watched}'}"


AIOHTTP = Setup("aiohttp", "asyncio", ("none", "own", "complete", "shadow", "live"))
PEERS = (
    Setup("websockets", "asyncio", ("none", "own", "complete")),
    Setup("uvicorn", "asyncio", ("none", "own", "complete")),
    Setup("aiohttp", "uvloop", ("none", "own", "complete")),
    Setup("websockets", "uvloop", ("none", "own", "complete")),
    Setup("uvicorn", "uvloop", ("none", "own", "complete")),
)


class Rounds(NamedTuple):
    """What was measured in each round, or in each turn."""

    stall: list[float]  # ms
    busy: list[float]  # ms
    cpu: list[float]  # seconds per 1 000 connections and round
    memory: list[float]  # KiB per connection
    lost: list[float]  # connections of clients that answered each ping


class Figures(NamedTuple):
    """The medians; `worst` is the longest stall of all rounds, `lost` the most connections of a turn."""

    stall: float
    busy: float
    cpu: float
    memory: float
    worst: float
    lost: int


def run(count: int, rounds: int, turns: int, peers: bool = False) -> None:
    """Measure so many connections for so many rounds and turns, with other libraries and loops, too."""
    measure([AIOHTTP, *(_installed(PEERS) if peers else ())], count, rounds, turns)


def measure(setups: Sequence[Setup], count: int, rounds: int, turns: int) -> None:
    count = min(count, raise_limit() - 200)
    variants = [(setup, watched) for setup in setups for watched in setup.watched]
    seen = {variant: Rounds([], [], [], [], []) for variant in variants}
    for _ in range(turns):
        for setup, watched in variants:
            measured = asyncio.run(_measure(setup, watched, count, rounds))
            for all_of_them, more in zip(seen[setup, watched], measured, strict=True):
                all_of_them += more
    print(
        f"{count} idle connections, a ping each {HEARTBEAT:g} s, medians of {rounds * turns} rounds"
    )
    for setup in setups:
        _show(setup, {watched: seen[setup, watched] for watched in setup.watched})


def _installed(setups: Sequence[Setup]) -> list[Setup]:
    missing = {
        name for setup in setups for name in (setup.library, setup.loop) if find_spec(name) is None
    }
    for name in sorted(missing):
        print(f"{name} is not installed: nothing is measured with it")
    return [setup for setup in setups if missing.isdisjoint((setup.library, setup.loop))]


def _show(setup: Setup, seen: dict[str, Rounds]) -> None:
    idle, bare = median(seen["none"].cpu), median(seen["none"].memory)
    print(
        f" {setup.library} on {setup.loop}; an idle server's {idle:.4f} CPU s are taken off; a connection "
        f"that nobody pings takes {bare:.2f} KiB"
    )
    figures = {
        watched: Figures(
            median(rounds.stall),
            median(rounds.busy),
            median(rounds.cpu) - idle,
            median(rounds.memory),
            max(rounds.stall),
            int(max(rounds.lost)),
        )
        for watched, rounds in seen.items()
        if watched != "none"
    }
    for watched, ours in figures.items():
        print(
            f"  {setup.label(watched):<27} longest stall of a round {ours.stall:5.1f} ms "
            f"(busy {ours.busy:5.1f}, worst {ours.worst:5.1f})  "
            f"CPU {ours.cpu:.4f} s per 1 000 and round  memory {ours.memory:5.2f} KiB a connection "
            f"({ours.memory - bare:+.2f})"
        )
        if ours.lost:
            print(f"  {'':<27} closed up to {ours.lost} clients, which answer each ping")
    peer = figures.pop("own")
    for watched, ours in figures.items():
        print(
            f"  {setup.label(watched)} / {setup.label('own')}: stall {ours.stall / peer.stall:.2f}, "
            f"busy {ours.busy / peer.busy:.2f}, CPU {ours.cpu / peer.cpu:.2f}, "
            f"memory {ours.memory / peer.memory:.2f}",
            flush=True,
        )


async def _measure(setup: Setup, watched: str, count: int, rounds: int) -> Rounds:
    first = min(FIRST, count // 2)
    measuring = {"rounds": rounds, "seconds": rounds * HEARTBEAT}
    async with (
        child("idle_server", setup.library, watched, setup.loop, str(HEARTBEAT)) as server,
        child("idle_client") as client,
    ):
        port = (await server({"do": "port"}))["port"]
        await client({"do": "open", "port": port, "count": first})
        before = (await server({"do": "memory"}))["kib"]
        await client({"do": "open", "port": port, "count": count - first})
        await asyncio.sleep(2 * HEARTBEAT + 0.5)
        pinged = (await client({"do": "pings"}))["pings"]
        cpu = (await server({"do": "cpu", **measuring}))["cpu"]
        stalls = await server({"do": "stalls", **measuring})
        pinged = (await client({"do": "pings"}))["pings"] - pinged
        after = await server({"do": "memory"})
    name = f"{setup.library} on {setup.loop}, {watched}"
    lost = count - after["open"]
    if lost and watched != "own":
        raise RuntimeError(f"{name}: {after['open']} of {count} connections are still open")
    if not lost and (pinged < 1.6 * count * rounds) is not (watched == "none"):
        raise RuntimeError(f"{name}: {pinged} pings to {count} connections in {2 * rounds} rounds")
    return Rounds(
        [1000 * stall for stall in stalls["stall"]],
        [1000 * busy for busy in stalls["busy"]],
        [1000 * used / count for used in cpu],
        [(after["kib"] - before) / (count - first)],
        [lost],
    )


@click.command()
@click.option("--count", default=2_000, show_default=True, help="Connections.")
@click.option("--rounds", default=2, show_default=True)
@click.option("--turns", default=2, show_default=True)
@click.option("--library", default="aiohttp", show_default=True)
@click.option("--loop", default="asyncio", show_default=True)
def main(count: int, rounds: int, turns: int, library: str, loop: str) -> None:
    """One library on one event loop."""
    measure([Setup(library, loop, ("none", "own", "complete"))], count, rounds, turns)


if __name__ == "__main__":
    main()

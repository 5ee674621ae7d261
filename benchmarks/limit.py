"""The cost at the limit: up to a million connections without sockets in one process.

`python -m benchmarks.limit` measures 1 000, 10 000, 100 000 and 1 000 000 connections, each in a process of its
own, prints the figures and draws `docs/images/limit.svg`. It takes about eight minutes on a quiet machine, and
the largest process 4 GB. `--count` measures other numbers, and draws nothing.

Each process is a whole shim with its ledger and its metrics. Only the sockets are missing. A ticker measures
for how long the event loop does not turn: by the wall clock, and by the CPU time of the loop's thread, which
other processes do not disturb.
"""

import asyncio
import gc
import json
import logging
import sys
import tempfile
import tracemalloc
from collections.abc import Awaitable
from functools import partial
from math import log10
from pathlib import Path
from subprocess import PIPE
from subprocess import run as run_process
from time import perf_counter, process_time, thread_time
from typing import Any

import click
from aiohttp import ClientSession, web

from benchmarks.limit_picture import PICTURE, draw_limit
from benchmarks.memory import resident
from benchmarks.setting import NullPort, make_router
from benchmarks.virtual_connection import VirtualConnection
from shim.aio import Shim
from shim.flags.evaluation import Evaluation
from shim.flags.targeting import everyone_at
from shim.model import Connection, Kind, Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.runtime.secrets import Secrets
from shim.settings.settings import settings_from

COUNTS = (1_000, 10_000, 100_000, 1_000_000)
PER_SESSION = 4
INTERVAL = 15
"""Seconds from one heartbeat to the next."""

_IDLE = 5
"""Seconds in which a shim without connections is measured."""

_TRACED = 100_000
"""More connections are not traced by tracemalloc, which takes twice the memory and time."""

_MONITORS = {
    # The clients never speak, and nobody shall time out.
    "control": {"plugin": "legacy-global", "timeout": "3h"},
    "candidate": {"plugin": "per-session", "timeout": "3h"},
}
_TOKEN = "benchmark"
_ASKED = ("/metrics", "/api/report", "/api/connections?limit=1000", "/api/sessions?limit=1000")

Figures = dict[str, float]


class _Ticker:
    """Measures the turns of the event loop, in milliseconds."""

    def __init__(self) -> None:
        self._wall: list[float] = []
        self._cpu: list[float] = []

    async def watch(self) -> None:
        while True:
            wall, cpu = perf_counter(), thread_time()
            await asyncio.sleep(0.001)
            self._cpu.append((thread_time() - cpu) * 1000)
            self._wall.append((perf_counter() - wall) * 1000)

    def clear(self) -> None:
        self._wall.clear()
        self._cpu.clear()

    def take(self, name: str) -> Figures:
        """The turns since `clear`: median, 99 % and longest."""
        figures = {}
        for clock, turns in (("wall", self._wall), ("CPU", self._cpu)):
            turns.sort()
            for what, at in (("p50", 0.5), ("p99", 0.99), ("max", 1)):
                index = min(int(len(turns) * at), len(turns) - 1)
                figures[f"{name}: {clock} {what}, ms"] = turns[index]
        return figures


class _Service:
    """A shim with very many connections."""

    def __init__(self, count: int, folder: Path, **settings: Any) -> None:
        self._count = count
        self._stage = Stage.SHADOW
        self._idle_cpu = 0.0  # seconds in a second, of a shim without connections and of the ticker
        self._evaluate = {stage: everyone_at(stage).evaluate for stage in Stage}
        self.ticker = _Ticker()
        value = {
            "monitors": _MONITORS,
            "rollout": None,
            "ledger": f"sqlite:///{folder}/ledger.db",
            "capture": {"buffer": 64 * 1_048_576},
            "server": {"drain": "5s"},
            **settings,
        }
        self.shim = Shim.open(
            settings_from(value, monitor_types(plugin_manager())),
            secrets=Secrets("j" * 32, _TOKEN, "key"),
            targeting=everyone_at(self._stage),
            capture=folder / "capture.jsonl",
        )
        self.shim.evaluate = self.evaluate
        self.shim.handover._evaluate = self.evaluate

    def evaluate(self, user: str) -> Evaluation:
        return self._evaluate[self._stage](user)

    async def measure_idle(self) -> None:
        cpu = process_time()
        await asyncio.sleep(_IDLE)
        self._idle_cpu = (process_time() - cpu) / _IDLE

    async def open(self) -> None:
        """Users with glasses and three apps each."""
        for number in range(self._count):
            user = f"u{number // PER_SESSION}"
            kind, package = Kind.GLASSES, None
            if app := number % PER_SESSION:
                kind, package = Kind.APP, f"com.example.app{app}"
            self.shim.register(
                partial(VirtualConnection, self.shim),  # type: ignore[arg-type]
                kind,
                user,
                user,
                package,
            )
            if not number % 100:
                await asyncio.sleep(0)

    async def idle(self, name: str) -> Figures:
        """A heartbeat interval in which nothing happens but heartbeats."""
        await asyncio.sleep(0.2)
        self.ticker.clear()
        cpu = process_time()
        await asyncio.sleep(INTERVAL)
        cost = process_time() - cpu - self._idle_cpu * INTERVAL
        return {f"{name}: CPU, µs": cost * 1e6 / self._count, **self.ticker.take(name)}

    async def timed(self, name: str, work: Awaitable[object]) -> Figures:
        await asyncio.sleep(0.01)  # a turn that began before does not count
        self.ticker.clear()
        wall, cpu = perf_counter(), process_time()
        await work
        took, cost = perf_counter() - wall, process_time() - cpu
        await asyncio.sleep(0.01)
        return {
            f"{name}: time, s": took,
            f"{name}: CPU, µs": cost * 1e6 / self._count,
            **self.ticker.take(name),
        }

    async def move(self, stage: Stage) -> None:
        self._stage = stage
        self.shim.reassess()
        await self.shim.handover.finished()

    async def brake(self) -> None:
        self.shim.engage_brake("measured")
        await self.shim.handover.finished()

    async def rotate(self) -> None:
        recorder = self.shim._recorder
        assert recorder is not None
        before = recorder._files
        recorder._size = 1 << 60
        while recorder._files == before or recorder._opening or not recorder._sink.idle:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def pause(self) -> None:
        """The process did not run for a while; then every monitor is told."""
        now = self.shim.clock()
        self.shim.driver._begin_after_pause(now - 1_000_000, now)
        await asyncio.sleep(1)

    async def coverage(self) -> None:
        self.shim._coverage.measure(self.shim.clock())

    async def ask(self, url: str) -> None:
        """What operators and Prometheus ask. The client is in this process: its work counts, too."""
        async with ClientSession(headers={"Authorization": f"Bearer {_TOKEN}"}) as http:
            for path in _ASKED:
                async with http.get(url + path) as answer:
                    answer.raise_for_status()
                    await answer.read()


async def _measure(count: int, folder: Path) -> Figures:
    service = _Service(count, folder)
    shim = service.shim
    figures: Figures = {}
    async with shim.running():
        runner = web.AppRunner(shim.console())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ticker = asyncio.create_task(service.ticker.watch())
        await service.measure_idle()
        gc.collect()
        gc.freeze()  # what a process has without any connection
        gc.disable()  # the collections are measured by themselves
        before, objects = resident(), len(gc.get_objects())
        figures |= await service.timed("open", service.open())
        figures["memory: resident, B"] = (resident() - before) * 1_048_576 / count
        figures["memory: objects of the collector"] = (len(gc.get_objects()) - objects) / count
        figures |= await service.idle("shadow")
        figures |= await service.timed("move to complete", service.move(Stage.COMPLETE))
        figures |= await service.idle("complete")
        figures |= await service.timed("after a pause", service.pause())
        figures |= await service.timed("API and metrics", service.ask(url))
        figures |= await service.timed("coverage", service.coverage())
        figures |= await service.timed("capture rotation", service.rotate())
        figures |= await service.timed("brake", service.brake())
        began = thread_time()
        gc.collect()
        figures["full collection: CPU, ms"] = (thread_time() - began) * 1000
        gc.freeze()
        began = thread_time()
        gc.collect()
        figures["full collection, frozen: CPU, ms"] = (thread_time() - began) * 1000
        figures |= await service.timed("drain", shim.drain())
        ticker.cancel()
        await runner.cleanup()
    return figures


def _traced(count: int, stage: Stage) -> float:
    """Bytes that the monitors and the router keep of a connection, by tracemalloc."""
    connections = [
        Connection(f"c{n}", Kind.APP, f"u{n // PER_SESSION}", f"u{n // PER_SESSION}", f"app{n % 4}")
        for n in range(count)
    ]
    port = NullPort()
    gc.collect()
    tracemalloc.start()
    router = make_router(0)
    kept = [router.open(connection, port, 0, stage) for connection in connections]
    gc.collect()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return used / len(kept)


def measure(count: int) -> Figures:
    """All figures for this number of connections, measured in this process."""
    logging.disable()
    figures: Figures = {}
    for stage in (Stage.COMPLETE, Stage.SHADOW):
        if count <= _TRACED:
            figures[f"memory: traced at {stage}, B"] = _traced(count, stage)
    with tempfile.TemporaryDirectory() as folder:
        return figures | asyncio.run(_measure(count, Path(folder)))


def slope(figures: dict[int, float]) -> float | None:
    """Of the line through the first and the last point, both axes logarithmic: 1 is proportional."""
    (first, before), (last, after) = min(figures.items()), max(figures.items())
    if first == last or before <= 0 or after <= 0:
        return None
    return log10(after / before) / log10(last / first)


def run(counts: tuple[int, ...]) -> dict[str, dict[int, float]]:
    """Measure each number in a process of its own; the answer is each figure by number."""
    results: dict[str, dict[int, float]] = {}
    for count in counts:
        done = run_process(
            [sys.executable, "-m", "benchmarks.limit", "--here", str(count)],
            check=True,
            stdout=PIPE,
            text=True,
        )
        for name, value in json.loads(done.stdout.splitlines()[-1]).items():
            results.setdefault(name, {})[count] = value
        print(f"{count} connections: measured", flush=True)
    width = max(map(len, results))
    print(" " * width, *(f"{count:>10}" for count in counts), "     slope")
    for name, figures in results.items():
        cells = (f"{figures[count]:10.2f}" if count in figures else " " * 10 for count in counts)
        steepness = slope(figures)
        print(f"{name:{width}}", *cells, "" if steepness is None else f"{steepness:10.2f}")
    return results


@click.command()
@click.option("--count", "counts", multiple=True, type=int, help="So many connections.")
@click.option("--here", type=int, hidden=True)
def main(counts: tuple[int, ...], here: int | None) -> None:
    if here is not None:
        print(json.dumps(measure(here)))
        return
    results = run(counts or COUNTS)
    if not counts:
        PICTURE.write_text(draw_limit(results), encoding="utf-8")


if __name__ == "__main__":
    main()

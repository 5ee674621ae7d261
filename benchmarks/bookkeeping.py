"""What it costs to watch many connections that are simply healthy: CPU and memory, no sockets."""

import gc
import tracemalloc
from statistics import median
from time import process_time_ns

from benchmarks.setting import NullPort, make_router
from shim.model import SECOND, Connection, Kind, Stage, Time
from shim.router import Router, Tracked

INTERVALS = 5
PER_SESSION = 4
STEP = SECOND // 50


def run(count: int) -> None:
    for stage in (Stage.OFF, Stage.COMPLETE, Stage.SHADOW):
        cost = _cost(count, stage)
        print(
            f"{count} connections, {stage}: {cost:.2f} µs of bookkeeping per connection and interval"
            f"; {_memory(count, stage):.0f} B per connection"
        )


def _connections(count: int) -> list[Connection]:
    kinds = [Kind.GLASSES] + [Kind.APP] * (PER_SESSION - 1)
    return [
        Connection(
            f"c{n}",
            kinds[n % PER_SESSION],
            f"u{n // PER_SESSION}",
            f"u{n // PER_SESSION}",
            f"com.example.app{n % PER_SESSION}" if n % PER_SESSION else None,
        )
        for n in range(count)
    ]


def open_connections(router: Router, count: int, stage: Stage, now: Time) -> list[Tracked]:
    """Users with glasses and three apps each."""
    port = NullPort()
    return [router.open(connection, port, now, stage) for connection in _connections(count)]


def _cost(count: int, stage: Stage) -> float:
    router = make_router(0)
    tracked = open_connections(router, count, stage, 0)
    rounds = []
    now = 0
    for _ in range(INTERVALS):
        for one in tracked:
            one.control.last_seen = one.candidate.last_seen = now
        started = process_time_ns()
        for _ in range(15 * SECOND // STEP):
            now += STEP
            router.step(now)
        rounds.append((process_time_ns() - started) / count / 1000)
    return median(rounds)


def _memory(count: int, stage: Stage) -> float:
    connections = _connections(count)
    port = NullPort()
    gc.collect()
    tracemalloc.start()
    router = make_router(0)
    kept = [router.open(c, port, 0, stage) for c in connections]
    gc.collect()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(kept) == count
    return used / count

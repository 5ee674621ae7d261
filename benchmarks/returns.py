"""What the returns of clients cost a process of a fleet, against a process on its own (R15, R24).

Opening and closing: the CPU time of both through the router, in turns. A process of a fleet that asks for
nobody, and one in a fleet that asks for 2 000 users of others.

Memory: bytes of an identity that is open, and of one whose return is waited for, each in a process of its own.

Stalls: the longest time for which the event loop has to wait when 5 000 connections were closed within a
second, 50 000 closings are remembered, and 10 000 actions of other processes become known in one moment.
"""

import gc
import multiprocessing
import tracemalloc
from collections.abc import Iterator
from statistics import median
from time import process_time

from benchmarks.setting import MONITORS, NullPort
from shim.compare.comparator import Comparator
from shim.compare.fleet_returns import AT_ONCE, CAPACITY, FleetReturns, PublishedAction
from shim.compare.outcomes import Outcomes
from shim.compare.return_watcher import ReturnWatcher
from shim.model import SECOND, Connection, Identity, Kind, Role, Stage, Time
from shim.router import Observer, Router, Tracked
from shim.runtime.cpu_meter import CpuMeter

WINDOW = 120 * SECOND
TURNS = 41
CONNECTIONS = 2_000
ASKED_FOR = 2_000
ACTIONS = 10_000


def run(identities: int) -> None:
    _compare_openings()
    for what in ("open", "pending"):
        alone, fleet = (_in_process(what, name, identities) for name in ("alone", "fleet"))
        print(
            f"returns: {identities:,} identities {what}: {alone:.0f} B each in a process on its own, "
            f"{fleet:.0f} B in a process of a fleet (goal: no more)"
        )
    _measure_stall()


def _make_router(returns: ReturnWatcher) -> Router:
    return Router(
        MONITORS,
        comparator=Comparator(tolerance=16 * SECOND, window=60 * SECOND),
        outcomes=returns,
        observer=Observer(),
        start=0,
        meter=CpuMeter(50_000),
    )


def _returns(name: str) -> ReturnWatcher:
    return Outcomes(WINDOW) if name == "alone" else FleetReturns(WINDOW)


def _connections(count: int, begin: int = 0) -> Iterator[Connection]:
    for number in range(begin, begin + count):
        user = f"user{number}@example.com"
        yield Connection(f"c{number}", Kind.APP, user, user, "com.example.app1")


# -- Opening and closing ----------------------------------------------------------------------------


class _Process:
    """A process through whose router connections come and go."""

    def __init__(self, returns: ReturnWatcher) -> None:
        self._returns = returns
        self._router = _make_router(returns)
        self._port = NullPort()
        self._now: Time = 0

    def turn(self) -> float:
        """Microseconds of CPU time for one opening and closing."""
        connections = list(_connections(CONNECTIONS))
        self._now += SECOND
        gc.collect()
        gc.disable()
        began = process_time()
        open_ = [self._router.open(one, self._port, self._now, Stage.SHADOW) for one in connections]
        for tracked in open_:
            self._router.close(tracked, self._now)
        if isinstance(self._returns, FleetReturns):
            # What the fleet does three times a second belongs to the price.
            self._returns.tell((), lambda at: at, self._now, self._now)
        spent = process_time() - began
        gc.enable()
        return spent / CONNECTIONS * 1e6


def _compare_openings() -> None:
    asked = FleetReturns(WINDOW)
    others = [one.identity for one in _connections(ASKED_FOR, begin=CONNECTIONS)]
    asked.tell(_published(others), lambda at: at, None, 0)
    alone = Outcomes(WINDOW)
    for one in _connections(ASKED_FOR, begin=CONNECTIONS):
        # A process on its own waits for returns, too.
        alone.acted(one, Role.CANDIDATE, 10_000 * SECOND, 0)
    processes = {
        "alone": _Process(alone),
        "fleet": _Process(FleetReturns(WINDOW)),
        "asking fleet": _Process(asked),
    }
    spent: dict[str, list[float]] = {name: [] for name in processes}
    for _ in range(TURNS):
        for name, process in processes.items():
            spent[name].append(process.turn())
    ratios = {
        name: median(a / b for a, b in zip(times, spent["alone"], strict=True))
        for name, times in spent.items()
    }
    print(
        f"returns: opening and closing takes {median(spent['alone']):.1f} µs of CPU time in a process on its "
        f"own; {ratios['fleet']:.3f} times that in a process of a fleet, {ratios['asking fleet']:.3f} times "
        f"while the fleet asks for {ASKED_FOR:,} other users (goal: at most 1.05)"
    )


# -- Memory -----------------------------------------------------------------------------------------


def _in_process(what: str, name: str, identities: int) -> float:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_memory, (what, name, identities))


def _memory(what: str, name: str, identities: int) -> float:
    """Bytes that the watcher keeps of each identity; the connections and their records are there anyway."""
    returns, port = _returns(name), NullPort()
    tracked = [
        Tracked(one, order=0, port=port, stage=Stage.LIVE, acting=Role.CANDIDATE, now=0)
        for one in _connections(identities)
    ]
    gc.collect()
    tracemalloc.start()
    for one in tracked:
        returns.opened(one)
    if what == "pending":
        for number, one in enumerate(tracked):
            returns.acted(
                one.connection, Role.CANDIDATE, 60 * SECOND + number, 15 * SECOND + number
            )
        if isinstance(returns, FleetReturns):
            _let_know(returns, [one.connection.identity for one in tracked])
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / identities


def _let_know(returns: FleetReturns, identities: list[Identity]) -> None:
    """The fleet has read all actions, and the closings of before are not needed any more."""
    for begin in range(0, len(identities), AT_ONCE):
        some = _published(identities[begin : begin + AT_ONCE], begin)
        returns.tell(some, lambda at: at, 10_000 * SECOND, 0)


def _published(identities: list[Identity], begin: int = 0) -> list[PublishedAction]:
    """As they come from the store: each with texts of its own."""
    return [
        PublishedAction(
            begin + number,
            (_anew(user), kind, _anew(package or ""), instance),
            60 * SECOND + begin + number,
            15 * SECOND + begin + number,
            180 * SECOND + begin + number,
        )
        for number, (user, kind, package, instance) in enumerate(identities)
    ]


def _anew(text: str) -> str:
    return text.encode().decode()


# -- Stalls -----------------------------------------------------------------------------------------


def _measure_stall() -> None:
    """The steps of one storm; each is one turn of the event loop."""
    returns, port = FleetReturns(WINDOW), NullPort()
    steps: list[float] = []
    connections = list(_connections(CAPACITY))
    for at, one in enumerate(connections):
        returns.opened(
            Tracked(one, order=0, port=port, stage=Stage.LIVE, acting=Role.CANDIDATE, now=at)
        )
        returns.closed(one, 20 * SECOND + at * 200)
    actions = _published([one.identity for one in connections[-ACTIONS:]])
    more, begin = True, 0
    gc.collect()
    while more or begin < ACTIONS:
        some = actions[begin : begin + AT_ONCE]
        began = process_time()
        told = returns.tell(some, lambda at: at, None, 61 * SECOND)
        steps.append(process_time() - began)
        more, begin = told.more, begin + AT_ONCE
    while returns.tell((), lambda at: at, None, 10_000 * SECOND).more:
        pass
    print(
        f"returns: {CAPACITY:,} closings remembered, {ACTIONS:,} actions of others become known: the event "
        f"loop waits {len(steps)} times {median(steps) * 1000:.1f} ms, at most {max(steps) * 1000:.1f} ms "
        "(goal: below 5)"
    )


if __name__ == "__main__":
    run(1_000_000)

"""The fleet's brake with real processes: by hand, and on evidence that no process has alone (R22, R25).

Bystanders are at `live`, behind a round robin. A client of each process is silent until the candidate has
decided, and then proves that it is alive. After five of them the fleet brakes, although no process has seen
enough for that.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from shim.model.ledger_url import LedgerUrl
from tests.fleet.real_fleet import ask, flags_of, member, port_of, round_robin
from tests.fleet.roaming_client import CLOSE_CODE, RoamingConnection, connect, leave_all, now
from tests.live.servers import ServerProcess
from tests.postgres.helpers import look, until_found
from tests.waiting import until

KILLS = 5
GRAIN = 1.0
"""Seconds that count as a minute."""

SETTINGS = f"""
monitors:
  control: {{plugin: legacy-global, heartbeat_interval: 1s, timeout: 10m}}
  candidate:
    plugin: per-session
    heartbeat_interval: 1s
    timeout: 5s
    close_code: {CLOSE_CODE}
    close_timeout: 60s
comparison: {{window: 10m}}
gate: {{grain: {GRAIN:g}s}}
brake: {{count: {KILLS}}}
server: {{drain: 200ms, max_connections_per_app: 1000000}}
"""
"""The control does not interfere; a client may take its time to prove that it is alive."""

FLAGS = flags_of(
    live=100,
    shadow=0,
    rules='[{name: watched, users: ["watched*"], percent: {live: 0, shadow: 100}}]',
)


@dataclass(frozen=True, slots=True)
class Braked:
    """A brake that was engaged: why, and how long it took until nobody was at `live` any more, in seconds."""

    reason: str
    took: float


class Bystanders:
    """Clients at `live` who answer every ping."""

    def __init__(self, connections: Sequence[RoamingConnection]) -> None:
        self._connections = connections

    @property
    def disconnected(self) -> list[str]:
        return [one.stay.user for one in self._connections if one.stay.end is not None]

    async def leave(self) -> None:
        await leave_all(self._connections)


@asynccontextmanager
async def bystanders(processes: Sequence[ServerProcess], count: int) -> AsyncIterator[Bystanders]:
    """So many clients, spread over the processes."""
    async with round_robin(processes) as proxy:
        limit = asyncio.Semaphore(20)

        async def come(number: int) -> RoamingConnection:
            async with limit:
                return await connect(f"bystander{number}@example.com", proxy.port)

        there = Bystanders(await asyncio.gather(*map(come, range(count))))
        await until_live(processes, count)
        try:
            yield there
        finally:
            await there.leave()


async def brake_by_hand(processes: Sequence[ServerProcess], bystander_count: int) -> Braked:
    """Engage at the first process, and release at the last one."""
    began = now()
    order = await ask(processes[0], "/api/brake", engaged=True, reason="by hand")
    await until_live(processes, 0)
    took = now() - began
    await ask(processes[-1], "/api/brake", engaged=False, reason="mended")
    await until_live(processes, bystander_count)
    return Braked(order["reason"], took)


async def brake_by_evidence(processes: Sequence[ServerProcess], store: LedgerUrl) -> Braked:
    """Five false kills on five processes, or as many as there are, in five different minutes.

    All are of one user, who is everywhere: of two users the day's e-value would need fewer.
    """
    orders = _orders(store)
    silent = [
        await connect("watched@example.com", port_of(process), f"com.example.app{number}")
        for number, process in enumerate(islice(cycle(processes), KILLS))
    ]
    for one in silent:
        one.be_mute()
    await until_found(store, "SELECT count(*) FROM decision WHERE role = 'candidate'", [(KILLS,)])
    for one in silent:
        assert _orders(store) == orders, "the brake was engaged too early"
        await asyncio.sleep(GRAIN)
        one.prove_life()
    await until_live(processes, 0)
    done = now()
    [(reason, at)] = look(store, "SELECT reason, at FROM brake_order ORDER BY id DESC LIMIT 1")
    assert all(one.stay.end is None for one in silent)
    await leave_all(silent)
    return Braked(reason, done - at / 1e6)


def _orders(store: LedgerUrl) -> int:
    return len(look(store, "SELECT 1 FROM brake_order"))


async def live_connections(process: ServerProcess) -> int:
    report = (await ask(process, "/api/report"))["process"]
    return int(report["connections"]["stages"]["live"])


async def until_live(processes: Sequence[ServerProcess], count: int) -> None:
    """Wait until so many connections of all processes together are at `live`."""

    async def are_live() -> bool:
        return sum(await asyncio.gather(*map(live_connections, processes))) == count

    await until(are_live, 30, pause=0.1)


async def start_without_store(folder: Path, store: LedgerUrl, name: str) -> str | None:
    """Start a process anew while the store is away; the reason for which its brake is engaged."""
    async with member(folder, store, name, settings=SETTINGS, flags=FLAGS) as again:
        client = await connect("late@example.com", port_of(again))
        report = (await ask(again, "/api/report"))["process"]
        await leave_all([client])
    assert report["connections"]["stages"]["live"] == 0
    reason: str | None = report["brake"]
    return reason

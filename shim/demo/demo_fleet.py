"""The fleet of the demo: three processes with one store, and what the store knows of them."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from shim.demo.demo_clients import ClientBehaviour, ClientSpec, demo_clients
from shim.demo.demo_process import DemoProcess
from shim.demo.demo_settings import flags_file
from shim.demo.local_postgres import LocalPostgres, free_port
from shim.ledger.flags_version import FlagsVersion
from shim.ledger.fleet_record import FleetOrder, FleetRecord
from shim.ledger.protocols import LedgerReader, VerdictCounts
from shim.ledger.rows import ActionRow
from shim.ledger.stores import fleet_store, read_ledger
from shim.model import Kind, Stage, VerdictName
from shim.model.ledger_url import LedgerUrl
from shim.settings.flags_file import parse_flags

PROCESSES = ("first", "second", "third")
"""In the order in which lists show them."""
FLEET = "demo"

_DATABASE = "evidence"
_ALL = 1_000_000
_END_OF_TIME = 1 << 62


@dataclass(frozen=True, slots=True)
class FleetFacts:
    """What the store knows at one moment: the processes, the verdicts, the timeouts acted on."""

    record: FleetRecord
    verdicts: VerdictCounts
    actions: Sequence[ActionRow]

    def stages(self) -> Counter[Stage]:
        """How many open connections are at which stage, as the processes say."""
        found: Counter[Stage] = Counter()
        for process in self.record.processes:
            if process.alive and process.connections is not None:
                found.update(
                    {stage: n for stage in Stage if (n := process.connections.get(str(stage)))}
                )
        return found

    def total(self, verdict: VerdictName) -> int:
        """How many verdicts of this name there are."""
        return sum(count for (name, _), count in self.verdicts.all.items() if name is verdict)

    @property
    def braked(self) -> bool:
        order = self.record.brake
        return order is not None and order.engaged


class DemoFleet:
    """The processes; `demo_fleet` makes them.

    Attributes:
        store: the address of the store, without a password.
        environment: the secrets, for the processes and for an operator's commands.
    """

    def __init__(
        self, folder: Path, store: str, password: str, settings: Mapping[str, Any]
    ) -> None:
        self.folder = folder
        self.store = store
        self.environment = {
            "PGPASSWORD": password,
            "SHIM_JWT_SECRET": secrets.token_hex(32),
            "SHIM_OPERATOR_TOKEN": secrets.token_hex(16),
            "SHIM_HASH_KEY": secrets.token_hex(32),
        }
        self.processes = [
            DemoProcess(name, folder, free_port(), self.environment) for name in PROCESSES
        ]
        self._settings = settings
        user, _, place = store.partition("@")
        self._ledger = LedgerUrl(f"{user}:{password}@{place}")
        self._reader = read_ledger(self._ledger)

    @property
    def urls(self) -> list[str]:
        return [process.url for process in self.processes]

    async def start(self) -> None:
        """Start all processes at once. Raises InputError if one of them does not start."""
        await asyncio.gather(*(process.start(self._settings) for process in self.processes))

    async def deploy(self, change: Mapping[str, Any]) -> AsyncIterator[DemoProcess]:
        """Restart with other settings, one process after the other; each when it is there again."""
        self._settings = {**self._settings, **change}
        for process in self.processes:
            await process.stop()
            await process.start(self._settings)
            yield process

    async def stop(self) -> None:
        await asyncio.gather(*(process.stop() for process in self.processes))
        self._reader.close()

    async def look(self) -> FleetFacts:
        """What the store knows now."""
        return await asyncio.to_thread(_read, self._reader)

    async def orders(self) -> list[FleetOrder]:
        """The orders to the brake, newest first."""
        return await asyncio.to_thread(self._reader.orders, _ALL)

    async def versions(self) -> list[FlagsVersion]:
        """The versions of the flags, newest first."""
        return await asyncio.to_thread(fleet_store(self._ledger).list_flags, _ALL)


def _read(reader: LedgerReader) -> FleetFacts:
    return FleetFacts(
        reader.fleet(), reader.counts(None, 0, _END_OF_TIME), reader.outcomes(limit=_ALL)
    )


@asynccontextmanager
async def demo_fleet(folder: Path, settings: Mapping[str, Any]) -> AsyncIterator[DemoFleet]:
    """Three processes with these settings, which are to be started, and a PostgreSQL of their own.

    Raises InputError where there is no PostgreSQL.
    """
    password = secrets.token_hex(16)
    server = LocalPostgres(owner="shim", password=password)
    await asyncio.to_thread(server.__enter__)
    try:
        await asyncio.to_thread(server.add_database, _DATABASE)
        store = f"postgresql://shim@127.0.0.1:{server.port}/{_DATABASE}"
        own = {**settings, "ledger": store, "fleet": FLEET, "rollout": "ledger"}
        fleet = DemoFleet(folder, store, password, own)
        try:
            yield fleet
        finally:
            await fleet.stop()
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


def fleet_clients(users: int) -> list[ClientSpec]:
    """The clients of about this many users, and for each process one user who pauses.

    Those who pause are users for whom the candidate closes connections when half of the users are at live.
    """
    half = parse_flags(flags_file(live=50, shadow=50), "the demo's flags")
    names = (f"pausing-{number}@example.com" for number in count(1))
    pausing = (name for name in names if half.evaluate(name).stage is Stage.LIVE)
    return demo_clients(users) + [
        ClientSpec(user, Kind.GLASSES, ClientBehaviour.PAUSING, home=home)
        for home, user in zip(range(len(PROCESSES)), pausing, strict=False)
    ]

"""A fleet of real processes with a real store, a line to it for each process, and disks that can be filled."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import aiohttp

from shim.ledger.postgres.process_list import NOW
from shim.ledger.stores import fleet_store
from shim.model.ledger_url import LedgerUrl
from shim.rollout.editing import with_percent
from shim.rollout.promotion import BY_ITSELF
from tests.fleet.standstill import Span, heartbeat
from tests.fleet_faults.crowd import Crowd
from tests.fleet_faults.faulty_line import FaultyLine
from tests.fleet_faults.member import STEP, WRITER, Member
from tests.fleet_faults.small_disk import SmallDisk, small_disk
from tests.live.servers import ROLLOUT
from tests.postgres.helpers import change, look
from tests.postgres.server import PostgresServer

CLOCKS = (0.3, -3.0, 3600.0)
"""Seconds by which the processes' clocks are ahead, one after the other."""

STAYING = 2
"""Clients that stay at each process."""

_SERVER_DISK, _OUTBOX_DISK = 192, 24
"""Megabytes."""

_PATIENCE = 90.0
"""Seconds for what a machine under load needs a while for."""

_LOOK_EVERY = 0.1
"""Seconds. Each look costs the processes some work."""

WRITTEN = "public.written"
"""The table that shows who wrote for all, and who had the lease then."""

STEPPED = "public.stepped"
"""The table that shows who took a step of the plan, on which flags, and whether the brake was engaged then."""

_WATCH_WRITERS = f"""
CREATE TABLE {WRITTEN} (duty text, process text, holder text);
CREATE FUNCTION public.note_writer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO {WRITTEN} SELECT TG_ARGV[0], current_setting('{WRITER}'),
        (SELECT holder FROM shim.lease WHERE duty = TG_ARGV[0]);
    RETURN NULL;
END $$;
CREATE TRIGGER note_writer AFTER UPDATE OF conclusion ON store
    FOR EACH ROW EXECUTE FUNCTION public.note_writer('returns');
CREATE TRIGGER note_writer AFTER INSERT ON brake_order
    FOR EACH ROW WHEN (new.engaged AND new.origin IS NULL)
    EXECUTE FUNCTION public.note_writer('brake');
CREATE FUNCTION public.note_thief() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO {WRITTEN} VALUES (old.duty || ', taken too early', new.holder, old.holder);
    RETURN NULL;
END $$;
CREATE TRIGGER note_thief AFTER UPDATE ON lease
    FOR EACH ROW WHEN (old.holder <> new.holder AND old.until >= {NOW})
    EXECUTE FUNCTION public.note_thief();
CREATE TABLE {STEPPED} (process text, before text, braked boolean);
CREATE FUNCTION public.note_step() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO {STEPPED} SELECT current_setting('{WRITER}'), new.before,
        (SELECT engaged FROM shim.brake_order ORDER BY id DESC LIMIT 1);
    RETURN NULL;
END $$;
CREATE TRIGGER note_step AFTER INSERT ON flags_version
    FOR EACH ROW WHEN (new.who = '{BY_ITSELF}') EXECUTE FUNCTION public.note_step();
"""


class FollowedFlags(NamedTuple):
    """The digest of flags that the tests brought, and that of the flags after the step of the plan."""

    brought: str
    stepped: str


class TroubledFleet:
    """What the faults are done to."""

    def __init__(
        self,
        folder: Path,
        server: PostgresServer,
        server_disk: SmallDisk,
        http: aiohttp.ClientSession,
        stack: AsyncExitStack,
    ) -> None:
        self._folder = folder
        self.server = server
        self.server_disk = server_disk
        self.http = http
        self.store = LedgerUrl(server.url(server.create_database()))
        self.crowd = Crowd(http, stack.enter_context(heartbeat(asyncio.get_running_loop().time)))
        self.members: list[Member] = []
        self.dead: list[Member] = []
        self.brought: list[FollowedFlags] = []
        self.takeovers: list[float] = []
        """Seconds, each time, until another process had the lease of one that was killed or frozen."""
        self._stack = stack
        self._started = self._texts = 0
        self._all: dict[str, Member] = {}

    @property
    def living(self) -> list[Member]:
        return [member for member in self.members if member.lives]

    async def add(self) -> Member:
        """One more process, with clients that stay."""
        number = self._started
        self._started += 1
        line = FaultyLine(self.server.port)
        await line.open()
        self._stack.push_async_callback(line.close)
        name = f"p{number}"
        disk = self._stack.enter_context(small_disk(self._folder / name, _OUTBOX_DISK))
        ahead = CLOCKS[number % len(CLOCKS)]
        member = self._all[name] = Member(name, disk, self.store, line, ahead, notes=self._folder)
        await member.start()
        self.members.append(member)
        await self.crowd.settle([member], STAYING)
        return member

    def pauses_of(self, name: str) -> list[Span]:
        """When a process, which may be dead by now, did not run."""
        return self._all[name].pauses()

    def forget(self, member: Member) -> None:
        """This process is never started again."""
        member.is_lost = True
        self.members.remove(member)
        self.dead.append(member)

    async def push_flags(self) -> None:
        """Bring another version of the flags into the store, past all lines."""
        self._texts += 1
        text = f"# {self._texts}\n" + ROLLOUT.replace("STAGE", '"live"')
        pushed = await asyncio.to_thread(
            fleet_store(self.store).push_flags, text, who="tests", reason="r"
        )
        stepped = with_percent(text.encode(), STEP, "the tests' flags")
        self.brought.append(FollowedFlags(pushed.version.digest, sha256(stepped).hexdigest()))

    async def describe_returns(self) -> str:
        """What holds the outcomes up, for people."""
        asked = (
            f"SELECT 'now', {NOW}::text UNION ALL SELECT 'lease', lease::text FROM lease "
            "UNION ALL SELECT 'store', store::text FROM store "
            "UNION ALL SELECT 'process', process::text FROM process "
            "UNION ALL SELECT 'open action', action::text FROM action WHERE result IS NULL"
        )
        found = await asyncio.to_thread(look, self.store, asked)
        return "\n".join(map(" ".join, found))

    def write_logs(self, folder: Path) -> None:
        """Keep what the processes and PostgreSQL have written, for whoever looks into a finding."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, member in self._all.items():
            (folder / name).write_text(member.log())
        (folder / "postgresql").write_text((self.server.folder / "log").read_text(errors="replace"))

    async def leader(self) -> Member | None:
        """The process that concludes for all."""
        asked = f"SELECT holder FROM lease WHERE duty = 'returns' AND until > {NOW}"
        for (holder,) in await asyncio.to_thread(look, self.store, asked):
            for member in self.members:
                if holder.split()[0] == member.name:
                    return member
        return None

    async def find_leader(self) -> Member:
        found: list[Member] = []

        async def leads() -> bool:
            leader = await self.leader()
            if leader is not None and leader.lives:
                found.append(leader)
            return bool(found)

        await wait_for(leads, "a process leads")
        return found[0]

    async def all_follow(self, brake: str | None) -> bool:
        """Whether this brake and the flags that were brought last, or their step, are in force everywhere."""
        reports = await asyncio.gather(*(member.report() for member in self.living))
        return all(
            report and report["brake"] == brake and report["flags"]["digest"] in self.brought[-1]
            for report in reports
        )


async def wait_for(
    condition: Callable[[], object],
    what: str,
    *,
    explain: Callable[[], Awaitable[str]] | None = None,
) -> float:
    """How many seconds the condition took; it may be a coroutine. `explain` says why it does not hold."""
    clock = asyncio.get_running_loop().time
    began = clock()
    while True:
        met = condition()
        if asyncio.iscoroutine(met):
            met = await met
        if met:
            return clock() - began
        if clock() - began > _PATIENCE:
            why = "" if explain is None else f"\n{await explain()}"
            raise AssertionError(f"after {_PATIENCE:g} s: {what}{why}")
        await asyncio.sleep(_LOOK_EVERY)


@contextmanager
def _open_folder() -> Iterator[Path]:
    """The account that runs PostgreSQL has to get through."""
    with TemporaryDirectory(prefix="shim-faults-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@asynccontextmanager
async def troubled_fleet(processes: int = 3) -> AsyncIterator[TroubledFleet]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(_open_folder())
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        disk = stack.enter_context(small_disk(folder / "server", _SERVER_DISK))
        server = stack.enter_context(
            PostgresServer(
                durable=True,
                settings={"wal_recycle": "off", "min_wal_size": "32MB", "max_wal_size": "64MB"},
                parent=disk.folder,
            )
        )
        fleet = TroubledFleet(folder, server, disk, http, stack)
        await asyncio.gather(*(fleet.add() for _ in range(processes)))
        await asyncio.to_thread(change, fleet.store, _WATCH_WRITERS)
        await fleet.push_flags()
        await wait_for(lambda: fleet.all_follow(None), "the fleet has begun")
        try:
            yield fleet
        finally:
            # While all processes live, those that end have nobody to wait for.
            await fleet.crowd.leave()
            await asyncio.gather(*(member.stop() for member in fleet.members))

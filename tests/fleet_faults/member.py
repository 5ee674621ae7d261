"""A process of the fleet that the tests kill, freeze and start again."""

import asyncio
import signal
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp

from shim.flags.targeting import Percentages
from shim.ledger.sqlite.outbox import Outbox
from shim.model import SECOND
from shim.model.ledger_url import LedgerUrl
from tests.fleet.standstill import Span
from tests.fleet_faults.faulty_line import FaultyLine
from tests.fleet_faults.silence import TIMEOUT
from tests.fleet_faults.small_disk import SmallDisk
from tests.live.servers import QUICK, ServerProcess
from tests.postgres.helpers import process_of

STEP = Percentages(shadow=1)
"""The only step of the plan."""

_SETTINGS = f"""
{QUICK.replace("timeout: 1500ms", f"timeout: {TIMEOUT:g}s")}
promotion: {{auto: true, steps: [{{percent: {{shadow: {STEP.shadow:g}}}}}]}}
"""
"""A client of the tests on a busy machine has time to answer. Whenever the brake is released, each process
wants to take the step that follows the flags that the tests have brought."""

WRITER = "tests.process"
"""The option of a connection to the store that says which process has it."""

_ANSWER = aiohttp.ClientTimeout(40)
"""Seconds, many: the machine is busy."""

Acknowledged = dict[tuple[str, str, int], str | None]
"""The rows of an outbox: table, the run's `uuid` and the row's number; and which connection a row is about."""


class Member:
    """`shim serve` with an outbox of its own, on a disk of its own, and a line of its own to the store.

    Attributes:
        ahead: seconds by which its clock is ahead of the machine's.
        starts: how often it was started: a client that was connected before has been disconnected.
        is_lost: it is never started again.
        acknowledged: what was in its outbox when it was last looked at.
    """

    def __init__(
        self,
        name: str,
        disk: SmallDisk,
        store: LedgerUrl,
        line: FaultyLine,
        ahead: float,
        *,
        notes: Path,
    ) -> None:
        """`notes` is a folder with room, on no small disk."""
        self.name = name
        self.disk = disk
        self.line = line
        self.ahead = ahead
        self.starts = 0
        self.is_frozen = self.is_lost = False
        self.acknowledged: Acknowledged = {}
        self._pauses = notes / f"{name}.pauses"
        self._pauses.touch()
        host, _, rest = store.url.rpartition("@127.0.0.1:")
        self._store = LedgerUrl(
            f"{host}@127.0.0.1:{line.port}/{rest.partition('/')[2]}?options=-c%20{WRITER}%3D{name}"
        )
        self._process: ServerProcess | None = None
        self._stack = AsyncExitStack()

    def __repr__(self) -> str:
        return self.name

    @property
    def process(self) -> ServerProcess:
        assert self._process is not None
        return self._process

    @property
    def lives(self) -> bool:
        return self._process is not None

    @property
    def answers(self) -> bool:
        return self.lives and not self.is_frozen

    @property
    def outbox(self) -> Outbox:
        return Outbox(self.disk.folder / self.name / "outbox.db")

    async def start(self) -> None:
        self.starts += 1
        self._process = await self._stack.enter_async_context(
            process_of(
                self.disk.folder,
                self._store,
                self.name,
                settings=_SETTINGS,
                rollout="ledger",
                program=("tests.fleet_faults.moved_process", str(self.ahead), str(self._pauses)),
            )
        )

    async def kill(self) -> None:
        """What is in the outbox then has to be in the store at last."""
        process, self._process = self.process.process, None
        process.kill()
        await process.wait()
        self.is_frozen = False
        await self._stack.aclose()
        self.note()

    async def stop(self) -> None:
        self._process = None
        await self._stack.aclose()

    def freeze(self) -> None:
        self.is_frozen = True
        self.process.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.process.send_signal(signal.SIGCONT)
        self.is_frozen = False

    def note(self) -> None:
        """Write down what is acknowledged: it must never be missing from the outbox again."""
        found: Acknowledged = {}
        for run in self.outbox.runs():
            for row, rows in self.outbox.parcel(run, 0, 1 << 60, 0).tables.items():
                place = ("number", *row.columns()).index("connection") if _is_about_one(row) else 0
                for values in rows:
                    found[row.TABLE, run.uuid, values[0]] = values[place] if place else None
        self.acknowledged = found

    async def report(self) -> dict[str, Any]:
        """What the process says of itself; nothing while it cannot be asked."""
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(5):
                return await self.process.report()
        return {}

    def pauses(self) -> list[Span]:
        """When the process did not run, as it noticed, by the monotonic clock."""
        lines = self._pauses.read_text().splitlines()
        return [Span(*(int(end) / SECOND for end in line.split())) for line in lines]

    def log(self) -> str:
        """What the process has written since its last start."""
        return (self.disk.folder / self.name / "serve.log").read_text(errors="replace")

    async def order(self, http: aiohttp.ClientSession, engaged: bool, reason: str) -> int:
        """Engage or release the brake at this process; the status of the answer, which waits for no store."""
        token = self.process.secrets["SHIM_OPERATOR_TOKEN"]
        async with http.post(
            f"{self.process.url}/api/brake",
            json={"engaged": engaged, "reason": reason},
            headers={"Authorization": f"Bearer {token}"},
            timeout=_ANSWER,
        ) as answer:
            return answer.status


def _is_about_one(row: Any) -> bool:
    return "connection" in row.columns()

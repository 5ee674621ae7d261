"""R16 and R27 with real processes: a rolling deploy in which an old process is killed, and a time without any.

Clients that fall silent give verdicts: before the deploy, while both settings run, and after it.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from shim.cli import main
from shim.ledger.gate_evidence import gate_evidence
from shim.ledger.run_row import wall_clock
from shim.ledger.stores import read_ledger
from shim.model.ledger_url import LedgerUrl
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import load_settings
from tests.fleet import released_process
from tests.fleet.real_fleet import QUICK_TIMES, ask, flags_of, member, port_of, settings_of
from tests.fleet.roaming_client import connect, leave_all, now
from tests.live.servers import ServerProcess
from tests.postgres.helpers import look, until_found
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

# The gate reads what was known a minute (`gate.grain`) ago.
OLD = settings_of(QUICK_TIMES) + "gate: {grain: 1s}\n"
_MATCHED = "SELECT count(*) FROM verdict WHERE verdict = 'matched'"
NEW = OLD.replace("tolerance: 20s", "tolerance: 19s")
FLAGS = flags_of(live=0, shadow=100)


def release(folder: Path, version: str) -> Path:
    """A folder that says that the shim is of this version, and so are the monitors that it carries."""
    installed = folder / version / f"monitor_migration_shim-{version}.dist-info"
    installed.mkdir(parents=True, exist_ok=True)
    (installed / "METADATA").write_text(f"Name: monitor-migration-shim\nVersion: {version}\n")
    (installed / "entry_points.txt").write_text(
        "[shim]\nlegacy-global = shim_legacy_global\nper-session = shim_per_session\n"
    )
    return installed.parent


class Deployment:
    """A fleet whose processes come and go."""

    def __init__(self, folder: Path, store: LedgerUrl, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._store = store
        self._stack = stack
        self._ends: dict[str, AsyncExitStack] = {}
        self._silent = 0
        self._config = folder / "operator.yaml"
        self._config.write_text(NEW)

    async def start(self, name: str, settings: str = OLD, version: str = "1.0.0") -> ServerProcess:
        own = self._ends[name] = AsyncExitStack()
        self._stack.push_async_callback(own.aclose)
        run = (released_process.__name__, str(release(self._folder, version)), version)
        process: ServerProcess = await own.enter_async_context(
            member(self._folder, self._store, name, settings=settings, flags=FLAGS, program=run)
        )
        return process

    async def stop(self, name: str) -> None:
        await self._ends.pop(name).aclose()

    async def verdicts(self, *processes: ServerProcess) -> None:
        """One more at each process, of a client that falls silent there."""
        [(before,)] = look(self._store, _MATCHED)
        silent = []
        for process in processes:
            self._silent += 1
            silent.append(await connect(f"user{self._silent}@example.com", port_of(process)))
        for one in silent:
            one.be_mute()
        await until_found(self._store, _MATCHED, [(before + len(processes),)])
        await leave_all(silent)

    def shim(self, *arguments: str, code: int) -> str:
        """What an operator sees who asks the store."""
        asked = [*arguments, "--ledger", self._store.url]
        if arguments[0] == "gate":
            asked += ["--config", str(self._config)]
        done = CliRunner().invoke(main, asked)
        assert done.exit_code == code, done.output
        return done.output

    def gate(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.shim("gate", "--json", code=3))
        return answer

    def began_at(self) -> float | None:
        """When the trial began; None: there is no trial."""
        trial = self.gate()["inputs"]["trial"]
        return None if trial is None else float(trial["since"])

    def matched(self) -> int:
        """How many verdicts of the trial are matched; 0 while there is no trial."""
        settings = load_settings(self._config, monitor_types(plugin_manager()))
        with closing(read_ledger(self._store)) as reader:
            return sum(kind.matched for kind in gate_evidence(reader, settings, wall_clock()).kinds)


@pytest.fixture
async def deployment(tmp_path: Path, store: LedgerUrl) -> AsyncIterator[Deployment]:
    async with AsyncExitStack() as stack:
        yield Deployment(tmp_path, store, stack)


async def test_a_rolling_deploy(deployment: Deployment) -> None:
    old, killed = await asyncio.gather(deployment.start("a"), deployment.start("b"))
    await deployment.verdicts(old, killed)
    first_trial = deployment.began_at()
    assert first_trial is not None
    await until(lambda: deployment.matched() == 2, pause=0.3)

    new = await deployment.start("c", NEW, "1.1.0")
    await deployment.verdicts(killed, new)
    assert deployment.began_at() is None
    # Everybody who can be asked says that two versions and two settings run beside each other.
    beside = "the monitors and the comparison of the processes that run differ; that is a deploy"
    assert beside in deployment.shim("gate", code=3)
    assert beside in str((await ask(new, "/api/gate"))["conditions"])
    status, page = deployment.shim("status", code=0), await ask(new, "/fleet")
    for words in (
        "differ in version: a, b have 1.0.0; c has 1.1.0",
        "differ in their settings: a, b",
    ):
        assert words in status
        assert words in page
    differing = (await ask(old, "/api/fleet"))["differing"]
    assert [each["what"] for each in differing] == ["version", "settings"]

    await deployment.stop("a")
    killed.process.kill()
    await killed.process.wait()
    killed_at = now()
    # For some minutes nobody knows whether the killed process still serves clients. Its successor knows.
    assert deployment.began_at() is None
    successor = await deployment.start("b", NEW, "1.1.0")
    await until(lambda: deployment.began_at() is not None, pause=0.3)
    trial = deployment.began_at()
    assert trial is not None
    assert first_trial < trial < killed_at + 1
    assert deployment.matched() == 0
    await deployment.verdicts(successor, new)
    await until(lambda: deployment.matched() == 2, pause=0.3)
    assert (await ask(new, "/api/fleet"))["differing"] == []

    # No process is left for a while; the next one goes on with the trial.
    await deployment.stop("b")
    await deployment.stop("c")
    assert deployment.began_at() == trial
    next_one = await deployment.start("d", NEW, "1.1.0")
    await deployment.verdicts(next_one)
    await until(lambda: deployment.matched() == 3, pause=0.3)
    assert deployment.began_at() == trial

"""The console over very many connections and verdicts: how long answers take, what the loop waits for.

Whoever asks is another process; nothing else is due in the shim meanwhile.
"""

import asyncio
import json
import sys
import tempfile
from functools import partial
from time import thread_time
from typing import Any

from aiohttp import web

from shim.aio import Shim
from shim.flags.targeting import everyone_at
from shim.ledger.protocols import LedgerWriter
from shim.ledger.rows import ActionRow, DecisionRow, VerdictRow
from shim.ledger.run_row import wall_clock
from shim.model import SECOND, Kind, Return, Role, Stage, VerdictKind, VerdictName
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.runtime.live_connection import LiveConnection
from shim.runtime.secrets import Secrets
from shim.server.serving import make_app
from shim.settings.settings import settings_from

_TOKEN = "benchmark"
_SETTINGS = {
    "monitors": {
        "control": {"plugin": "legacy-global", "heartbeat_interval": "1h", "timeout": "3h"},
        "candidate": {"plugin": "per-session", "heartbeat_interval": "1h", "timeout": "3h"},
    },
    "rollout": None,
}
_PATHS = (
    "/api/report",
    "/api/connections",
    "/api/connections?limit=10000",
    "/api/connections?user=u99",
    "/api/connections?stage=live",
    "/api/sessions",
    "/api/verdicts?limit=1000",
    "/api/verdicts?user=u99",
    "/api/verdicts/77",
    "/api/outcomes?limit=1000",
    "/api/gate",
    "/connections",
    "/verdicts",
    "/verdicts/77",
    "/?period=7d",
)
_CLIENT = """
import json, sys, time, urllib.request
for path in sys.argv[2:]:
    asked = urllib.request.Request(sys.argv[1] + path, headers={"Authorization": "Bearer benchmark"})
    began = time.perf_counter()
    with urllib.request.urlopen(asked) as answer:
        size = len(answer.read())
    print(json.dumps([path, time.perf_counter() - began, size]), flush=True)
    time.sleep(0.2)
"""


class _Quiet(LiveConnection):
    """A connection without a socket."""

    __slots__ = ()

    codes = (None, None)
    transport = None

    def send_ping(self, payload: bytes) -> None: ...

    def begin_close(self, code: int, reason: str, timeout: int) -> None: ...

    def abort(self) -> None: ...


def run(connections: int, verdicts: int) -> None:
    asyncio.run(_run(connections, verdicts))


async def _run(connections: int, verdicts: int) -> None:
    secrets = Secrets("j" * 32, _TOKEN, "key")
    with tempfile.TemporaryDirectory() as folder:
        value = {**_SETTINGS, "ledger": f"sqlite:///{folder}/ledger.db"}
        settings = settings_from(value, monitor_types(plugin_manager()))
        shim = Shim.open(settings, secrets=secrets, targeting=everyone_at(Stage.SHADOW))
        runner = web.AppRunner(make_app(shim), shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        for number in range(connections):
            user, kind = f"u{number // 2}", (Kind.GLASSES, Kind.APP)[number % 2]
            package = f"com.example.app{number % 7}" if kind is Kind.APP else None
            shim.register(partial(_Quiet, shim), kind, user, user, package)  # type: ignore[arg-type]
        _fill(shim.assembly.records.ledger, verdicts)
        print(f"{connections} connections, {verdicts} verdicts:")
        await _ask(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await runner.cleanup()


def _fill(ledger: LedgerWriter, verdicts: int) -> None:
    now = wall_clock()
    for number in range(verdicts):
        at = now - (verdicts - number) * 10 * SECOND
        about: dict[str, Any] = {
            "connection": f"old{number}",
            "connection_kind": (Kind.GLASSES, Kind.APP)[number % 2],
            "user": f"u{number % 20_000}",
            "session": f"u{number % 20_000}",
            "package": f"com.example.app{number % 7}" if number % 2 else None,
        }
        missed = number % 100 == 0
        verdict = VerdictName.MISMATCHED if missed else VerdictName.MATCHED
        kind = VerdictKind.ONLY_CONTROL if missed else VerdictKind.BOTH
        acting = (Role.CONTROL, Role.CANDIDATE)[number % 2]
        candidate_at = None if missed else at - number % 15 * SECOND
        silence = 45 * SECOND
        for role in Role:
            ledger.append(
                DecisionRow(
                    **about,
                    role=role,
                    acted=role is acting,
                    at=at,
                    deadline=at,
                    silence=silence,
                    code=None,
                    pings=(at - silence // 2,),
                )
            )
        ledger.append(
            VerdictRow(
                **about,
                verdict=verdict,
                kind=kind,
                at=at,
                first=acting.other,
                acting=acting,
                control_at=at,
                candidate_at=candidate_at,
                recovered=False,
                last_activity=at - silence,
                rule=None,
                trace=None,
            )
        )
        result = Return.LOST if number % 20 == 0 else Return.RETURNED
        delay = None if result is Return.LOST else number % 90 * SECOND
        ledger.append(
            ActionRow(
                **about,
                role=acting,
                acted_at=at,
                code=None,
                result=result,
                at=at + 90 * SECOND,
                delay=delay,
                by_percentage=True,
            )
        )
        if number % 1000 == 0:
            assert ledger.flush(60)
    assert ledger.flush(60)


async def _ask(url: str) -> None:
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CLIENT, url, *_PATHS, *_PATHS, stdout=asyncio.subprocess.PIPE
    )
    assert client.stdout is not None
    stalls = _Stalls()
    watching = asyncio.create_task(stalls.watch())
    first: dict[str, tuple[float, float]] = {}
    while line := await client.stdout.readline():
        path, took, size = json.loads(line)
        longest = stalls.take()
        if path not in first:
            first[path] = (took, longest)
            continue
        before, longest = first[path][0], max(longest, first[path][1])
        print(
            f"  {path:32} {before * 1000:5.0f} ms, again {took * 1000:4.0f} ms,"
            f" {size / 1024:5.0f} KiB; at most {longest * 1000:.1f} ms of CPU at a stretch"
        )
    watching.cancel()
    await client.wait()


class _Stalls:
    """The longest CPU time between two turns of the loop: other processes do not count."""

    def __init__(self) -> None:
        self._longest = 0.0

    async def watch(self) -> None:
        while True:
            began = thread_time()
            await asyncio.sleep(0.001)
            self._longest = max(self._longest, thread_time() - began)

    def take(self) -> float:
        longest, self._longest = self._longest, 0.0
        return longest


if __name__ == "__main__":
    run(100_000, 50_000)

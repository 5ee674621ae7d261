"""How long the gate's answer takes over eight days of a large service, and in how much memory.

The first answer reads the whole trial. The second one, a minute later, reads what is new, as
`GET /api/gate` does. The whole command is `shim gate`, a new process that remembers nothing.
"""

import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time, sleep

from benchmarks.memory import resident
from shim.gate.judge import judge
from shim.ledger.gate_evidence import GateEvidence
from shim.ledger.protocols import LedgerReader, LedgerWriter
from shim.ledger.rows import ActionRow, CoverageRow, VerdictRow
from shim.ledger.run_row import begin_run, wall_clock
from shim.ledger.sqlite.reader import SqliteReader
from shim.ledger.sqlite.writer import CAPACITY, SqliteLedger
from shim.model import EVERYBODY, SECOND, Kind, Return, Role, VerdictKind, VerdictName
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import settings_from

USERS = 100_000
SPAN = 8 * 86_400 * SECOND
_MINUTE = 60 * SECOND


def run(verdicts: int) -> None:
    """A ledger of so many verdicts, with an outcome for one in ten, and the coverage of eight days."""
    settings = settings_from({}, monitor_types(plugin_manager()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shim.db"
        now = wall_clock()
        ledger = SqliteLedger(path, begin_run(settings, now - SPAN))
        fill(ledger, verdicts, now - SPAN)
        assert ledger.close(600)
        before = resident()
        timed = ask(SqliteReader(path), str(path), now)
        print(f"gate: {verdicts:,} verdicts: {timed}, {resident() - before:.0f} MiB more memory")


def ask(reader: LedgerReader, ledger: str, now: int) -> str:
    """How long the gate's question takes, with nothing remembered and then again; and the whole command."""
    settings = settings_from({}, monitor_types(plugin_manager()))
    evidence = GateEvidence(reader, settings)
    started, spent = perf_counter(), process_time()
    answer = judge(evidence.read(now), settings.gate)
    first, cpu = perf_counter() - started, process_time() - spent
    started = perf_counter()
    judge(evidence.read(now + _MINUTE), settings.gate)
    second = perf_counter() - started
    started, before = perf_counter(), _children()
    command = [sys.executable, "-m", "shim", "gate", "--ledger", ledger]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode != 2, done.stderr
    return (
        f"{answer.verdict} in {first:.2f} s ({cpu:.2f} s of CPU time; goal: 2 s), a minute later in "
        f"{second * 1000:.0f} ms (goal: 50 ms); the whole command in {perf_counter() - started:.2f} s "
        f"({_children() - before:.2f} s of CPU time)"
    )


def _children() -> float:
    """Seconds of CPU time of the processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fill(ledger: LedgerWriter, verdicts: int, start: int) -> None:
    """Hand over so many verdicts, their outcomes, and the coverage, as fast as the ledger takes them."""
    for number in range(verdicts):
        if not number % 1000:
            while ledger.status().queued > CAPACITY // 2:
                sleep(0.001)
        place = random.randrange(USERS)
        user = f"user{place}@example.com"
        at = start + SPAN * number // verdicts
        ledger.append(_verdict(f"c{number}", user, at))
        if not number % 10:
            role = Role.CANDIDATE if place % 2 else Role.CONTROL
            ledger.append(_action(f"c{number}", user, at, role))
    for at in range(start, start + SPAN, _MINUTE):
        ledger.append(_minute(at))


def _verdict(connection: str, user: str, at: int) -> VerdictRow:
    return VerdictRow(
        connection=connection,
        connection_kind=Kind.APP,
        user=user,
        session=user,
        package="com.example.app1",
        verdict=VerdictName.MATCHED,
        kind=VerdictKind.BOTH,
        at=at,
        first=Role.CANDIDATE,
        acting=Role.CONTROL,
        control_at=at,
        candidate_at=at - 11 * SECOND,
        recovered=False,
        last_activity=at - 56 * SECOND,
        rule=None,
        trace=None,
    )


def _action(connection: str, user: str, at: int, role: Role) -> ActionRow:
    return ActionRow(
        connection=connection,
        connection_kind=Kind.APP,
        user=user,
        session=user,
        package="com.example.app1",
        role=role,
        acted_at=at,
        code=None,
        result=Return.RETURNED,
        at=at + SECOND,
        delay=SECOND,
        by_percentage=True,
        placed_by=EVERYBODY,
        window_ends=at + 135 * SECOND,
    )


def _minute(at: int) -> CoverageRow:
    time = 100_000 * _MINUTE
    return CoverageRow(
        connection_kind=Kind.APP,
        since=at,
        at=at + _MINUTE,
        connected=time,
        control_acted=time // 2,
        candidate_acted=time // 2,
        watched=time,
        pings=400_000,
        heartbeat_interval=15 * SECOND,
        control_users=50_000,
        candidate_users=50_000,
    )

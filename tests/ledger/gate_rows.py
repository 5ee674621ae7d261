"""Rows of the ledger that the gate is asked about: processes, minutes, episodes and flags."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shim.flags.deciding import deciding_text
from shim.flags.targeting import Percentages, Targeting
from shim.gate.evidence import Evidence
from shim.ledger.gate_evidence import gate_evidence
from shim.ledger.rows import ActionRow, ProofRow, Row, RunRow
from shim.ledger.sqlite.reader import SqliteReader
from shim.ledger.sqlite.writer import SqliteLedger
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import Settings, load_settings
from tests.ledger.helpers import NOW, S, Wall, coverage, ledger, run

MINUTE = 60 * S
HOUR = 3600 * S
DEFAULTS: Settings = load_settings(None, monitor_types(plugin_manager()))


def process(started_at: int, monitors: str = "monitors", comparison: str = "comparison") -> RunRow:
    return run(started_at, monitors=monitors, comparison=comparison)


def widths(live: int, shadow: int) -> str:
    return deciding_text(Targeting("f", "s", percent=Percentages(live=live, shadow=shadow)))


HALF = widths(50, 50)
EVERYBODY_LIVE = widths(100, 0)


@contextmanager
def wrote(path: Path, process: RunRow, *rows: Row, until: int) -> Iterator[SqliteLedger]:
    """A process that wrote these rows, and stops at `until`."""
    wall = Wall(until)
    with ledger(path, process, wall=wall) as writer:
        for row in rows:
            writer.append(row)
        assert writer.flush(30)
        yield writer


def write(path: Path, process: RunRow, *rows: Row, until: int) -> None:
    with wrote(path, process, *rows, until=until):
        pass


def ask(path: Path, now: int, settings: Settings = DEFAULTS) -> Evidence:
    return gate_evidence(SqliteReader(path), settings, now)


def at(time: int) -> int:
    """`number` of a row at this time."""
    return (time - NOW) // S


def proof_of_life(action: ActionRow, event: int | None) -> ProofRow:
    """The client spoke a second after the action."""
    return ProofRow(
        connection=action.connection,
        connection_kind=action.connection_kind,
        user=action.user,
        session=action.session,
        package=action.package,
        role=action.role,
        at=action.acted_at + S,
        guard_event=event,
    )


def both_sides(begun: int, until: int, control: int = 50, candidate: int = 50) -> list[Row]:
    return [
        coverage(
            at(time),
            control_acted=control * 60 * S,
            candidate_acted=candidate * 60 * S,
            control_users=control,
            candidate_users=candidate,
            watched=6000 * S,
            pings=400,
        )
        for time in range(begun, until - MINUTE, HOUR)
    ]

"""R16 and R27: processes of two versions, of two settings or of two flags run beside each other for a while."""

from contextlib import closing
from pathlib import Path

import pytest

from shim.gate.answer import GateVerdict
from shim.gate.evidence import Evidence
from shim.gate.judge import judge
from shim.gate.trial_description import format_trial
from shim.ledger.gate_evidence import gate_evidence
from shim.ledger.postgres.store_reader import PostgresReader
from shim.ledger.rows import BrakeRow, RunRow
from shim.model.ledger_url import LedgerUrl
from tests.ledger.gate_rows import DEFAULTS, EVERYBODY_LIVE, HALF, process, write
from tests.ledger.helpers import NOW, S, coverage, flags_load, mismatch, verdict
from tests.postgres.helpers import ship_all

MINUTE, HOUR = 60 * S, 3600 * S


def ask(store: LedgerUrl, now: int) -> Evidence:
    with closing(PostgresReader(store)) as reader:
        return gate_evidence(reader, DEFAULTS, now)


def said(evidence: Evidence) -> str:
    """What the gate and the console say of the trial."""
    return "\n".join(format_trial(judge(evidence, DEFAULTS.gate).inputs))


@pytest.mark.parametrize(
    ("old", "new", "flags", "part"),
    [
        (process(NOW, monitors="1.0"), process(NOW + HOUR, monitors="1.1"), HALF, "monitors"),
        (process(NOW), process(NOW + HOUR, comparison="others"), HALF, "comparison"),
        (process(NOW), process(NOW + HOUR), EVERYBODY_LIVE, "flags"),
    ],
    ids=["versions", "settings", "flags"],
)
def test_the_trial_begins_when_the_last_old_process_is_gone(
    store: LedgerUrl, tmp_path: Path, old: RunRow, new: RunRow, flags: str, part: str
) -> None:
    """The new process runs from the second hour on, the old one until the end of the second hour."""
    watched = [coverage(60 * minute) for minute in range(240)]
    write(
        tmp_path / "old.db",
        old,
        flags_load(0, digest="old", deciding=HALF),
        *(mismatch(second) for second in (60, 3660, 7100)),
        *watched[:120],
        until=NOW + 2 * HOUR,
    )
    write(
        tmp_path / "new.db",
        new,
        flags_load(3600, digest="new", deciding=flags),
        *(verdict(second) for second in (3700, 7100, 7300, 9000)),
        *watched[60:],
        until=NOW + 4 * HOUR,
    )
    for name in ("new.db", "old.db"):
        ship_all(tmp_path / name, store)

    before = ask(store, NOW + HOUR - MINUTE)
    assert before.trial is not None
    assert (before.trial.since, before.differing) == (NOW, ())
    beside = ask(store, NOW + 90 * MINUTE)
    assert (beside.trial, beside.differing) == (None, (part,))
    assert judge(beside, DEFAULTS.gate).verdict is GateVerdict.INSUFFICIENT
    assert f"the {part} of the processes that run differ; that is a deploy" in said(beside)
    after = ask(store, NOW + 4 * HOUR)
    assert after.trial is not None
    assert (after.trial.since, after.trial.began_by) == (NOW + 2 * HOUR, part)
    # Neither what the old process found, nor what the new one found beside it.
    (app,) = after.kinds
    assert (app.matched, app.mismatched) == (2, 0)
    assert "The trial began at" in said(after)


def test_after_a_release_the_trial_begins_when_the_last_process_has_followed(
    store: LedgerUrl, tmp_path: Path
) -> None:
    watched = [coverage(60 * minute) for minute in range(240)]
    for number, name in enumerate("abc"):
        late = number * S
        brakes = [
            BrakeRow(True, "kills", NOW + HOUR + late),
            BrakeRow(False, "mended", NOW + 2 * HOUR + late),
        ]
        file = tmp_path / f"{name}.db"
        write(file, process(NOW + late), verdict(60), *watched, *brakes, until=NOW + 5 * HOUR)
        ship_all(file, store)
    evidence = ask(store, NOW + 3 * HOUR)
    assert evidence.trial is not None
    assert (evidence.trial.since, evidence.trial.began_by) == (
        NOW + 2 * HOUR + 2 * S,
        "brake released",
    )

"""R16: which trial is judged, which rows belong to it, and that asking in between changes nothing."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from shim.gate.answer import GateVerdict, Standing
from shim.gate.judge import judge
from shim.ledger.gate_evidence import GateEvidence
from shim.ledger.rows import BrakeRow, FailureRow, RunRow
from shim.ledger.sqlite.reader import SqliteReader
from shim.model import Return, Role, VerdictKind, VerdictName
from tests.gate.evidence import condition
from tests.ledger.gate_rows import (
    DEFAULTS,
    EVERYBODY_LIVE,
    HALF,
    HOUR,
    MINUTE,
    ask,
    at,
    process,
    proof_of_life,
    write,
    wrote,
)
from tests.ledger.helpers import (
    DAY,
    NOW,
    S,
    coverage,
    flags_load,
    mismatch,
    run,
    settled_action,
    verdict,
)


def test_without_a_process_there_is_no_trial(path: Path) -> None:
    write(path, run(NOW), until=NOW + DAY)  # a shim of before trials
    evidence = ask(path, NOW + DAY)
    assert (evidence.trial, evidence.kinds, evidence.span) == (None, (), 0)
    assert judge(evidence, DEFAULTS.gate).verdict is GateVerdict.INSUFFICIENT


def test_a_trial_goes_on_over_restarts(path: Path) -> None:
    for day in range(3):
        begun = NOW + day * DAY
        rows = [verdict(at(begun) + 60), coverage(at(begun))]
        write(path, process(begun), *rows, until=begun + DAY - HOUR)
    evidence = ask(path, NOW + 3 * DAY)
    assert evidence.trial is not None
    assert (evidence.trial.since, evidence.trial.until) == (NOW, None)
    assert [span.run for span in evidence.trial.spans] == [1, 2, 3]
    assert evidence.kinds[0].matched == 3


@pytest.mark.parametrize(
    ("changed", "began_by"),
    [
        (process(NOW + DAY, monitors="others"), "monitors"),
        (process(NOW + DAY, comparison="another"), "comparison"),
        (process(NOW + DAY, monitors="others", comparison="another"), "monitors, comparison"),
    ],
)
def test_changed_settings_begin_a_trial(path: Path, changed: RunRow, began_by: str) -> None:
    write(path, process(NOW), mismatch(60), coverage(0), until=NOW + HOUR)
    write(path, changed, verdict(at(NOW + DAY) + 60), until=NOW + DAY + HOUR)
    evidence = ask(path, NOW + 2 * DAY)
    assert evidence.trial is not None
    assert (evidence.trial.since, evidence.trial.began_by) == (NOW + DAY, began_by)
    (app,) = evidence.kinds
    assert (app.matched, app.mismatched) == (1, 0)


def test_changed_flags_begin_a_trial_and_changed_overrides_do_not(path: Path) -> None:
    loads = [
        flags_load(0, digest="a", deciding=HALF),
        flags_load(3600, digest="overrides changed", deciding=HALF),
        flags_load(7200, digest="b", problem="not valid"),
    ]
    with wrote(path, process(NOW), *loads, verdict(60), until=NOW + DAY) as writer:
        trial = ask(path, NOW + 3 * HOUR).trial
        assert trial is not None
        assert (trial.since, trial.began_by) == (NOW, "start")
        writer.append(flags_load(4 * 3600, digest="c", deciding=EVERYBODY_LIVE))
        writer.append(mismatch(4 * 3600 + 60))
        assert writer.flush(30)
        evidence = ask(path, NOW + 5 * HOUR)
    assert evidence.trial is not None
    assert (evidence.trial.since, evidence.trial.began_by) == (NOW + 4 * HOUR, "flags")
    assert [(kind.matched, kind.mismatched) for kind in evidence.kinds] == [(0, 1)]


def test_a_release_of_the_brake_begins_a_trial(path: Path) -> None:
    braked = BrakeRow(True, "false kills", NOW + HOUR, by_itself=True)
    rows = [verdict(60), braked, verdict(3700)]
    with wrote(path, process(NOW), *rows, until=NOW + DAY) as writer:
        evidence = ask(path, NOW + 2 * HOUR)
        assert (evidence.brake, evidence.braked_by_itself) == ("false kills", NOW + HOUR)
        assert evidence.kinds[0].matched == 2
        writer.append(BrakeRow(False, "mended", NOW + 3 * HOUR))
        assert writer.flush(30)
        evidence = ask(path, NOW + 4 * HOUR)
    assert evidence.trial is not None
    assert (evidence.trial.since, evidence.trial.began_by) == (NOW + 3 * HOUR, "brake released")
    assert (evidence.brake, evidence.braked_by_itself, evidence.kinds) == (None, None, ())


def test_processes_of_two_identities_are_no_trial(path: Path) -> None:
    """A deploy is under way; when the last old process has ended, the trial of the new ones begins."""
    watched = [coverage(60 * minute) for minute in range(120)]
    write(path, process(NOW), *watched, until=NOW + 2 * HOUR)
    new = process(NOW + HOUR, monitors="others")
    write(path, new, verdict(3700), *watched[60:], until=NOW + 9 * HOUR)
    with_both = ask(path, NOW + 90 * MINUTE)
    assert (with_both.trial, with_both.differing) == (None, ("monitors",))
    evidence = ask(path, NOW + 3 * HOUR)
    assert evidence.trial is not None
    assert evidence.trial.since == NOW + 2 * HOUR
    assert [kind.matched for kind in evidence.kinds] == [0]


def test_a_crashed_process_ends_with_the_last_minute_that_it_watched(path: Path) -> None:
    write(path, process(NOW), coverage(0), coverage(60), until=NOW + DAY)
    crash(path)
    later = NOW + 12 * MINUTE
    # Until it is known to be dead, a second one makes a deploy.
    write(path, process(NOW + 3 * MINUTE, monitors="others"), until=NOW + 4 * MINUTE)
    write(path, process(later, monitors="others"), coverage(12 * 60), until=NOW + DAY)
    assert ask(path, NOW + 3 * MINUTE + S).trial is None
    trial = ask(path, NOW + 14 * MINUTE).trial
    assert trial is not None
    assert (trial.since, trial.began_by) == (NOW + 3 * MINUTE, "monitors")


def crash(path: Path) -> None:
    """Nobody wrote that the last process has stopped."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE run SET stopped_at = NULL WHERE id = (SELECT max(id) FROM run)")


def begin(path: Path, run: RunRow) -> None:
    """A process of the fleet begins to write, as one store of all processes would have it."""
    names = run.columns()
    with closing(sqlite3.connect(path)) as database, database:
        statement = f"INSERT INTO run ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        database.execute(statement, run.values())


NOBODY = {"connected": 0, "control_acted": 0, "watched": 0, "pings": 0, "control_users": 0}


def test_a_process_without_connections_is_alive_and_its_record_is_complete(path: Path) -> None:
    """At night nobody is connected; the process is no ended one, which would end the deploy."""
    minutes = range(0, 8 * 3600, 60)
    night = [coverage(second, **NOBODY) for second in minutes]
    with wrote(path, process(NOW), *night, until=NOW + DAY):
        evidence = ask(path, NOW + 8 * HOUR)
        assert evidence.complete_until == NOW + 8 * HOUR
        assert evidence.watched == 8 * HOUR - MINUTE
        assert (evidence.kinds, evidence.days_acted) == ((), (False,))
        assert condition(judge(evidence, DEFAULTS.gate), "record").standing is Standing.MET
        # A process of another identity has just begun: a deploy is under way.
        begun = NOW + 8 * HOUR - 4 * MINUTE
        begin(path, process(begun, monitors="others"))
        assert ask(path, NOW + 8 * HOUR).trial is None


@pytest.mark.parametrize(("age", "standing"), [(HOUR, Standing.MET), (HOUR + 1, Standing.OPEN)])
def test_a_record_may_be_an_hour_old(path: Path, age: int, standing: Standing) -> None:
    write(path, process(NOW), coverage(0), until=NOW + 60 * S)
    evidence = ask(path, NOW + 60 * S + age)
    assert condition(judge(evidence, DEFAULTS.gate), "record").standing is standing


def test_rows_of_another_identity_are_never_mixed_in(path: Path) -> None:
    """Also not those of a process that was alive in a gap of the trial."""
    rows = [verdict(60), settled_action(60), coverage(0), coverage(60)]
    write(path, process(NOW), *rows, until=NOW + 2 * MINUTE)
    strange = [
        mismatch(at(NOW + DAY) + 60),
        settled_action(at(NOW + DAY) + 61, result=Return.LOST),
        FailureRow(role=Role.CANDIDATE, call="wake", reason="it raised", at=NOW + DAY + MINUTE),
        coverage(at(NOW + DAY), candidate_users=99),
    ]
    write(path, process(NOW + DAY, monitors="others"), *strange, until=NOW + DAY + 2 * MINUTE)
    write(path, process(NOW + 2 * DAY), verdict(at(NOW + 2 * DAY) + 60), until=NOW + 3 * DAY)
    evidence = ask(path, NOW + 3 * DAY)
    assert evidence.trial is not None
    assert evidence.trial.since == NOW + 2 * DAY
    assert [(kind.matched, kind.mismatched) for kind in evidence.kinds] == [(1, 0)]
    assert evidence.failures == 0
    # The trial in between is about the others alone.
    evidence = ask(path, NOW + DAY + 10 * MINUTE)
    assert [(kind.matched, kind.mismatched) for kind in evidence.kinds] == [(0, 1)]
    assert evidence.failures == 1


def test_improvements_and_overrides_are_not_compared(path: Path) -> None:
    rows = [
        verdict(60),
        verdict(61, overridden=True),
        mismatch(62, overridden=True),
        mismatch(
            63, kind=VerdictKind.ONLY_CONTROL, first=Role.CONTROL, acting=Role.CANDIDATE
        ),  # life proved the control wrong where the candidate waited
        settled_action(64, placed_by=None, by_percentage=False),
        settled_action(65),
    ]
    write(path, process(NOW), *rows, until=NOW + DAY)
    (app,) = ask(path, NOW + DAY).kinds
    assert (app.matched, app.mismatched, app.improvements) == (1, 0, 1)
    assert app.acted[Role.CONTROL] == 2
    assert app.so_far.returns["everybody"][Role.CONTROL].plain == {(1, 1): 1}


def test_users_for_whom_nobody_vouches_are_not_counted(path: Path) -> None:
    nobody: dict[str, Any] = {"overridden": True, "counted": False}
    rows = [
        verdict(60),
        verdict(61, **nobody),
        mismatch(62, **nobody),
        mismatch(63, **nobody, kind=VerdictKind.ONLY_CONTROL, first=Role.CONTROL),
        verdict(64, **nobody, verdict=VerdictName.EXPECTED, rule="known"),
        verdict(65, **nobody, verdict=VerdictName.INCONCLUSIVE, kind=VerdictKind.CLOSED),
        settled_action(66, placed_by=None, by_percentage=False, counted=False),
        settled_action(67),
    ]
    write(path, process(NOW), *rows, until=NOW + DAY)
    (app,) = ask(path, NOW + DAY).kinds
    assert (app.matched, app.mismatched, app.improvements) == (1, 0, 0)
    assert (app.expected, app.inconclusive, app.acting_first) == (0, 0, 0)
    assert app.acted[Role.CONTROL] == 1


def test_the_proofs_of_an_event_of_the_guard_are_one_observation(path: Path) -> None:
    """R6b; also an event that is read bit by bit, and a number that another process uses, too."""
    actions = [settled_action(600 * number, role=Role.CANDIDATE) for number in range(6)]
    proofs = [proof_of_life(action, 1) for action in actions[:4]]
    with wrote(path, process(NOW), *actions[:3], *proofs[:3], until=NOW + 4 * HOUR) as writer:
        kept = GateEvidence(SqliteReader(path), DEFAULTS)
        assert kept.read(NOW + 1700 * S).kinds[0].so_far.proofs.plain == {(1, 1): 1}
        for row in [*actions[3:], *proofs[3:], proof_of_life(actions[4], None)]:
            writer.append(row)
        assert writer.flush(30)
        (app,) = kept.read(NOW + 3 * HOUR).kinds
        assert app.so_far.proofs.plain == {(1, 1): 2, (0, 1): 1}
        assert app.proofs_of_life[Role.CANDIDATE] == 5
    begun = NOW + 5 * HOUR
    action = settled_action(at(begun), role=Role.CANDIDATE)
    write(path, process(begun), action, proof_of_life(action, 1), until=begun + HOUR)
    (app,) = ask(path, begun + HOUR).kinds
    assert app.so_far.proofs.plain == {(1, 1): 3, (0, 1): 1}

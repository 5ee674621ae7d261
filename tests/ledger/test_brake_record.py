"""R22: a brake's sequences go on from the ledger after a restart."""

from pathlib import Path

import pytest

from shim.gate.brake_statistics import BrakeRecord, FalseKill
from shim.gate.observed_rows import Arm, user_key
from shim.gate.trial import TrialIdentity
from shim.ledger.brake_record import read_brake_record
from shim.ledger.gate_evidence import NO_FLAGS
from shim.ledger.rows import BrakeRow, ProofRow, Row
from shim.ledger.sqlite.reader import SqliteReader
from shim.model import Kind, Return, Role
from tests.ledger.helpers import (
    DAY,
    NOW,
    S,
    Wall,
    coverage,
    decision,
    ledger,
    mismatch,
    run,
    settled_action,
    verdict,
)

HOUR = 3600 * S
WINDOW = 900 * S
MIDNIGHT = (NOW // DAY + 1) * DAY
"""The first one after NOW."""

IDENTITY = TrialIdentity("monitors", "comparison", NO_FLAGS)


def second(time: int) -> int:
    return (time - NOW) // S


def record(
    path: Path, *rows: Row, now: int, identity: TrialIdentity = IDENTITY, monitors: str = "monitors"
) -> BrakeRecord:
    """What a process of this identity knows at `now` of a process that wrote these rows."""
    begun = run(NOW, monitors=monitors, comparison="comparison")
    with ledger(path, begun, wall=Wall(now)) as writer:
        for row in rows:
            writer.append(row)
        assert writer.flush(30)
        return read_brake_record(SqliteReader(path), identity, now, WINDOW)


def proof(time: int, role: Role = Role.CANDIDATE, guard_event: int | None = None) -> ProofRow:
    return ProofRow(
        connection="c1",
        connection_kind=Kind.APP,
        user="prover",
        session="s",
        package="p",
        role=role,
        at=time,
        guard_event=guard_event,
    )


def test_what_a_process_goes_on_with(path: Path) -> None:
    noon = second(MIDNIGHT) + 43_200
    found = record(
        path,
        coverage(60, candidate_users=7),
        settled_action(60),
        settled_action(90, role=Role.CANDIDATE, result=Return.LOST, placed_by="beta"),
        settled_action(91, result=Return.REPLACED),
        settled_action(92, placed_by=None),
        decision(second(MIDNIGHT) - 1),
        decision(noon),
        decision(noon + 1, role=Role.CONTROL),
        mismatch(second(MIDNIGHT) - 1),
        mismatch(noon + 20),
        mismatch(noon + 21, recovered=False),
        verdict(noon + 22),
        proof(NOW + (noon + 10) * S),
        proof(NOW + (noon + 11) * S, Role.CONTROL),
        now=NOW + (noon + 3600) * S,
    )
    assert (found.since, found.kills_since) == (NOW, NOW)
    assert found.connected == ((Kind.APP, 1, NOW + 60 * S, NOW + 120 * S, 17),)
    assert [(kind, row.user, row.at, row.success, row.arm) for kind, row in found.returns] == [
        (Kind.APP, user_key("u60"), NOW + 180 * S, True, Arm("everybody", Role.CONTROL)),
        (Kind.APP, user_key("u90"), NOW + 210 * S, False, Arm("beta", Role.CANDIDATE)),
    ]
    # Of this UTC day alone, the candidate's.
    assert found.decisions == ((f"u{noon}", NOW + noon * S),)
    assert found.kills == (
        FalseKill("prover", NOW + (noon + 10) * S),
        FalseKill(f"u{noon + 20}", NOW + (noon + 20) * S),
    )


def test_false_kills_of_before_midnight_are_within_the_window_still(path: Path) -> None:
    midnight = second(MIDNIGHT)
    rows = [make(midnight - ago) for ago in (901, 899) for make in (decision, mismatch)]
    found = record(path, *rows, now=MIDNIGHT)
    assert [user for user, _ in found.decisions] == [f"u{midnight - 899}"]
    assert [kill.user for kill in found.kills] == [f"u{midnight - 899}"]


def test_proofs_of_life_of_one_event_of_the_guard_are_known_as_one(path: Path) -> None:
    """Events are numbered in each run anew."""
    now = NOW + HOUR
    record(path, proof(NOW + S, guard_event=1), proof(NOW + 2 * S, guard_event=1), now=now)
    with ledger(path, run(now, monitors="monitors", comparison="comparison")) as writer:
        writer.append(proof(now + S, guard_event=1))
        writer.append(proof(now + 2 * S))
        assert writer.flush(30)
        found = read_brake_record(SqliteReader(path), IDENTITY, now + 3 * S, WINDOW)
    events = [kill.event for kill in found.kills]
    assert (len(set(events[:2])), len(set(events)), events[3]) == (1, 3, None)


def test_a_return_whose_window_is_not_over_is_known(path: Path) -> None:
    found = record(path, settled_action(60), coverage(0), now=NOW + 62 * S)
    assert [row.at for _, row in found.returns] == [NOW + 180 * S]


def test_an_action_of_before_the_trial_is_another_trials(path: Path) -> None:
    found = record(
        path,
        settled_action(60),
        coverage(60),
        BrakeRow(False, "mended", NOW + 70 * S),
        settled_action(80),
        now=NOW + 300 * S,
    )
    assert [row.user for _, row in found.returns] == [user_key("u80")]


@pytest.mark.parametrize(
    "identity",
    [
        TrialIdentity("others", "comparison", NO_FLAGS),
        TrialIdentity("monitors", "another", NO_FLAGS),
        TrialIdentity("monitors", "comparison", "flags"),
    ],
)
def test_a_process_of_another_identity_begins_anew(path: Path, identity: TrialIdentity) -> None:
    """But false kills of the same monitors are counted on."""
    now = NOW + HOUR
    found = record(path, settled_action(60), mismatch(61), now=now, identity=identity)
    same = identity.monitors == "monitors"
    assert (found.since, found.kills_since) == (now, NOW if same else now)
    assert (found.connected, found.returns, len(found.kills)) == ((), (), int(same))


def test_after_a_release_only_what_came_since_counts(path: Path) -> None:
    released = NOW + HOUR
    found = record(
        path,
        settled_action(60),
        BrakeRow(True, "false kills", NOW + 100 * S, by_itself=True),
        coverage(3540),
        BrakeRow(False, "mended", released),
        settled_action(3700),
        now=NOW + 2 * HOUR,
    )
    assert found.since == released
    assert [row.user for _, row in found.returns] == [user_key("u3700")]


def test_false_kills_of_before_a_release_are_forgotten(path: Path) -> None:
    found = record(
        path,
        decision(60),
        mismatch(61),
        coverage(3540),
        BrakeRow(False, "mended", NOW + HOUR),
        decision(3700),
        mismatch(3701),
        now=NOW + 2 * HOUR,
    )
    assert [user for user, _ in found.decisions] == ["u3700"]
    assert [kill.user for kill in found.kills] == ["u3701"]


def test_false_kills_of_another_candidate_do_not_count(path: Path) -> None:
    record(path, decision(60), mismatch(61), now=NOW + HOUR, monitors="others")
    later = run(NOW + HOUR, monitors="monitors", comparison="comparison")
    with ledger(path, later, wall=Wall(NOW + 2 * HOUR)) as writer:
        writer.append(decision(3700))
        writer.append(mismatch(3701))
        assert writer.flush(30)
        found = read_brake_record(SqliteReader(path), IDENTITY, NOW + 2 * HOUR, WINDOW)
    assert [user for user, _ in found.decisions] == ["u3700"]
    assert [kill.user for kill in found.kills] == ["u3701"]


def test_a_new_ledger_has_nothing(path: Path) -> None:
    found = record(path, now=NOW + HOUR)
    assert found == BrakeRecord(NOW, NOW)

"""What the ledger knows of the file in force."""

from pathlib import Path

import pytest

from shim.gate.answer import Condition, GateAnswer, GateVerdict, Scale, Sense, Standing
from shim.ledger.gate_evidence import gate_evidence
from shim.ledger.rows import BrakeRow, FailureRow, ProofRow
from shim.ledger.sqlite.reader import SqliteReader
from shim.model import InputError, Kind, Return, Role
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.rollout.promotion_facts import facts_from, findings_of, in_force_since
from shim.settings.settings import Settings, load_settings
from tests.ledger.helpers import (
    DAY,
    NOW,
    S,
    coverage,
    flags_load,
    ledger,
    mismatch,
    run,
    settled_action,
    verdict,
)

RUN = run(NOW, monitors="monitors", comparison="comparison")
GROUP = "everybody"


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(None, monitor_types(plugin_manager()))


@pytest.mark.parametrize(
    ("loads", "since"),
    [
        ([], None),
        ([("a", None)], None),
        ([("b", None)], 0),
        ([("b", None), ("b", None), ("c", "bad"), ("b", None)], 0),
        ([("b", None), ("a", None), ("b", None), ("b", None)], 2),
        ([("b", None), ("a", None)], None),
        ([("b", "bad")], None),
    ],
)
def test_since_when_a_file_is_in_force(
    loads: list[tuple[str, str | None]], since: int | None
) -> None:
    rows = [
        flags_load(at, digest=digest, problem=problem) for at, (digest, problem) in enumerate(loads)
    ]
    expected = None if since is None else NOW + since * S
    assert in_force_since(reversed(rows), "b") == expected


def test_evidence_of_a_trial(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "shim.db"
    with ledger(path, RUN) as writer:
        for number in range(100):
            # An hour apart: not a crowd.
            writer.append(verdict(3600 * number))
        writer.append(mismatch(3601))
        writer.append(verdict(-5))  # before the trial
        writer.append(
            verdict(7, acting=Role.CANDIDATE)
        )  # the candidate decided and acted: no proof
        for number in range(8):
            writer.append(settled_action(60 * number))
        writer.append(settled_action(600, result=Return.LOST))
        writer.append(settled_action(700, role=Role.CANDIDATE))
        writer.append(
            ProofRow(
                connection="c700",
                connection_kind=Kind.APP,
                user="u700",
                session="s",
                package="p",
                role=Role.CANDIDATE,
                at=NOW + S,
            )
        )
        for role in Role:
            writer.append(FailureRow(role=role, call="message", reason="it raised", at=NOW + S))
        writer.append(coverage(0, pings=399, watched=6000 * S, control_users=5))
        assert writer.flush(30)
    now = NOW + 30 * DAY
    evidence = gate_evidence(SqliteReader(path), settings, now)
    assert evidence.trial is not None
    assert (evidence.trial.since, evidence.trial.until, evidence.span) == (NOW, None, 30 * DAY)
    assert (evidence.failures, evidence.quarantines) == (1, 0)
    assert evidence.days_acted == (False,) * 7
    (app,) = evidence.kinds
    assert app.kind is Kind.APP
    assert (app.matched, app.mismatched, app.acting_first) == (100, 1, 1)
    assert (app.users, app.unsettled_users, app.days) == (101, 0, 5)
    for counted in app.agreement:
        assert counted == {(1, 1): 100, (0, 1): 1}
    for counted in app.returns[GROUP][Role.CONTROL]:
        assert counted == {(1, 1): 8, (0, 1): 1}
    for counted in app.returns[GROUP][Role.CANDIDATE]:
        assert counted == {(1, 1): 1}
    assert app.proofs.plain == {(1, 1): 1}
    assert app.acted == {Role.CONTROL: 9, Role.CANDIDATE: 1}
    assert app.outcomes[Role.CONTROL][Return.LOST] == 1
    assert app.proofs_of_life == {Role.CONTROL: 0, Role.CANDIDATE: 1}
    (heartbeats,) = app.heartbeats
    assert (heartbeats.pings, heartbeats.needed) == (399, 400)
    # What the return window may still change counts for nothing yet.
    (early,) = gate_evidence(SqliteReader(path), settings, NOW + 720 * S).kinds
    assert early.so_far.returns[GROUP][Role.CONTROL].plain == {(1, 1): 8}
    assert early.returns == {GROUP: {Role.CONTROL: ({}, {})}}


def test_facts_of_a_file(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "shim.db"
    with ledger(path, RUN) as writer:
        writer.append(flags_load(0, digest="old"))
        writer.append(flags_load(10, digest="new"))
        for number in range(20):
            writer.append(verdict(100 * number))
        writer.append(coverage(0))
        for minute in range(60, 100):
            writer.append(coverage(60 * minute))
        writer.append(BrakeRow(True, "by hand", NOW))
        assert writer.flush(30)
        reader, now = SqliteReader(path), NOW + 2 * DAY
        facts = facts_from(reader, settings, "new", now)
        # Two stretches of 1 and 40 minutes: the minutes in which they begin and end count whole.
        assert (facts.now, facts.watched, facts.brake) == (now, 43 * 60 * S, "by hand")
        assert facts.findings["failures"].standing is Standing.MET
        assert facts.findings["agreement"].standing is Standing.OPEN
        assert "app" in facts.findings["agreement"].words
        assert not facts.ready
        writer.append(BrakeRow(False, "mended", NOW + S))
        assert writer.flush(30)
        facts = facts_from(reader, settings, "old", now)
        assert (facts.watched, facts.brake, dict(facts.findings)) == (None, None, {})


def test_time_that_nobody_watched_is_no_soak(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "shim.db"
    with ledger(path, RUN) as writer:
        writer.append(flags_load(0, digest="new"))
        writer.append(coverage(0))
        writer.append(coverage(3600 * 24))
        assert writer.flush(30)
        facts = facts_from(SqliteReader(path), settings, "new", NOW + 2 * DAY)
    assert facts.watched is not None
    assert facts.watched <= 4 * 60 * S


def test_a_condition_is_as_good_as_for_its_worst_kind() -> None:
    def condition(kind: Kind, standing: Standing, name: str = "returns") -> Condition:
        return Condition(
            name, "Returns", kind, standing, Scale.SHARE, Sense.AT_LEAST, 0.9, 0.95, 0.97
        )

    conditions = (
        condition(Kind.APP, Standing.MET),
        condition(Kind.GLASSES, Standing.FAILED),
        condition(Kind.APP, Standing.MET, "users"),
        condition(Kind.GLASSES, Standing.OPEN, "users"),
        condition(Kind.APP, Standing.MET, "days"),
    )
    findings = findings_of(GateAnswer(GateVerdict.NOT_READY, conditions))
    assert {name: finding.standing for name, finding in findings.items()} == {
        "returns": Standing.FAILED,
        "users": Standing.OPEN,
        "days": Standing.MET,
    }
    assert findings["returns"].words == "glasses: 0.95, at least 0.9"


def test_no_ledger(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(InputError):
        facts_from(SqliteReader(tmp_path / "none.db"), settings, "d", NOW)

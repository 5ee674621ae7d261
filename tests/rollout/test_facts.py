"""What the ledger knows of the file in force."""

from pathlib import Path

import pytest

from shim.gate import Condition, GateAnswer, GateVerdict, Scale, Sense, Standing
from shim.ledger.gate_evidence import evidence_since
from shim.ledger.rows import ActionRow, BrakeRow, CoverageRow, FailureRow, FlagsRow, ProofRow
from shim.ledger.sqlite.reader import SqliteReader
from shim.model import InputError, Kind, Return, Role
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.rollout.promotion_facts import facts_from, findings_of, in_force_since
from shim.settings import Settings, load_settings
from tests.ledger.helpers import DAY, NOW, RUN, S, ledger, mismatch, verdict


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(None, monitor_types(plugin_manager()))


def load(at: int, digest: str, problem: str | None = None) -> FlagsRow:
    return FlagsRow(
        at=NOW + at * S, file="rollout.yaml", digest=digest, before=None, problem=problem
    )


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
    rows = [load(at, digest, problem) for at, (digest, problem) in enumerate(loads)]
    expected = None if since is None else NOW + since * S
    assert in_force_since(reversed(rows), "b") == expected


def action(number: int, result: Return, role: Role = Role.CONTROL) -> ActionRow:
    at = NOW + number * S
    return ActionRow(
        connection=f"c{number}",
        connection_kind=Kind.APP,
        user=f"u{number}",
        session="s",
        package="p",
        role=role,
        acted_at=at,
        code=1001,
        result=result,
        at=at + S,
        delay=S,
        by_percentage=True,
    )


def test_evidence_of_a_span(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "shim.db"
    with ledger(path) as writer:
        for number in range(100):
            # An hour apart: not a crowd.
            writer.append(verdict(3600 * number))
        writer.append(mismatch(3601))
        writer.append(verdict(-5))  # before the span
        writer.append(
            verdict(7, acting=Role.CANDIDATE)
        )  # the candidate decided and acted: no proof
        for number in range(8):
            writer.append(action(60 * number, Return.RETURNED))
        writer.append(action(600, Return.LOST))
        writer.append(action(700, Return.RETURNED, Role.CANDIDATE))
        writer.append(
            ProofRow(
                connection="c700",
                connection_kind=Kind.APP,
                user="u700",
                session="s",
                package="p",
                role=Role.CONTROL,
                at=NOW + S,
            )
        )
        for role in Role:
            writer.append(FailureRow(role=role, call="message", reason="it raised", at=NOW + S))
        writer.append(
            CoverageRow(
                connection_kind=Kind.APP,
                since=NOW,
                at=NOW + 60 * S,
                connected=6000 * S,
                control_acted=0,
                candidate_acted=0,
                watched=6000 * S,
                pings=399,
                heartbeat_interval=15 * S,
                control_users=5,
                candidate_users=0,
            )
        )
        assert writer.flush(30)
    now = NOW + 30 * DAY
    evidence = evidence_since(SqliteReader(path), settings, NOW, now)
    assert (evidence.period_start, evidence.period_end, evidence.epoch_start) == (NOW, now, NOW)
    assert (evidence.failures, evidence.quarantines) == (1, 0)
    (app,) = evidence.kinds
    assert app.kind is Kind.APP
    assert (app.matched, app.mismatched, app.acting_first) == (100, 1, 1)
    assert (app.users, app.unsettled_users, app.days) == (101, 0, 5)
    assert app.period.agreement == {(1, 1): 100, (0, 1): 1}
    assert app.period.returns[Role.CONTROL] == {(1, 1): 8, (0, 1): 1}
    assert app.period.returns[Role.CANDIDATE] == {(1, 1): 1}
    assert app.acted == {Role.CONTROL: 9, Role.CANDIDATE: 1}
    assert app.outcomes[Role.CONTROL][Return.LOST] == 1
    assert app.proofs == {Role.CONTROL: 1}
    assert (app.pings, app.heartbeats) == (399, 400)
    # What the return window may still change counts for nothing yet.
    early = evidence_since(SqliteReader(path), settings, NOW, NOW + 650 * S)
    assert early.kinds[0].period.returns[Role.CONTROL] == {(1, 1): 8}


def test_facts_of_a_file(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "shim.db"
    with ledger(path, RUN) as writer:
        writer.append(load(0, "old"))
        writer.append(load(10, "new"))
        for number in range(20):
            writer.append(verdict(100 * number))
        writer.append(BrakeRow(True, "by hand", NOW))
        assert writer.flush(30)
        reader, now = SqliteReader(path), NOW + 2 * DAY
        facts = facts_from(reader, settings, "new", now)
        assert (facts.now, facts.active_since, facts.brake) == (now, NOW + 10 * S, "by hand")
        assert facts.findings["failures"].standing is Standing.MET
        assert facts.findings["agreement"].standing is Standing.OPEN
        assert "app" in facts.findings["agreement"].words
        writer.append(BrakeRow(False, "mended", NOW + S))
        assert writer.flush(30)
        facts = facts_from(reader, settings, "old", now)
        assert (facts.active_since, facts.brake, dict(facts.findings)) == (None, None, {})


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

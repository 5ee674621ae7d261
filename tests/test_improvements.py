"""An improvement is shown as such, and is part of no figure of agreement (R14)."""

from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.trace import StatusCode

from shim.ledger.protocols import VerdictFilter
from shim.ledger.sqlite.reader import SqliteReader
from shim.model import Role, Verdict, VerdictKind, VerdictName
from shim.runtime.tally import Tally
from shim.telemetry import Metrics
from tests.ledger.helpers import S, ledger, mismatch
from tests.ledger.helpers import verdict as verdict_row
from tests.telemetry.recording import Recording
from tests.telemetry.records import verdict

IMPROVEMENT = verdict(
    name=VerdictName.MISMATCHED,
    kind=VerdictKind.ONLY_CONTROL,
    first=Role.CONTROL,
    acting=Role.CANDIDATE,
    candidate_at=None,
    recovered=True,
)
FALSE_KILL = verdict(
    name=VerdictName.MISMATCHED,
    kind=VerdictKind.ONLY_CANDIDATE,
    control_at=None,
    recovered=True,
)
NOT_RECOVERED = replace(IMPROVEMENT, recovered=False)


@pytest.mark.parametrize(
    ("given", "is_improvement"),
    [(IMPROVEMENT, True), (FALSE_KILL, False), (NOT_RECOVERED, False), (verdict(), False)],
)
def test_the_report_leaves_improvements_out_of_the_agreement(
    given: Verdict, is_improvement: bool
) -> None:
    tally = Tally()
    tally.on(given)
    facts = tally.as_dict()
    assert facts["improvements"] == int(is_improvement)
    assert facts["agreement"]["conclusive"] == int(not is_improvement)


def test_the_metric_of_verdicts_has_a_label_for_improvements() -> None:
    metrics = Metrics()
    metrics.on(IMPROVEMENT)
    metrics.on(FALSE_KILL)
    _, text = metrics.render("text/plain")
    counted = [
        line
        for line in text.decode().splitlines()
        if line.startswith("shim_verdicts_total{") and line.endswith(" 1.0")
    ]
    assert len(counted) == 2
    assert [('improvement="true"' in line, 'kind="only_control"' in line) for line in counted] in (
        [(True, True), (False, False)],
        [(False, False), (True, True)],
    )


def test_the_trace_of_an_improvement_is_no_error() -> None:
    recording = Recording()
    recording.observer.on(replace(IMPROVEMENT))
    root = recording.span("episode mismatched")
    assert root.status.status_code is not StatusCode.ERROR
    assert (root.attributes or {})["shim.improvement"] is True


def test_the_ledger_finds_improvements_and_leaves_them_out_of_the_figures(tmp_path: Path) -> None:
    path = tmp_path / "shim.db"
    with ledger(path) as writer:
        writer.append(verdict_row(0))
        writer.append(mismatch(1))
        writer.append(
            mismatch(2, kind=VerdictKind.ONLY_CONTROL, first=Role.CONTROL, acting=Role.CANDIDATE)
        )
    reader = SqliteReader(path)
    (found,) = reader.verdicts(VerdictFilter(improvement=True)).rows
    assert found.connection == "c2"
    assert found.as_dict()["improvement"] is True
    others = reader.verdicts(VerdictFilter(improvement=False)).rows
    assert [row.connection for row in others] == ["c1", "c0"]
    counts = reader.counts(None, 0, found.at + S)
    assert counts.proving == {VerdictName.MATCHED: 1, VerdictName.MISMATCHED: 1}
    assert counts.improvements == {VerdictName.MISMATCHED: 1}
    assert [one.name for one in reader.worst("user", 0, found.at + S)] == ["u1"]

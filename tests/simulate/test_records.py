"""What a simulation writes: a capture that replays to the same verdicts, a ledger that says the same."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from shim.compare.expected_rules import ExpectedRules
from shim.ledger.gate_evidence import gate_evidence
from shim.ledger.rows import GapRow, RunRow
from shim.ledger.sqlite import database
from shim.ledger.sqlite import direct_writer as direct
from shim.ledger.sqlite import ledger_file as file
from shim.ledger.sqlite.reader import SqliteReader
from shim.model import InputError, Return, Role, Verdict, VerdictKind, VerdictName
from shim.replay.capture_reader import CaptureReader
from shim.replay.replay_engine import Replay, ReplaySettings
from shim.simulate.scenario import Scenario
from shim.simulate.simulation_run import SimulationRun
from tests.simulate.helpers import GONE, records, scenario

SHADOW = {"percent": {"shadow": 100}}
LIVE = {"holdback": 0, "percent": {"live": 100}}
# Far from the ends of the control's sweeps, so that nobody returns in the moment of being closed.
PAUSED = {"pauses": [{"at": "1h", "duration": "20s"}, {"at": "2h", "duration": "50s"}]}


def _replayed(path: Path, one: Scenario, acting: Role) -> Replay:
    comparison = one.settings.comparison
    settings = ReplaySettings(
        one.settings.monitors.chosen,
        comparison.tolerance,
        comparison.window,
        comparison.return_window,
        ExpectedRules(),
    )
    engine = Replay(settings, acting)
    with path.open("rb") as file:
        engine.feed(CaptureReader(file, path))
    assert engine.ended
    return engine


def _facts(verdict: Verdict) -> tuple[Any, ...]:
    return (
        verdict.connection.id.partition("~")[0],
        verdict.name,
        verdict.kind,
        verdict.at,
        verdict.first,
        verdict.control_at,
        verdict.candidate_at,
        verdict.recovered,
        verdict.last_activity,
    )


@pytest.mark.parametrize("skip", [True, False], ids=["skipped", "full"])
@pytest.mark.parametrize("rollout", [SHADOW, LIVE], ids=["shadow", "live"])
def test_the_capture_replays_to_the_same_verdicts(
    tmp_path: Path, rollout: dict[str, Any], skip: bool
) -> None:
    one = scenario(
        users=10,
        days=0.3,
        rollout=rollout,
        server=PAUSED,
        clients={"app": {"freezes": {**GONE, "per_day": 15.0}, "message_every": "30s"}},
        settings={"monitors": {"candidate": {"close_code": 4000}}},
    )
    path = tmp_path / "capture.jsonl"
    with SimulationRun(one, capture=path, skip=skip, sample=0.3) as run:
        for _ in run.hours():
            pass

    acting = Role.CONTROL if rollout is SHADOW else Role.CANDIDATE
    replayed = _replayed(path, one, acting).result

    simulated = records(one, skip=skip)
    assert len(simulated.verdicts) > 20
    assert sorted(map(_facts, replayed.verdicts), key=str) == sorted(
        map(_facts, simulated.verdicts), key=str
    )
    results = Counter(outcome.result for outcome in simulated.outcomes)
    assert results[Return.RETURNED] > 10
    assert replayed.outcomes[acting] == results


def test_the_gate_is_asked_of_the_ledger_that_is_written(tmp_path: Path) -> None:
    one = scenario(users=60, days=1.5)
    path = tmp_path / "ledger.db"
    with SimulationRun(one, ledger=path) as run:
        for _ in run.hours():
            pass
        gathered = run.evidence()

    read = gate_evidence(SqliteReader(path), one.settings, one.epoch + one.end)

    assert gathered.kinds
    assert read == gathered


def test_without_a_ledger_the_gate_is_told_the_same(tmp_path: Path) -> None:
    one = scenario(users=60, days=1.5)
    evidences = []
    for ledger in (tmp_path / "ledger.db", None):
        with SimulationRun(one, ledger=ledger) as run:
            for _ in run.hours():
                pass
            evidences.append(run.evidence())

    assert evidences[0].kinds
    assert evidences[0] == evidences[1]


def test_the_gate_is_told_what_happened() -> None:
    one = scenario(users=60, days=1.5)
    with SimulationRun(one) as run:
        for _ in run.hours():
            pass
        (kind,) = run.evidence().kinds

    # What happened in the last minute may still be on its way to the disk.
    known = one.end - one.settings.gate.grain
    told = records(one)
    proving = Counter(
        verdict.name
        for verdict in told.verdicts
        if verdict.at < known
        and verdict.first is not None
        and verdict.first is not verdict.acting
        and not (verdict.kind is VerdictKind.ONLY_CONTROL and verdict.recovered)
    )
    assert kind.matched == proving[VerdictName.MATCHED] > 50
    assert kind.mismatched == proving[VerdictName.MISMATCHED]
    assert kind.expected == proving[VerdictName.EXPECTED]
    for role in Role:
        results = Counter(
            outcome.result
            for outcome in told.outcomes
            if outcome.role is role
            and outcome.window_ends is not None
            and outcome.window_ends < known
        )
        assert kind.acted[role] == results.total() > 0
        assert kind.outcomes[role] == {result: results[result] for result in Return}
    coverages = [coverage for coverage in told.coverages if coverage.until < known]
    (heartbeats,) = kind.heartbeats
    assert heartbeats.pings == sum(coverage.pings for coverage in coverages)
    assert heartbeats.needed == pytest.approx(
        sum(one.watched / one.heartbeat_interval for one in coverages if one.heartbeat_interval)
    )


def test_files_that_exist_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(InputError, match="exist"):
        SimulationRun(scenario(), ledger=path)
    with pytest.raises(InputError, match="exist"):
        SimulationRun(scenario(), capture=path)
    assert path.read_text() == "precious"


def test_everything_is_in_the_ledger_however_much_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "_GROUP", 20)
    one = _everybody_is_closed()
    path = tmp_path / "ledger.db"
    with SimulationRun(one, ledger=path) as run:
        for _ in run.hours():
            pass

    verdicts = SqliteReader(path).counts(None, 0, 1 << 62).all
    assert sum(verdicts.values()) == run.tally.as_dict()["verdicts"]["matched"] > 100
    assert not SqliteReader(path).rows(GapRow)
    (last,) = SqliteReader(path).rows(RunRow)
    assert last.stopped_at == one.epoch + one.end


def test_the_ledger_of_a_seed_is_the_same_to_the_byte(tmp_path: Path) -> None:
    """Its run's id comes from the scenario: the same for the same seed, another for another seed."""

    def simulate(name: str, seed: int) -> bytes:
        path = tmp_path / name
        with SimulationRun(scenario(users=5, days=0.02, seed=seed), ledger=path) as run:
            for _ in run.hours():
                pass
        (row,) = SqliteReader(path).rows(RunRow)
        ids.append(row.uuid)
        return path.read_bytes()

    ids: list[str] = []
    assert simulate("one.db", 1) == simulate("same.db", 1) != simulate("other.db", 2)
    assert ids[0] == ids[1] != ids[2]


def test_a_ledger_that_cannot_be_written_ends_the_simulation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "_GROUP", 20)
    monkeypatch.setitem(database._PRAGMAS, "max_page_count", "60")
    one = _everybody_is_closed()
    path = tmp_path / "ledger.db"
    with (
        pytest.raises(InputError, match=r"ledger\.db cannot be written: database or disk is full"),
        SimulationRun(one, ledger=path) as run,
    ):
        for _ in run.hours():
            pass
    file.Lock(path).release()  # it was let go


def _everybody_is_closed() -> Scenario:
    rollout = {"holdback": 0, "percent": {"live": 100}}
    return scenario(users=20, days=0.05, candidate={"pings": False}, rollout=rollout, brake=False)

"""The gate's answer does not depend on when somebody asked before."""

from collections.abc import Iterable
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from shim.gate.evidence import Evidence
from shim.gate.judge import judge
from shim.gate.observed_rows import ObservedRows
from shim.ledger.gate_evidence import GateEvidence, gate_evidence
from shim.ledger.rows import FailureRow, Row
from shim.ledger.sqlite.reader import SqliteReader
from shim.ledger.stores import read_ledger
from shim.model import Kind, Return, Role
from shim.settings.sections import GateSettings
from shim.simulate.scenario import load_scenario
from shim.simulate.simulation_run import SimulationRun
from tests.ledger.gate_rows import DEFAULTS, HOUR, MINUTE, ask, process, proof_of_life
from tests.ledger.helpers import (
    DAY,
    NOW,
    S,
    Wall,
    coverage,
    ledger,
    mismatch,
    settled_action,
    verdict,
)
from tests.simulate.helpers import EXAMPLES, TYPES

USERS = [f"u{number}" for number in range(30)]
SPAN = 4 * DAY


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, Row]]:
    """Rows with the times at which they are written, in that order; a crowd now and then."""
    rows: list[tuple[int, Row]] = []
    for number in range(draw(st.integers(0, 25))):
        when = draw(st.integers(0, SPAN // S - 200))
        users = draw(st.sampled_from([1, 1, 1, 25]))
        for place in range(users):
            about: dict[str, Any] = {
                "connection": f"c{number}.{place}",
                "user": USERS[place] if users > 1 else draw(st.sampled_from(USERS)),
            }
            second = when + place
            matched = draw(st.booleans()) if users == 1 else bool(place % 3)
            acting = draw(st.sampled_from(Role)) if users == 1 else Role.CONTROL
            found = (verdict if matched else mismatch)(second, acting=acting, **about)
            result = Return.RETURNED if matched else Return.LOST
            action = settled_action(second, role=acting, result=result, **about)
            assert action.window_ends is not None
            rows += [(found.at, found), (action.window_ends, action)]
            if acting is Role.CANDIDATE and draw(st.booleans()):
                event = draw(st.sampled_from([None, 1, 2]))
                proof = proof_of_life(action, event)
                rows.append((proof.at, proof))
    for second in draw(st.lists(st.integers(0, SPAN // S - 200), max_size=3)):
        when = NOW + second * S
        rows.append((when, FailureRow(role=Role.CANDIDATE, call="wake", reason="it", at=when)))
    return rows


WATCHED = [
    coverage(60 * minute, candidate_users=minute % 3 * 10) for minute in range(0, SPAN // MINUTE, 7)
]


def outcome_known(second: int, role: Role) -> tuple[int, Row]:
    """An action whose window ends so many seconds after NOW."""
    action = settled_action(second - 120, role=role)
    assert action.window_ends is not None
    return action.window_ends, action


AFTER_MIDNIGHT = DAY // S - NOW // S % (DAY // S) + 240
"""So many seconds after NOW the first UTC day is decided: its rows are here and settled (R16)."""

SHORT = DEFAULTS.model_copy(
    update={"gate": GateSettings.model_validate({"period": "1d", "unit": "6h"})}
)


@settings(max_examples=15, deadline=None)
@example(
    # The candidate's first outcome comes when the first day is decided.
    history=[
        outcome_known(120, Role.CONTROL),
        outcome_known(AFTER_MIDNIGHT - 179, Role.CANDIDATE),
    ],
    times=[AFTER_MIDNIGHT, AFTER_MIDNIGHT + 1],
)
@given(
    history=histories(),
    times=st.lists(st.integers(0, SPAN // S), min_size=2, max_size=8, unique=True).map(sorted),
)
def test_an_answer_does_not_depend_on_when_somebody_asked_before(
    history: list[tuple[int, Row]], times: list[int]
) -> None:
    """Asked while the ledger is written, asked anew at that time, and asked afterwards about that time."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "shim.db"
        asked: list[Evidence] = []
        with ledger(path, process(NOW), wall=Wall(NOW + 2 * SPAN)) as writer:
            kept = GateEvidence(SqliteReader(path), SHORT)
            watched = [(row.at, row) for row in WATCHED]
            waiting = iter(sorted([*history, *watched], key=itemgetter(0)))
            following = next(waiting, None)
            for time in times:
                now = NOW + time * S
                while following is not None and following[0] <= now:
                    writer.append(following[1])
                    following = next(waiting, None)
                assert writer.flush(30)
                asked.append(kept.read(now))
                assert asked[-1] == ask(path, now, SHORT)
            for row in [] if following is None else [following[1]]:
                writer.append(row)
            for _, row in waiting:
                writer.append(row)
            assert writer.flush(30)
        for then in asked:
            assert ask(path, then.now, SHORT) == then
            assert judge(ask(path, then.now, SHORT), SHORT.gate) == judge(then, SHORT.gate)


class CountingReader(SqliteReader):
    """Notes from when on rows are asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.since: list[int] = []

    def agreement_rows(
        self, kind: Kind, runs: Iterable[int], since: int, until: int
    ) -> ObservedRows:
        self.since.append(since)
        return super().agreement_rows(kind, runs, since, until)


def test_asked_again_only_what_is_new_is_read(path: Path) -> None:
    with ledger(path, process(NOW), wall=Wall(NOW + DAY)) as writer:
        writer.append(verdict(60))
        writer.append(coverage(60))
        assert writer.flush(30)
        reader = CountingReader(path)
        evidence = GateEvidence(reader, DEFAULTS)
        assert evidence.read(NOW + HOUR).kinds[0].matched == 1
        assert set(reader.since) == {NOW}
        reader.since.clear()
        writer.append(verdict(3600))
        assert writer.flush(30)
        assert evidence.read(NOW + 2 * HOUR).kinds[0].matched == 2
        assert set(reader.since) == {NOW + HOUR - MINUTE}


def test_a_simulated_rollout_is_answered_for_each_day_as_it_was_then() -> None:
    path = EXAMPLES / "close-4000.yaml"
    chosen = load_scenario(path, TYPES).model_copy(update={"users": 150, "days": 8.0})
    answers = []
    with SimulationRun(chosen) as run:
        kept = GateEvidence(read_ledger(run.ledger_url), chosen.settings)
        for now in run.hours():
            if not now % DAY:
                then = chosen.epoch + now
                answers.append((then, judge(kept.read(then), chosen.settings.gate)))
        assert len(answers) == 8
        for then, answer in answers:
            again = gate_evidence(read_ledger(run.ledger_url), chosen.settings, then)
            assert judge(again, chosen.settings.gate) == answer

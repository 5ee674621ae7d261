"""What the gate and the brake ask of the ledger, against sums made in plain Python over the same rows."""

from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shim.gate.brake_statistics import FalseKill
from shim.gate.observed_rows import Arm, ObservedRow, user_key
from shim.ledger.protocols import EpisodeSort
from shim.ledger.rows import (
    ActionRow,
    CoverageRow,
    DecisionRow,
    FailureRow,
    ProofRow,
    Row,
    VerdictRow,
)
from shim.ledger.sqlite.database import Database
from shim.ledger.sqlite.reader import SqliteReader
from shim.model import Kind, Return, Role, VerdictKind, VerdictName
from tests.ledger.helpers import (
    S,
    coverage,
    decision,
    minutes_of,
    results_of,
    run,
    settled_action,
    verdict,
)

R = TypeVar("R", bound=Row)

TIMES = st.integers(0, 40)
"""Seconds."""

USERS = st.sampled_from(["u1", "u2", 'Ω\0"\\\n\x1f\u2028'])
KINDS = st.sampled_from(Kind)
ROLES = st.sampled_from(Role)
GROUPS = st.none() | st.sampled_from(["everybody", "a rule"])


@st.composite
def about(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "connection": f"c{draw(st.integers(0, 40))}",
        "connection_kind": draw(KINDS),
        "user": draw(USERS),
    }


@st.composite
def rows(draw: st.DrawFn) -> Row:
    number, connection = draw(TIMES), draw(about())
    match draw(st.integers(0, 5)):
        case 0:
            return verdict(
                number,
                **connection,
                verdict=draw(st.sampled_from(VerdictName)),
                kind=draw(st.sampled_from(VerdictKind)),
                first=draw(st.none() | ROLES),
                acting=draw(st.none() | ROLES),
                recovered=draw(st.booleans()),
                overridden=draw(st.none() | st.booleans()),
                placed_by=draw(GROUPS),
            )
        case 1:
            return settled_action(
                number,
                **connection,
                role=draw(ROLES),
                result=draw(st.none() | st.sampled_from(Return)),
                placed_by=draw(GROUPS),
                window_ends=draw(st.none() | st.just(verdict(number + 5).at)),
            )
        case 2:
            return ProofRow(
                **connection,
                session="s",
                package=None,
                role=draw(ROLES),
                at=verdict(number).at,
                guard_event=draw(st.none() | st.integers(1, 2)),
            )
        case 3:
            return decision(number, **connection, role=draw(ROLES))
        case 4:
            call = draw(st.sampled_from(["wake", "quarantine"]))
            return FailureRow(role=draw(ROLES), call=call, reason="no", at=verdict(number).at)
        case _:
            return coverage(
                number,
                connection_kind=connection["connection_kind"],
                candidate_acted=draw(st.integers(0, 90)) * S,
                candidate_users=draw(st.integers(0, 9)),
                heartbeat_interval=draw(st.none() | st.just(30 * S)),
            )


def of_type(kind: type[R], found: list[tuple[int, Row]]) -> list[tuple[int, R]]:
    return [(number, row) for number, row in found if isinstance(row, kind)]


def write(path: Path, wrote: list[tuple[int, Row]]) -> SqliteReader:
    """A ledger of three runs, with the number of its run beside each row."""
    for number in (1, 2, 3):
        database = Database(path, run(number))
        database.store([row for of_run, row in wrote if of_run == number], 1)
        database.close()
    return SqliteReader(path)


def is_improvement(row: VerdictRow) -> bool:
    return row.kind is VerdictKind.ONLY_CONTROL and row.recovered


def counts(row: VerdictRow) -> bool:
    """R14, R16: conclusive, the first decider was shadowing, no improvement, no override."""
    return (
        row.verdict in (VerdictName.MATCHED, VerdictName.MISMATCHED)
        and row.first is not None
        and row.first is not row.acting
        and not row.overridden
        and not is_improvement(row)
    )


@settings(max_examples=40, deadline=None)
@given(
    wrote=st.lists(st.tuples(st.integers(1, 3), rows()), max_size=40),
    kind=KINDS,
    runs=st.sets(st.integers(1, 3)),
    since=TIMES,
    length=TIMES,
)
def test_all_figures_of_a_trial(
    tmp_path_factory: pytest.TempPathFactory,
    wrote: list[tuple[int, Row]],
    kind: Kind,
    runs: set[int],
    since: int,
    length: int,
) -> None:
    # A connection times out once; proofs of life are about any of them.
    wrote = [
        (number, replace(row, connection=f"c{place}") if isinstance(row, ActionRow) else row)
        for place, (number, row) in enumerate(wrote)
    ]
    reader = write(tmp_path_factory.mktemp("ledger") / "shim.db", wrote)
    begin, end = verdict(since).at, verdict(since + length).at
    known = [(number, row) for number, row in wrote if number in runs]

    verdicts = [
        (number, row)
        for number, row in of_type(VerdictRow, known)
        if row.connection_kind is kind and begin <= row.at < end
    ]
    found = reader.agreement_rows(kind, runs, begin, end)
    assert [row.at for row in found] == sorted(row.at for row in found)
    assert Counter(found) == Counter(
        ObservedRow(
            user_key(row.user),
            row.at,
            row.verdict is VerdictName.MATCHED,
            Arm(row.placed_by or "", row.acting),
            number,
        )
        for number, row in verdicts
        if counts(row) and row.acting is not None
    )
    others = [row for _, row in verdicts if not counts(row)]
    assert reader.other_episodes(kind, runs, begin, end) == plain_counts(others)

    proved: dict[tuple[int, str], int | None] = {}
    for number, row in of_type(ProofRow, wrote):
        events = proved.get((number, row.connection)), row.guard_event
        proved[number, row.connection] = max(filter(None, events), default=None)
    actions = [
        (number, row)
        for number, row in of_type(ActionRow, known)
        if row.connection_kind is kind
        and row.result is not None
        and row.window_ends is not None
        and begin <= row.window_ends < end
    ]
    settled = reader.settled_actions(kind, runs, begin, end, acted_from=begin - 2 * S)
    assert [row.at for row in settled.rows] == sorted(row.at for row in settled.rows)
    assert Counter(results_of(settled)) == Counter(
        (
            ObservedRow(
                user_key(row.user),
                row.window_ends or 0,
                (number, row.connection) in proved,
                Arm(row.placed_by or "", row.role),
                number,
                proved.get((number, row.connection)),
            ),
            row.result,
        )
        for number, row in actions
        if row.acted_at >= begin - 2 * S
    )

    minutes = [
        (number, row) for number, row in of_type(CoverageRow, known) if begin <= row.at < end
    ]
    assert Counter(minutes_of(reader.coverage_sums(runs, begin, end))) == Counter(
        (
            number,
            [*Kind].index(row.connection_kind),
            row.heartbeat_interval or 0,
            row.since,
            row.at,
            row.control_acted,
            row.candidate_acted,
            row.control_users,
            row.candidate_users,
            row.pings,
            row.watched,
        )
        for number, row in minutes
    )
    assert reader.mean_users(runs, begin, end) == {
        Role.CONTROL: sum(row.control_users for _, row in minutes),
        Role.CANDIDATE: sum(row.candidate_users for _, row in minutes),
    }
    assert reader.candidate_failures(runs, begin, end) == Counter(
        row.call
        for _, row in of_type(FailureRow, known)
        if row.role is Role.CANDIDATE and begin <= row.at < end
    )
    assert Counter(reader.candidate_decisions(runs, begin)) == Counter(
        (row.user, row.at)
        for _, row in of_type(DecisionRow, known)
        if row.role is Role.CANDIDATE and row.at >= begin
    )
    kills = reader.false_kills(runs, begin)
    assert [kill.at for kill in kills] == sorted(kill.at for kill in kills)
    assert Counter(kills) == Counter(plain_kills(known, begin))
    assert reader.last_seen(end) == plain_last_seen(wrote, end)


def plain_counts(others: list[VerdictRow]) -> Counter[EpisodeSort]:
    counted: Counter[EpisodeSort] = Counter()
    for row in others:
        proving = row.first is not None and row.first is not row.acting
        if row.overridden:
            continue
        if is_improvement(row):
            counted["improvements"] += 1
        elif row.verdict is VerdictName.INCONCLUSIVE:
            counted["inconclusive"] += 1
        elif row.verdict is VerdictName.EXPECTED and proving:
            counted["expected"] += 1
        else:
            counted["acting_first"] += 1
    return counted


def plain_kills(known: list[tuple[int, Row]], begin: int) -> list[FalseKill]:
    recovered = [
        FalseKill(row.user, row.at)
        for _, row in of_type(VerdictRow, known)
        if row.verdict is VerdictName.MISMATCHED
        and row.kind is VerdictKind.ONLY_CANDIDATE
        and row.recovered
    ]
    proofs = [
        FalseKill(row.user, row.at, None if row.guard_event is None else (number, row.guard_event))
        for number, row in of_type(ProofRow, known)
        if row.role is Role.CANDIDATE
    ]
    return [kill for kill in recovered + proofs if kill.at >= begin]


def plain_last_seen(wrote: list[tuple[int, Row]], now: int) -> dict[int, int]:
    seen: dict[int, int] = {}
    for number, row in of_type(CoverageRow, wrote):
        if row.at <= now:
            seen[number] = max(seen.get(number, 0), row.at)
    return seen

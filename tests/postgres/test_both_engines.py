"""Every question of a reader, asked of SQLite and of PostgreSQL about the same rows: one answer."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shim.gate.observed_rows import user_key
from shim.ledger.postgres.store_reader import PostgresReader
from shim.ledger.protocols import Episode, LedgerReader, VerdictFilter
from shim.ledger.report_figures import read_report
from shim.ledger.rows import (
    ROWS,
    ActionRow,
    BrakeRow,
    ClosingRow,
    FailureRow,
    GuardRow,
    LateRow,
    PauseRow,
    Row,
    RunRow,
    StageRow,
    storable,
)
from shim.ledger.sqlite.reader import SqliteReader
from shim.model import Cause, Kind, Return, Role, Stage, VerdictKind, VerdictName
from shim.model.ledger_url import LedgerUrl
from tests.ledger.helpers import (
    NOW,
    S,
    any_row,
    coverage,
    decision,
    flags_load,
    ledger,
    minutes_of,
    results_of,
    settled_action,
    verdict,
)
from tests.ledger.test_figures import actions, verdicts
from tests.postgres.helpers import empty, ship_all

TIMES = st.integers(NOW, NOW + 60 * S)
NAMES = st.sampled_from(["u1", "u2", "Zoë", "Ω", "a'b\\c", "\ud800", "", " u1", "U1"])


SETTINGS = settings(
    max_examples=10,
    deadline=None,
    # To make a failing example smaller takes minutes: each one is a ledger and a store.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@contextmanager
def both(
    folder: Path, store: LedgerUrl, rows: list[Row]
) -> Iterator[tuple[SqliteReader, PostgresReader]]:
    """The same rows in a SQLite ledger and in a store."""
    path = folder / "shim.db"
    with ledger(path) as writer:
        for row in rows:
            writer.append(row)
    empty(store)
    ship_all(path, store)
    reader = PostgresReader(store)
    try:
        yield SqliteReader(path), reader
    finally:
        reader.close()


def about(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "connection": draw(st.sampled_from(["c1", "c2", "c3"])),
        "connection_kind": draw(st.sampled_from(Kind)),
        "user": draw(NAMES),
        "session": "s",
        "package": draw(st.none() | st.sampled_from(["com.example.a", "com.example.ü"])),
    }


@st.composite
def others(draw: st.DrawFn) -> Row:
    """A row of the other tables, near the verdicts in time."""
    at, role = draw(TIMES), draw(st.sampled_from(Role))
    connection = about(draw)
    return draw(
        st.sampled_from(
            [
                coverage(
                    connection_kind=draw(st.sampled_from(Kind)),
                    since=at - 60 * S,
                    at=at,
                    control_users=draw(st.integers(0, 5)),
                    candidate_users=draw(st.integers(0, 5)),
                    heartbeat_interval=draw(st.none() | st.just(15 * S)),
                ),
                decision(**connection, role=role, at=at),
                FailureRow(
                    role=role,
                    call=draw(st.sampled_from(["wake", "quarantine"])),
                    reason="no",
                    at=at,
                ),
                LateRow(**connection, role=role, at=at, acting=None),
                ClosingRow(
                    **connection,
                    stage=draw(st.sampled_from(Stage)),
                    opened_at=at - S,
                    at=at,
                    cause=draw(st.sampled_from(Cause)),
                    intended=None,
                    observed=1006,
                ),
                StageRow(**connection, before=Stage.OFF, after=Stage.LIVE, at=at),
                flags_load(at=at),
                BrakeRow(draw(st.booleans()), "why", at, draw(st.none() | st.booleans())),
                GuardRow(True, 5, at),
                PauseRow(at - S, at),
                settled_action(**connection, role=role, acted_at=at),
            ]
        )
    )


@st.composite
def named_verdicts(draw: st.DrawFn) -> Row:
    row = draw(verdicts())
    return verdict(
        **{
            **{name: getattr(row, name) for name in row.columns()},
            "user": draw(NAMES),
            "overridden": draw(st.none() | st.booleans()),
            "placed_by": draw(st.none() | st.just("everybody")),
        }
    )


def comparable(answer: Any) -> Any:
    """The answer without the ids of actions: an action that is settled may have another one in the store, and
    actions of one instant are listed in the order of their ids."""
    facts = msgspec.to_builtins(answer, enc_hook=lambda other: [type(other).__name__, str(other)])
    if isinstance(answer, list) and answer and isinstance(answer[0], ActionRow):
        return sorted(repr({**row, "id": 0}) for row in facts)
    if isinstance(answer, list) and answer and isinstance(answer[0], Episode):
        return [
            {**one, "action": one["action"] and {**one["action"], "id": 0}, "record": None}
            for one in facts
        ]
    return facts


Names = Mapping[int, str]
"""The users by the keys that an engine has for them."""


def by_user(rows: Iterable[tuple[Any, ...]], names: Names) -> dict[str, Any]:
    """The rows of each user in their order; those of several users at one time have none."""
    found: defaultdict[str, list[Any]] = defaultdict(list)
    times = []
    for user, at, *others in rows:
        found[names[int(user)]].append((at, *others))
        times.append(at)
    assert times == sorted(times)
    return dict(sorted(found.items()))


def ask_all(
    reader: LedgerReader, names: Names, kind: Kind, since: int, until: int, which: VerdictFilter
) -> dict[str, Any]:
    """The answer to every question, by its name. `run` and `id` are 1, 2, … in both stores."""
    time, runs = (since, until), [1]
    page = replace(reader.verdicts(which, limit=3), record=None)  # of a fleet alone
    answers: dict[str, Any] = {
        "page": page,
        "next page": page.cursor
        and replace(reader.verdicts(which, limit=3, cursor=page.cursor), record=None),
        "episodes": [reader.episode(row.id) for row in page.rows],
        "no episode": reader.episode(1 << 40),
        "brake": reader.brake(),
        "orders": reader.orders(9),
        "event counts": reader.event_counts(*time),
        "report": read_report(reader, *time),
        "digest": reader.digest(),
        "outcomes": reader.outcomes(kind=kind, since=since),
        "outcomes of a user": reader.outcomes(user="u1", result=Return.RETURNED, until=until),
        "last seen": reader.last_seen(until),
        "agreement rows": by_user(reader.agreement_rows(kind, runs, *time), names),
        "settled actions": by_user(
            (
                (*row, result)
                for row, result in results_of(
                    reader.settled_actions(kind, runs, *time, acted_from=since)
                )
            ),
            names,
        ),
        "other episodes": reader.other_episodes(kind, runs, *time),
        "coverage": sorted(minutes_of(reader.coverage_sums(runs, *time))),
        "candidate failures": reader.candidate_failures(runs, *time),
        "candidate decisions": reader.candidate_decisions(runs, since),
        "false kills": reader.false_kills(runs, since),
        "mean users": reader.mean_users(runs, *time),
        "nothing of no run": len(reader.agreement_rows(kind, [], *time)),
    }
    for of in (kind, None):
        answers |= {
            f"counts of {of}": reader.counts(of, *time),
            f"results of {of}": reader.results(of, *time),
            f"proofs of {of}": reader.proofs(of, *time),
            f"timeline of {of}": reader.timeline(of, *time, 7 * S),
            f"skews of {of}": reader.skews(of, *time, 3 * S),
        }
    for by in ("user", "package"):
        answers[f"worst {by}"] = reader.worst(by, *time)
    for row in ROWS:
        answers[f"all of {row.TABLE}"] = reader.rows(row)
        answers[f"some of {row.TABLE}"] = reader.rows(row, since, until)
    return answers


@SETTINGS
@given(
    rows=st.lists(named_verdicts() | others(), max_size=30),
    acted=actions(),
    kind=st.sampled_from(Kind),
    since=TIMES,
    until=TIMES,
    which=st.builds(
        VerdictFilter,
        user=st.none() | NAMES,
        connection_kind=st.none() | st.sampled_from(Kind),
        verdict=st.none() | st.sampled_from(VerdictName),
        kind=st.none() | st.sampled_from(VerdictKind),
        recovered=st.none() | st.booleans(),
        improvement=st.none() | st.booleans(),
        since=st.none() | TIMES,
    ),
)
def test_the_same_answers(
    tmp_path_factory: pytest.TempPathFactory,
    store: LedgerUrl,
    rows: list[Row],
    acted: list[Row],
    kind: Kind,
    since: int,
    until: int,
    which: VerdictFilter,
) -> None:
    in_time = sorted([*rows, *acted], key=lambda row: getattr(row, row.AGE or "at"))
    folder = tmp_path_factory.mktemp("both")
    with both(folder, store, in_time) as (sqlite, postgres):
        names = storable({getattr(row, "user", "") for row in in_time})
        keys_of_sqlite = {user_key(name): name for name in names}
        asked = "SELECT hashtextextended(name, 0), name FROM unnest(%s::text[]) AS name"
        with psycopg.connect(store.url) as connection:
            keys_of_postgres: dict[int, str] = dict(connection.execute(asked, [names]).fetchall())
        expected = ask_all(sqlite, keys_of_sqlite, kind, since, until, which)
        found = ask_all(postgres, keys_of_postgres, kind, since, until, which)
    for name, answer in expected.items():
        assert comparable(found[name]) == comparable(answer), name


NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1)


@SETTINGS
@given(st.lists(st.tuples(NAMES.filter(str.isprintable), st.none() | NUMBERS, NUMBERS, NUMBERS)))
def test_very_many_rows_column_by_column(
    tmp_path_factory: pytest.TempPathFactory,
    store: LedgerUrl,
    rows: list[tuple[str, int | None, int, int]],
) -> None:
    names = ("word", "kind", "one", "other")
    casts = [f"CAST(? AS {'TEXT' if name == 'word' else 'BIGINT'}) AS {name}" for name in names]
    select = f"SELECT {', '.join(casts)}"
    # The last row is left out, so that there is a statement without any row, too.
    found = f"FROM ({' UNION ALL '.join([select] * (len(rows) + 1))}) AS found WHERE word <> 'none'"
    values = [value for row in [*rows, ("none", 0, 0, 0)] for value in row]
    with both(tmp_path_factory.mktemp("columns"), store, []) as readers:
        for reader in readers:
            with reader.snapshot() as ledger:
                columns = ledger.columns(("word", "kind"), ("one", "other"), found, *values)
            numbers = zip(*(column.tolist() for column in columns.numbers), strict=True)
            read = [
                (*columns.table[place], *pair)
                for place, pair in zip(columns.places.tolist(), numbers, strict=True)
            ]
            assert Counter(read) == Counter(rows)
            assert len(set(columns.table)) == len(columns.table)


def test_a_moment_does_not_see_what_is_written_after_it(tmp_path: Path, store: LedgerUrl) -> None:
    def count(reader: LedgerReader) -> int:
        return reader.counts(None, 0, NOW + 60 * S).all.total()

    with both(tmp_path, store, [verdict(1)]) as (sqlite, postgres):
        with sqlite.at_one_moment() as old_file, postgres.at_one_moment() as old_store:
            assert [count(old_file), count(old_store)] == [1, 1]
            with ledger(sqlite.path) as writer:
                writer.append(verdict(2))
            ship_all(sqlite.path, store)
            assert [count(old_file), count(old_store)] == [1, 1]
            with old_store.at_one_moment() as same:
                assert count(same) == 1
        assert [count(sqlite), count(postgres)] == [2, 2]


@SETTINGS
@given(rows=st.lists(any_row(), max_size=20))
def test_any_row_arrives_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    store: LedgerUrl,
    rows: list[Row],
) -> None:
    folder = tmp_path_factory.mktemp("any")
    with both(folder, store, rows) as (sqlite, postgres):
        for row in ROWS:
            number = attrgetter("uuid" if row is RunRow else "number")
            expected = [without_id(kept_by_postgres(found)) for found in sqlite.rows(row)]
            arrived = [without_id(found) for found in postgres.rows(row)]
            assert sorted(arrived, key=number) == sorted(expected, key=number)


def without_id(row: Row) -> Row:
    """An action that is settled may have another id in the store."""
    return msgspec.structs.replace(row, id=0) if isinstance(row, ActionRow) else row


def kept_by_postgres(row: Row) -> Row:
    """Its texts have no character 0."""
    return msgspec.structs.replace(
        row,
        **{
            name: value.replace("\0", "\\x00")
            for name, value in msgspec.structs.asdict(row).items()
            if type(value) is str
        },
    )

"""What the rows add up to, against sums made in plain Python over the same rows."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shim.ledger.protocols import VerdictCounts, VerdictFilter
from shim.ledger.rows import ActionRow, ProofRow, Row, VerdictRow
from shim.ledger.sqlite.reader import SqliteReader
from shim.model import InputError, Kind, Return, Role, VerdictKind, VerdictName
from tests.ledger.helpers import NOW, S, ledger, verdict

USERS = st.sampled_from(["u1", "u2", "u3"])
TIMES = st.integers(NOW, NOW + 40 * S)
WIDE = (0, 1 << 62)


@st.composite
def verdicts(draw: st.DrawFn) -> VerdictRow:
    at = draw(TIMES)
    first = draw(st.none() | st.sampled_from(Role))
    return verdict(
        connection=draw(st.sampled_from(["c1", "c2", "c3"])),
        connection_kind=draw(st.sampled_from(Kind)),
        user=draw(USERS),
        package=draw(st.none() | st.sampled_from(["com.example.a", "com.example.b"])),
        verdict=draw(st.sampled_from(VerdictName)),
        kind=draw(st.sampled_from(VerdictKind)),
        at=at,
        first=first,
        acting=draw(st.none() | st.sampled_from(Role)),
        control_at=draw(st.none() | st.integers(at - 20 * S, at)),
        candidate_at=draw(st.none() | st.integers(at - 20 * S, at)),
        recovered=draw(st.booleans()),
        rule=draw(st.none() | st.sampled_from(["sweep", "nap"])),
    )


@st.composite
def actions(draw: st.DrawFn) -> list[Row]:
    rows: list[Row] = []
    for number in range(draw(st.integers(0, 12))):
        result = draw(st.none() | st.sampled_from(Return))
        about: dict[str, Any] = {
            "connection": f"c{number}",
            "connection_kind": draw(st.sampled_from(Kind)),
            "user": draw(USERS),
            "session": "s",
            "package": None,
        }
        role, at = draw(st.sampled_from(Role)), draw(TIMES)
        chance = None if result is None else draw(st.booleans())
        settled = None if result is None else at + 120 * S
        rows.append(
            ActionRow(
                **about,
                role=role,
                acted_at=at,
                code=None,
                result=result,
                at=settled,
                by_percentage=chance,
            )
        )
        if draw(st.booleans()):
            rows.append(ProofRow(**about, role=role, at=at + S))
    return rows


def reader_of(folder: pytest.TempPathFactory, rows: Iterable[Row]) -> SqliteReader:
    path = folder.mktemp("ledger") / "shim.db"
    with ledger(path) as writer:
        for row in rows:
            writer.append(row)
    return SqliteReader(path)


def proving(row: VerdictRow) -> bool:
    return row.first is not None and row.first is not row.acting and not improvement(row)


def improvement(row: VerdictRow) -> bool:
    """Life proved the control wrong where the candidate waited (R14)."""
    return row.recovered and row.kind is VerdictKind.ONLY_CONTROL


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(verdicts(), max_size=25),
    kind=st.sampled_from(Kind),
    since=TIMES,
    until=TIMES,
    width=st.integers(1, 10 * S),
)
def test_sums_of_verdicts(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[VerdictRow],
    kind: Kind,
    since: int,
    until: int,
    width: int,
) -> None:
    reader = reader_of(tmp_path_factory, rows)
    period = [row for row in rows if since <= row.at < until]
    mine = [row for row in period if row.connection_kind is kind]
    conclusive = {VerdictName.MATCHED, VerdictName.MISMATCHED}
    assert reader.counts(kind, since, until) == VerdictCounts(
        Counter((row.verdict, row.kind) for row in mine),
        Counter(row.verdict for row in mine if proving(row)),
        Counter(row.rule for row in mine if row.rule is not None),
        Counter(row.verdict for row in mine if improvement(row)),
    )
    assert reader.counts(None, since, until).all == Counter(
        (row.verdict, row.kind) for row in period
    )
    assert reader.skews(kind, since, until, width) == Counter(
        row.skew // width * width for row in mine if row.skew is not None
    )
    buckets = reader.timeline(kind, since, until, width)
    assert [bucket.since for bucket in buckets] == sorted({bucket.since for bucket in buckets})
    assert {
        (bucket.since, name): n for bucket in buckets for name, n in bucket.verdicts.items()
    } == (Counter((since + (row.at - since) // width * width, row.verdict) for row in mine))
    assert sum((bucket.proving for bucket in buckets), Counter()) == Counter(
        row.verdict for row in mine if proving(row)
    )
    for by in ("user", "package"):
        mismatches = Counter(
            getattr(row, by)
            for row in period
            if row.verdict is VerdictName.MISMATCHED
            and not improvement(row)
            and getattr(row, by) is not None
        )
        worst = reader.worst(by, since, until)
        assert [(one.name, one.mismatched) for one in worst] == sorted(
            mismatches.items(), key=lambda item: (-item[1], item[0])
        )
        for one in worst:
            of = [row for row in period if getattr(row, by) == one.name]
            assert one.conclusive == sum(
                row.verdict in conclusive and not improvement(row) for row in of
            )


@settings(max_examples=40, deadline=None)
@given(rows=actions(), kind=st.sampled_from(Kind), since=TIMES, until=TIMES)
def test_sums_of_actions(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], kind: Kind, since: int, until: int
) -> None:
    reader = reader_of(tmp_path_factory, rows)
    acted = [row for row in rows if isinstance(row, ActionRow) and since <= row.acted_at < until]
    mine = [row for row in acted if row.connection_kind is kind]
    proofs = [row for row in rows if isinstance(row, ProofRow)]
    assert reader.results(kind, since, until) == Counter((row.role, row.result) for row in mine)
    assert reader.results(None, since, until) == Counter((row.role, row.result) for row in acted)
    assert reader.proofs(kind, since, until) == Counter(
        row.role for row in proofs if row.connection_kind is kind and since <= row.at < until
    )


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(verdicts(), max_size=25),
    which=st.builds(
        VerdictFilter,
        user=st.none() | USERS,
        package=st.none() | st.just("com.example.a"),
        connection_kind=st.none() | st.sampled_from(Kind),
        verdict=st.none() | st.sampled_from(VerdictName),
        kind=st.none() | st.sampled_from(VerdictKind),
        acting=st.none() | st.sampled_from(Role),
        recovered=st.none() | st.booleans(),
        rule=st.none() | st.just("sweep"),
        since=st.none() | TIMES,
        until=st.none() | TIMES,
    ),
    limit=st.integers(1, 7),
)
def test_pages_of_verdicts(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[VerdictRow],
    which: VerdictFilter,
    limit: int,
) -> None:
    """The pages together are all that fit, newest first, none twice."""
    reader = reader_of(tmp_path_factory, rows)

    def fits(row: VerdictRow) -> bool:
        names = (
            "user",
            "package",
            "connection_kind",
            "verdict",
            "kind",
            "acting",
            "recovered",
            "rule",
        )
        same = all(getattr(which, name) in (None, getattr(row, name)) for name in names)
        since = which.since is None or row.at >= which.since
        return same and since and (which.until is None or row.at < which.until)

    expected = sorted(
        ((row.at, number, row.values()) for number, row in enumerate(rows) if fits(row)),
        reverse=True,
    )
    found, cursor = [], None
    while True:
        page = reader.verdicts(which, limit=limit, cursor=cursor)
        assert len(page.rows) <= limit
        found += [row.values() for row in page.rows]
        if (cursor := page.cursor) is None:
            break
        assert len(page.rows) == limit
    assert found == [values for _, _, values in expected]


@pytest.mark.parametrize("cursor", ["", "x", "1", "1-", "-1", "1-x", "1-2-3"])
def test_a_cursor_that_is_none(tmp_path: Path, cursor: str) -> None:
    with ledger(tmp_path / "shim.db"):
        pass
    with pytest.raises(InputError, match="is no cursor"):
        SqliteReader(tmp_path / "shim.db").verdicts(VerdictFilter(), cursor=cursor)


def test_a_page_does_not_move_when_new_verdicts_come(path: Path) -> None:
    reader = SqliteReader(path)
    with ledger(path) as writer:
        for number in range(10):
            writer.append(verdict(number))
        assert writer.flush(30)
        first = reader.verdicts(VerdictFilter(), limit=5)
        for number in range(10, 20):
            writer.append(verdict(number))
        assert writer.flush(30)
        second = reader.verdicts(VerdictFilter(), limit=5, cursor=first.cursor)
    assert [row.connection for row in second.rows] == ["c4", "c3", "c2", "c1", "c0"]
    assert second.cursor is None

"""R25: one process of a fleet judges the merged record of all, and engages the brake for all."""

from typing import Any

import pytest

from shim.fleet.merged_brake import MergedBrake
from shim.gate.question import QuestionTimes
from shim.gate.trial import TrialIdentity
from shim.ledger.postgres.brake_orders import last_order
from shim.ledger.postgres.process_list import ProcessName, Sign, enter, give_sign, read_clock
from shim.ledger.postgres.shipment import note_run
from shim.ledger.postgres.store_reader import PostgresReader
from shim.ledger.rows import DecisionRow, RunRow, VerdictRow, Wall
from shim.model import SECOND, Kind, Role, VerdictKind, VerdictName
from shim.model.ledger_url import LedgerUrl
from shim.settings.sections import BrakeSettings
from tests.postgres.brake_members import order
from tests.postgres.helpers import Store, change, insert_row, lose_lease

IDENTITY = TrialIdentity("m", "c", "f")
TIMES = QuestionTimes(0, 7 * 86_400 * SECOND, 86_400 * SECOND, 60 * SECOND)


class Shipping:
    """Processes whose rows are put into the store by hand."""

    def __init__(self, connection: Store) -> None:
        self.connection = connection
        self.now: Wall = read_clock(connection)
        self.runs: dict[str, int] = {}
        self.number = 0

    def begin(self, name: str, monitors: str = "m") -> None:
        run = RunRow(
            uuid=name * 32,
            started_at=self.now - 3600 * SECOND,
            pid=1,
            version="1",
            settings="s",
            tolerance=1,
            window=1,
            return_window=1,
            monitors=monitors,
            comparison="c",
        )
        self.runs[name] = note_run(self.connection, run, 0).id
        enter(self.connection, ProcessName(name, "host"), self.runs[name], (), "the store")
        self.complete(name, self.now)

    def complete(self, name: str, until: Wall) -> None:
        give_sign(self.connection, self.runs[name], Sign(until, 0, 0))

    def kill(self, name: str, at: Wall) -> None:
        """A false kill of the candidate."""
        self.number += 1
        who: dict[str, Any] = {
            "connection": f"c{self.number}",
            "connection_kind": Kind.APP,
            "user": f"u{self.number}",
            "session": "s",
            "package": "p",
        }
        decision = DecisionRow(
            **who,
            role=Role.CANDIDATE,
            acted=False,
            at=at,
            deadline=at,
            silence=1,
            code=1001,
            pings=(),
        )
        verdict = VerdictRow(
            **who,
            verdict=VerdictName.MISMATCHED,
            kind=VerdictKind.ONLY_CANDIDATE,
            at=at,
            first=Role.CANDIDATE,
            acting=Role.CONTROL,
            control_at=None,
            candidate_at=at,
            recovered=True,
            last_activity=at,
            rule=None,
            trace=None,
        )
        for row in (decision, verdict):
            insert_row(self.connection, self.runs[name], self.number, row)


@pytest.fixture
def shipping(connection: Store) -> Shipping:
    return Shipping(connection)


def judge(reader: PostgresReader, holder: str = "a") -> MergedBrake:
    return MergedBrake(
        reader, BrakeSettings(), TIMES, lambda: IDENTITY, holder=holder, process=holder
    )


def test_five_false_kills_on_five_processes(
    connection: Store, shipping: Shipping, reader: PostgresReader
) -> None:
    judging, now = judge(reader), shipping.now
    for name in "abcde":
        shipping.begin(name)
    judging.attend(connection)
    for minute, name in enumerate("abcde", 1):
        shipping.kill(name, now + minute * 60 * SECOND)
        shipping.complete(name, now + 400 * SECOND)
        judging.attend(connection)
        engaged = last_order(connection)
        assert (engaged is not None) == (name == "e")
    assert engaged is not None
    assert engaged.reason.startswith("5 of the candidate's 5 decisions within 15 min")
    # After the release only new evidence counts.
    order(connection, False, knowing=engaged.id)
    for name in "abcde":
        shipping.complete(name, now + 500 * SECOND)
        judging.attend(connection)
    assert last_order(connection) != engaged


def test_kills_of_another_candidate_do_not_count(
    connection: Store, shipping: Shipping, reader: PostgresReader
) -> None:
    judging, now = judge(reader), shipping.now
    for name in "abcde":
        shipping.begin(name, monitors="m" if name == "a" else "another")
    judging.attend(connection)
    for minute, name in enumerate("abcde", 1):
        shipping.kill(name, now + minute * 60 * SECOND)
        shipping.complete(name, now + 400 * SECOND)
    judging.attend(connection)
    assert last_order(connection) is None


def test_another_process_takes_over_what_was_known(
    connection: Store, store: LedgerUrl, shipping: Shipping, reader: PostgresReader
) -> None:
    """The first judge dies after one false kill; the second one counts it, too."""
    first, second, day = judge(reader, "a"), judge(reader, "b"), 86_400 * SECOND
    # Both are on one day: each day begins to count anew.
    now = shipping.now = min(shipping.now, (shipping.now // day + 1) * day - 600 * SECOND)
    for name in "ab":
        shipping.begin(name)
    shipping.kill("a", now + 60 * SECOND)
    for name in "ab":
        shipping.complete(name, now + 300 * SECOND)
    for judging in (first, second):
        judging.attend(connection)
    change(store, "UPDATE lease SET until = until - 5000000")
    second.attend(connection)
    shipping.kill("b", now + 330 * SECOND)
    for name in "ab":
        shipping.complete(name, now + 400 * SECOND)
    first.attend(connection)
    assert last_order(connection) is None
    second.attend(connection)
    engaged = last_order(connection)
    assert engaged is not None
    assert (engaged.process, engaged.engaged) == ("b", True)


def test_the_judge_dies_before_it_has_read_the_last_false_kill(
    connection: Store, store: LedgerUrl, shipping: Shipping, reader: PostgresReader
) -> None:
    """What the record required before another process took over is done by that process."""
    first, second, now = judge(reader, "a"), judge(reader, "b"), shipping.now
    for name in "ab":
        shipping.begin(name)
    first.attend(connection)
    for minute in range(1, 6):
        shipping.kill("a", now + minute * 60 * SECOND)
    for name in "ab":
        shipping.complete(name, now + 400 * SECOND)
    change(store, "UPDATE lease SET until = until - 5000000")
    second.attend(connection)
    engaged = last_order(connection)
    assert engaged is not None
    assert engaged.process == "b"


def test_a_judge_that_stood_still_engages_nothing(
    connection: Store, store: LedgerUrl, shipping: Shipping, reader: PostgresReader
) -> None:
    """Another process has taken the lease between its reading and its writing."""
    judging, now = judge(reader), shipping.now
    shipping.begin("a")
    judging.attend(connection)
    for minute in range(1, 6):
        shipping.kill("a", now + minute * 60 * SECOND)
    shipping.complete("a", now + 400 * SECOND)
    lose_lease(store, "brake", lambda: judging.attend(connection))
    judging.attend(connection)
    assert last_order(connection) is None
    assert not judging.leads


def test_after_a_release_only_new_evidence_counts(
    connection: Store, shipping: Shipping, reader: PostgresReader
) -> None:
    """Also before any process has recorded that the brake was released."""
    judging = judge(reader)
    # The kills are over when the brake is released, which is now.
    now = shipping.now = shipping.now - 400 * SECOND
    shipping.begin("a")
    judging.attend(connection)
    for minute in range(1, 6):
        shipping.kill("a", now + minute * 60 * SECOND)
    shipping.complete("a", now + 390 * SECOND)
    judging.attend(connection)
    engaged = last_order(connection)
    assert engaged is not None
    assert engaged.engaged
    order(connection, False, knowing=engaged.id)
    for seconds in (395, 450, 500):
        shipping.complete("a", now + seconds * SECOND)
        judging.attend(connection)
    shipping.kill("a", now + 520 * SECOND)
    shipping.complete("a", now + 600 * SECOND)
    judging.attend(connection)
    released = last_order(connection)
    assert released is not None
    assert not released.engaged


def test_a_process_that_is_not_heard_of_holds_nobody_up_for_long(
    connection: Store, store: LedgerUrl, shipping: Shipping, reader: PostgresReader
) -> None:
    judging, now = judge(reader), shipping.now
    for name in "ab":
        shipping.begin(name)
    judging.attend(connection)
    for minute in range(1, 6):
        shipping.kill("a", now + minute * 60 * SECOND)
    shipping.complete("a", now + 400 * SECOND)
    judging.attend(connection)
    assert last_order(connection) is None
    change(store, "UPDATE process SET seen_at = seen_at - 61000000 WHERE name = 'b'")
    judging.attend(connection)
    assert last_order(connection) is not None

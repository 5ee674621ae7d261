"""R14, R14b, R15: which episodes prove something, and what shows that a live connection was closed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shim.gate.observed_rows import user_key
from shim.ledger.ledger_observer import LedgerObserver
from shim.ledger.sqlite.reader import SqliteReader
from shim.model import Confirmation, Kind, Return, Role, Stage, VerdictKind, VerdictName
from shim.router import Confirmed
from shim.runtime.tally import Tally
from tests.ledger.helpers import NOW, ledger
from tests.replay.helpers import replay
from tests.router.helpers import CANDIDATE, CONTROL, S, World, listen_to


def three_episodes_and_a_healthy_connection(world: World) -> None:
    """One that proves something, and two in which the acting monitor decided first."""
    world.open("shadow-first", Stage.SHADOW, user="u1", session="s1")
    world.open("acting-agrees", Stage.LIVE, user="u2", session="s2")
    world.open("acting-alone", Stage.SHADOW, user="u3", session="s3")
    world.open("healthy", Stage.SHADOW, user="u4", session="s4")
    world.run(40)
    world.data("acting-alone")  # its candidate would decide at 85, the control does at 60
    for until in range(60, 300, 20):
        world.message("healthy")
        world.run(until)


def test_r14_agreement_counts_only_episodes_whose_first_decider_was_shadowing() -> None:
    tally = Tally()
    world = World(observers=[tally])
    three_episodes_and_a_healthy_connection(world)
    first = {v.connection.id: (v.name.value, v.first, v.acting) for v in world.journal.verdicts}
    assert first == {
        "shadow-first": ("matched", CANDIDATE, CONTROL),
        "acting-agrees": ("matched", CANDIDATE, CANDIDATE),
        "acting-alone": ("mismatched", CONTROL, CONTROL),
    }
    report = tally.as_dict()
    assert (report["verdicts"]["matched"], report["verdicts"]["mismatched"]) == (2, 1)
    assert report["agreement"] == {"matched": 1, "conclusive": 1, "share": 1.0}


def test_r3b_the_latest_evidence_of_life_stands_whichever_monitor_counts_it() -> None:
    world = World()
    tracked = world.open("c1", Stage.SHADOW)
    for at, latest in ((20 * S, 20 * S), (10 * S, 20 * S), (30 * S, 30 * S)):
        world.router.data(tracked, at)
        assert tracked.control.last_data == latest
        assert tracked.candidate.last_data == latest


def test_r3b_what_the_kernel_says_before_a_decision_is_told() -> None:
    observer, told = listen_to(Confirmed)
    world = World(observers=[observer])
    tracked = world.open("c1", Stage.SHADOW)
    world.ports["c1"].evidence = Confirmation(data_at=40 * S)
    world.run(45)
    assert told == [Confirmed(tracked.connection, Confirmation(data_at=40 * S))]


@pytest.mark.parametrize(
    "happens",
    [
        lambda world: world.open("back", Stage.OFF, user="gone", session="gone"),
        lambda world: world.message("c1"),
        lambda world: world.close("c1"),
        lambda world: world.stage("c1", Stage.LIVE),
        lambda world: world.router.paused(world.now, world.now + 7 * S),
        lambda world: world.router.step(world.now),
    ],
    ids=["open", "message", "close", "stage", "pause", "step"],
)
def test_r10_r15_whatever_happens_next_the_windows_that_ended_before_are_over(
    happens: Callable[[World], object],
) -> None:
    """At 60 s the control closes, at 75 s the candidate alone decides; then all is still for long."""
    world = World()
    world.open("gone", Stage.OFF, user="gone", session="gone")
    world.open("c1", Stage.SHADOW)
    world.run(30)
    world.message("c1")
    world.run(80)
    world.now = 1_000 * S
    happens(world)
    verdict, outcome = world.journal.verdicts[0], world.journal.outcomes[0]
    assert (verdict.kind, verdict.recovered) == (VerdictKind.ONLY_CANDIDATE, False)
    assert verdict.at == (75 + 60) * S
    assert (outcome.result, outcome.at) == (Return.LOST, (60 + 120) * S + 1)


def test_r15_a_client_that_is_back_already_is_told_at_once() -> None:
    world = World()
    world.open("c1", Stage.LIVE)
    world.run(30)
    world.open("c2", Stage.LIVE)
    world.run(46)
    told = [(o.connection.id, o.result, o.at) for o in world.journal.outcomes]
    assert told == [("c1", Return.REPLACED, 45 * S)]


def test_r15_a_client_that_comes_back_is_told_when_it_does() -> None:
    """A connection that has gone before the close is none that the client has."""
    world = World()
    world.open("c1", Stage.LIVE)
    world.run(30)
    world.open("c2", Stage.LIVE)
    world.close("c2")
    world.run(47)
    assert world.journal.outcomes == []
    world.open("c3", Stage.LIVE)
    told = [(o.connection.id, o.result, o.at, o.delay) for o in world.journal.outcomes]
    assert told == [("c1", Return.RETURNED, 47 * S, 2 * S)]


def test_r14_the_ledger_counts_them_so_too(tmp_path: Path) -> None:
    with ledger(tmp_path / "shim.db") as writer:
        world = World()
        observer = LedgerObserver(writer, lambda at: NOW + at)
        world.observers.add(observer)
        three_episodes_and_a_healthy_connection(world)
    reader, ever = SqliteReader(tmp_path / "shim.db"), (0, 1 << 62)
    agreements = reader.agreement_rows(Kind.APP, [1], *ever)
    assert [(row.user, row.success) for row in agreements] == [(user_key("u1"), True)]
    counts = reader.counts(Kind.APP, *ever)
    assert counts.proving == {VerdictName.MATCHED: 1}
    assert counts.all.total() == 3


SIGNS: dict[str, Callable[[World], None]] = {
    "a message": lambda world: world.message("c1"),
    "a pong": lambda world: world.pong("c1"),
    "a close reply": lambda world: world.router.spoke_after_close(world.tracked["c1"], world.now),
}


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("sign", SIGNS)
def test_r14b_what_comes_after_the_acting_monitors_close_is_proof_of_life_once(
    sign: str, stage: Stage
) -> None:
    tally = Tally()
    world = World(observers=[tally])
    tracked = world.open("c1", stage)
    SIGNS[sign](world)
    assert world.journal.proofs == []
    world.run(61)
    acting = CANDIDATE if stage >= Stage.LIVE else CONTROL
    assert tracked.closed_by is acting
    for at in (62, 63, 200):  # while the shadow still watches, and after
        world.run(at)
        for each in SIGNS:
            SIGNS[each](world)
    assert world.journal.proofs == [("c1", acting, 62 * S)]
    assert tally.as_dict()["proofs_of_life"] == {role.value: int(role is acting) for role in Role}


def test_r14b_data_is_none_nor_is_what_comes_after_a_close_for_another_cause() -> None:
    world = World()
    world.open("c1", Stage.LIVE)
    world.run(46)
    world.data("c1")
    world.open("c2", Stage.LIVE, session="s2")
    world.close("c2")
    world.message("c2")
    world.router.spoke_after_close(world.tracked["c2"], world.now)
    assert world.journal.proofs == []


@pytest.mark.parametrize(("acting", "closed_at"), [("control", 60), ("candidate", 45)])
@pytest.mark.parametrize("sign", ["message", "pong"])
def test_r14b_replay_counts_connections_that_spoke_after_their_close(
    sign: str, acting: str, closed_at: int
) -> None:
    def opens(id: str) -> dict[str, object]:
        who = {"user": id, "session": id, "kind": "app", "package": "p"}
        return {"t": 0, "event": "open", "connection": id, **who}

    def event(after: int, event: str, id: str) -> dict[str, object]:
        return {"t": closed_at + after, "event": event, "connection": id}

    summary = replay(
        [
            *map(opens, ("twice", "data", "closed")),
            event(1, sign, "twice"),
            event(2, "data", "data"),
            event(3, "close", "closed"),
            event(4, sign, "twice"),
            {"t": 200, "event": "end"},
        ],
        acting=acting,
    )["summary"]
    assert (summary["after_close"], summary["proof_of_life"]) == (4, 1)

"""What the router tells becomes rows, with the times of the wall clock; and the stories they tell."""

import sqlite3

import pytest

from shim.ledger.protocols import VerdictFilter
from shim.ledger.rows import (
    BrakeRow,
    ClosingRow,
    CoverageRow,
    DecisionRow,
    FailureRow,
    FlagsRow,
    GuardRow,
    LateRow,
    PauseRow,
    ProofRow,
    StageRow,
)
from shim.model import (
    Cause,
    Closing,
    Connection,
    Coverage,
    Decision,
    FlagsLoad,
    InputError,
    Kind,
    LateDecision,
    MonitorFailure,
    Return,
    Role,
    Stage,
    VerdictKind,
    VerdictName,
)
from shim.router import BrakeChanged, Decided, GuardChanged, Paused, ProofOfLife
from tests.ledger.helpers import DAY, NOW, S
from tests.ledger.recorded import Recorded

APP = Connection("c1", Kind.APP, "u1", "s1", "com.example.app1")
ABOUT = ("c1", Kind.APP, "u1", "s1", "com.example.app1", None)


def test_an_episode_in_shadow(recorded: Recorded) -> None:
    world = recorded.world
    world.open("c1", Stage.SHADOW)
    world.run(3.2)
    world.message("c1")
    world.run(100)
    recorded.observer.on(
        Closing(
            connection=APP,
            stage=Stage.SHADOW,
            opened_at=0,
            at=60 * S,
            cause=Cause.CONTROL,
            intended=None,
            observed=1006,
        )
    )
    world.run(300)
    (row,) = recorded.reader.verdicts(VerdictFilter()).rows
    assert row.values() == (
        *ABOUT,
        VerdictName.MATCHED,
        VerdictKind.BOTH,
        NOW + 60 * S,
        Role.CANDIDATE,
        Role.CONTROL,
        NOW + 60 * S,
        NOW + 48_200_000,
        False,
        NOW + 3_200_000,
        None,
        None,
        False,
        "everybody",
        True,
    )
    assert row.as_dict()["skew"] == 11.8
    (outcome,) = recorded.reader.outcomes()
    assert (outcome.role, outcome.result, outcome.delay) == (Role.CONTROL, Return.LOST, None)
    assert (outcome.acted_at, outcome.code) == (NOW + 60 * S, None)
    assert recorded.why() == (
        "matched: the control decided 11.8 s after the candidate; up to 16 s count as agreement"
    )
    story = recorded.story()
    pings = [at for at, text in story if text == "the candidate would ping"]
    assert len(pings) == 3
    assert all(3.2 < at < 48.2 for at in pings)
    assert [entry for entry in story if "ping" not in entry[1]] == [
        (3.2, "last sign of life"),
        (
            48.2,
            "the candidate decides: no sign of life for 45 s; "
            "it does not act, so that is only recorded",
        ),
        (60.0, "the control decides: no sign of life for 56.8 s, 11.8 s over its limit"),
        (60.0, "the control acts: it terminates the connection"),
        (
            60.0,
            "the connection is gone, ended by the control: no close frame was sent, "
            "none came from the client",
        ),
        (60.0, recorded.why()),
        (180.000001, "the client is lost: it has not come back within 120 s"),
    ]


def test_an_episode_in_live_whose_client_comes_back(recorded: Recorded) -> None:
    world = recorded.world
    world.open("c1", Stage.LIVE)
    world.run(46)
    recorded.observer.on(
        Closing(
            connection=APP,
            stage=Stage.LIVE,
            opened_at=0,
            at=45_100_000,
            cause=Cause.CANDIDATE,
            intended=1001,
            observed=1000,
        )
    )
    assert recorded.reader.outcomes()[0].result is None
    world.run(46.5)
    world.open("c2", Stage.LIVE)
    world.run(70)
    assert recorded.why() == (
        "matched: the control decided 15 s after the candidate; up to 16 s count as agreement"
    )
    story = [text for _, text in recorded.story()]
    assert story.count("the candidate pings; no answer") == 3
    assert [text for text in story if "ping" not in text] == [
        "last sign of life",
        "the candidate decides: no sign of life for 45 s",
        "the candidate acts: it closes the connection with code 1001",
        "the connection is gone, ended by the candidate: sent 1001, the client's code was 1000",
        "the client comes back, 1.5 s after it was closed",
        "the control decides: no sign of life for 60 s, 15 s over its limit; "
        "it does not act, so that is only recorded",
        recorded.why(),
    ]
    (outcome,) = recorded.reader.outcomes(result=Return.RETURNED)
    assert (outcome.delay, outcome.by_percentage, outcome.code) == (1_500_000, True, 1001)
    (decision,) = [row for row in recorded.reader.rows(DecisionRow) if row.acted]
    assert (decision.at, decision.deadline, decision.silence) == (
        NOW + 45 * S,
        NOW + 45 * S,
        45 * S,
    )


def test_an_action_whose_outcome_is_open(recorded: Recorded) -> None:
    recorded.world.open("c1", Stage.LIVE)
    recorded.world.run(70)
    assert "whether the client comes back is not known yet" in {
        text for _, text in recorded.story()
    }


def test_a_client_that_was_alive(recorded: Recorded) -> None:
    world = recorded.world
    world.open("c1", Stage.SHADOW)
    world.run(50)
    world.message("c1")
    world.run(51)
    assert recorded.verdicts() == [(VerdictName.MISMATCHED, VerdictKind.ONLY_CANDIDATE)]
    assert recorded.why() == (
        "mismatched: the candidate alone decided, and then the client gave a sign of life: "
        "it would have closed a live connection"
    )
    # The next silence of the same connection is another story.
    world.run(200)
    assert recorded.verdicts()[1:] == [(VerdictName.MATCHED, VerdictKind.BOTH)]
    assert [text for _, text in recorded.story(1) if "decides" in text] == [
        "the candidate decides: no sign of life for 45 s; it does not act, so that is only recorded"
    ]
    assert [at for at, text in recorded.story(2) if "decides" in text] == [95.0, 105.0]


def test_endings_that_leave_it_open(recorded: Recorded) -> None:
    world = recorded.world
    for number, id in enumerate(("c1", "c2", "c3")):
        world.open(id, Stage.SHADOW, user=f"u{number}")
    world.run(50)
    world.close("c1")
    world.stage("c2", Stage.LIVE)
    world.router.shutdown(world.now)
    assert [recorded.why(number) for number in (1, 2, 3)] == [
        "inconclusive: the connection was closed before the control had decided",
        "inconclusive: the user's stage changed before the control had decided",
        "inconclusive: the shim stopped before the control had decided",
    ]
    (change,) = recorded.reader.rows(StageRow)
    assert (change.connection, change.before, change.after) == ("c2", Stage.SHADOW, Stage.LIVE)
    assert "the user's stage changes from shadow to live" in {text for _, text in recorded.story(2)}


def test_what_is_about_no_episode(recorded: Recorded) -> None:
    observer, reader = recorded.observer, recorded.reader
    observer.on(LateDecision(APP, Role.CONTROL, 5 * S, Role.CANDIDATE))
    observer.on(ProofOfLife(APP, Role.CANDIDATE, 6 * S, guard_event=3, counted=True))
    observer.on(MonitorFailure(role=Role.CANDIDATE, call="wake", reason="ValueError: no", at=7 * S))
    observer.on(
        MonitorFailure(
            role=Role.CANDIDATE, call="pong", reason="ValueError: no", at=8 * S, connection=APP
        )
    )
    observer.on(BrakeChanged(True, "false kills", 9 * S))
    observer.on(GuardChanged(True, 250, 10 * S))
    observer.on(
        FlagsLoad(
            at=11 * S,
            file="rollout.yaml",
            digest="abc",
            before="def",
            problem=None,
            by="ann",
            reason="step 2",
            deciding="widths",
        )
    )
    observer.on(Paused(12 * S, 22 * S))
    observer.on(
        Coverage(
            kind=Kind.APP,
            since=0,
            until=60 * S,
            connected=120 * S,
            control_acted=70 * S,
            candidate_acted=50 * S,
            watched=110 * S,
            pings=7,
            heartbeat_interval=15 * S,
            control_users=2,
            candidate_users=1,
        )
    )
    observer.on(
        Closing(
            connection=APP,
            stage=Stage.LIVE,
            opened_at=0,
            at=70 * S,
            cause=Cause.PEER,
            intended=None,
            observed=1000,
        )
    )
    assert [row.values() for row in reader.rows(LateRow)] == [
        (*ABOUT, Role.CONTROL, NOW + 5 * S, Role.CANDIDATE)
    ]
    assert [row.values() for row in reader.rows(ProofRow)] == [
        (*ABOUT, Role.CANDIDATE, NOW + 6 * S, 3, True)
    ]
    assert [row.values() for row in reader.rows(FailureRow)] == [
        (
            "candidate",
            "pong",
            "ValueError: no",
            NOW + 8 * S,
            "c1",
            "app",
            "u1",
            "com.example.app1",
            None,
        ),
        ("candidate", "wake", "ValueError: no", NOW + 7 * S, None, None, None, None, None),
    ]
    assert [row.values() for row in reader.rows(BrakeRow)] == [
        (True, "false kills", NOW + 9 * S, False)
    ]
    assert [row.values() for row in reader.rows(GuardRow)] == [(True, 250, NOW + 10 * S)]
    assert [row.values() for row in reader.rows(FlagsRow)] == [
        (NOW + 11 * S, "rollout.yaml", "abc", "def", None, "ann", "step 2", "widths")
    ]
    assert [row.values() for row in reader.rows(PauseRow)] == [(NOW + 12 * S, NOW + 22 * S)]
    assert [row.values() for row in reader.rows(CoverageRow)] == [
        (Kind.APP, NOW, NOW + 60 * S, 120 * S, 70 * S, 50 * S, 110 * S, 7, 15 * S, 2, 1)
    ]
    assert reader.rows(ClosingRow) == []  # nobody had decided on it


def test_the_wall_clock_may_be_set(recorded: Recorded) -> None:
    """The story of an episode is whole, whatever an older shim took the time for meanwhile."""
    world, observer = recorded.world, recorded.observer
    world.open("c1", Stage.SHADOW)
    world.run(50)
    observer._wall = lambda at: NOW + 3600 * S + at
    world.run(300)
    (row,) = recorded.reader.verdicts(VerdictFilter()).rows
    assert row.at == NOW + 3660 * S
    assert row.control_at is not None
    assert row.skew == 15 * S
    assert row.at - row.last_activity == 60 * S
    episode = recorded.reader.episode(row.id)
    assert episode is not None
    assert [(found.role, (found.at - NOW) / S) for found in episode.decisions] == [
        (Role.CANDIDATE, 45),
        (Role.CONTROL, 3660),
    ]
    assert episode.action is not None
    assert not any("no more is recorded" in text for _, text in recorded.story())


@pytest.mark.parametrize("jump", [3600 * S, -3600 * S, 50 * 365 * DAY])
def test_a_jump_between_the_episodes_of_one_connection(recorded: Recorded, jump: int) -> None:
    """Each keeps what is its own, with late decisions, although times run over each other."""
    world, observer = recorded.world, recorded.observer
    world.open("c1", Stage.SHADOW)
    world.run(47)
    world.message("c1")
    world.run(57)
    observer._wall = lambda at: NOW + jump + at
    world.run(94)
    world.message("c1")
    world.run(300)
    rows = sorted(recorded.reader.verdicts(VerdictFilter()).rows, key=lambda row: row.id)
    assert [row.kind for row in rows] == [
        VerdictKind.ONLY_CANDIDATE,
        VerdictKind.ONLY_CANDIDATE,
        VerdictKind.BOTH,
    ]
    roles = []
    for number in (1, 2, 3):
        episode = recorded.reader.episode(number)
        assert episode is not None
        roles.append([(row.role, row.acted) for row in episode.decisions])
        assert (episode.action is not None) == (number == 3)
    assert roles == [
        [(Role.CANDIDATE, False)],
        [(Role.CANDIDATE, False)],
        [(Role.CANDIDATE, False), (Role.CONTROL, True)],
    ]


def test_a_verdict_without_its_run_is_told_as_such(recorded: Recorded) -> None:
    world = recorded.world
    world.open("c1", Stage.SHADOW)
    world.run(100)
    path = recorded.reader.path
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("DELETE FROM run")
    database.close()
    with pytest.raises(InputError, match="does not have the run of verdict 1"):
        recorded.reader.episode(1)


def test_a_decision_that_comes_late(recorded: Recorded) -> None:
    world, observer = recorded.world, recorded.observer
    world.open("c1", Stage.SHADOW)
    world.run(50)
    world.message("c1")
    decision = Decision("c1", 94 * S, 93 * S, 44 * S, ())
    observer.on(Decided(APP, Role.CONTROL, decision, False))
    observer.on(LateDecision(APP, Role.CONTROL, 94 * S, Role.CONTROL))
    assert (
        94.0,
        "the control decides: no sign of life for 44 s, 1 s over its limit; too late to be compared",
    ) in recorded.story()

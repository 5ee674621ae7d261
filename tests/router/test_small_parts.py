"""The parts of the router that have no rule of their own: sums over time, records, the queue's borders."""

import pytest

from shim.model import BY_CHANCE, Confirmation, Connection, Kind, Placement, Role, Stage
from shim.router import BrakeChanged, Decided, Paused, Tracked
from shim.router.port import NO_CONFIRMATION, NO_SOCKET
from shim.router.time_integral import TimeIntegral
from shim.router.tracked import PunctualTimer, make_touch
from shim_legacy_global import LegacyGlobal
from shim_per_session import PerSession
from tests.router.faulty_monitor import FaultyType, answers, raises
from tests.router.helpers import CANDIDATE, CONTROL, RecordingPort, S, World, listen_to


def test_an_integral_sums_a_count_over_time() -> None:
    integral = TimeIntegral(10)
    assert integral.until(30) == 0
    integral.add(+1, 20)
    assert (integral.count, integral.until(20), integral.until(25)) == (1, 0, 5)
    integral.add(+2, 30)
    assert (integral.count, integral.until(30), integral.until(32)) == (3, 10, 16)
    integral.add(-3, 40)
    assert (integral.count, integral.until(1_000)) == (0, 40)


@pytest.mark.parametrize(
    ("start", "end", "total"),
    [(30, 40, 2 * 20 + 2 * 10), (20, 40, 2 * 10 + 2 * 10), (5, 40, 2 * 10), (10, 10, 2 * 40)],
)
def test_an_integral_leaves_out_what_began_before_the_last_change_only_from_there(
    start: int, end: int, total: int
) -> None:
    """Two since 10; at 50 they have been there for 40 each, less what is left out."""
    integral = TimeIntegral(0)
    integral.add(+2, 10)
    integral.leave_out(start, end)
    assert integral.until(50) == total


class Listening:
    def __init__(self) -> None:
        self.alerts: list[int] = []

    def alerted(self, tracked: Tracked, now: int) -> None:
        self.alerts.append(now)


def tracked(stage: Stage = Stage.SHADOW) -> Tracked:
    connection = Connection("c1", Kind.APP, "u", "s", "p")
    port = RecordingPort(lambda: 0)
    port.evidence = Confirmation(data_at=5)
    return Tracked(connection, order=1, port=port, stage=stage, acting=Role.CONTROL, now=3)


def test_a_touch_writes_the_time_and_counts() -> None:
    listener, record = Listening(), tracked()
    assert (record.signs, record.last_activity, record.opened_at) == (0, 3, 3)
    touch = make_touch(lambda: 7_999, 1_000, listener, PunctualTimer())
    touch(record)
    touch(record)
    assert (record.signs, record.last_activity, record.opened_at) == (2, 7, 3)
    assert (record.control.last_seen, record.candidate.last_seen) == (7, 7)
    assert listener.alerts == []
    record.alert = True
    touch(record)
    assert (listener.alerts, record.signs) == ([7], 3)


def test_a_single_sign_of_life_after_a_decision_takes_the_slow_path() -> None:
    world = World()
    record = world.open("c1", Stage.SHADOW)
    world.run(50)
    assert record.alert
    world.message("c1")
    assert not record.alert


class OverdueTimer:
    """Notes what the record knew when a pause was noticed."""

    def __init__(self, due: int, record: Tracked) -> None:
        self.due = due
        self.record = record
        self.noticed: list[tuple[int, int]] = []

    def notice_pause(self, now: int) -> None:
        self.noticed.append((now, self.record.last_activity))


@pytest.mark.parametrize(("due", "noticed"), [(6, [(7, 3)]), (7, [])])
def test_r3_a_pause_is_noticed_before_a_touch_counts(
    due: int, noticed: list[tuple[int, int]]
) -> None:
    record = tracked()
    timer = OverdueTimer(due, record)
    World().router.make_touch(lambda: 7_999, 1_000, timer)(record)
    assert timer.noticed == noticed
    assert record.last_activity == 7


def test_a_new_record_is_nobodys_yet() -> None:
    record = tracked()
    assert record.placement is BY_CHANCE
    assert (record.alert, record.spoke_after_close) == (False, False)
    assert (record.closed_by, record.failed) == (None, None)
    assert record.instance(Role.CONTROL) is None
    assert record.instance(Role.CANDIDATE) is None


def test_who_is_compared() -> None:
    assert [stage for stage in Stage if tracked(stage).compared] == [Stage.SHADOW, Stage.LIVE]


def test_a_closed_connection_has_no_evidence_to_ask_for() -> None:
    record = tracked()
    assert record.evidence() == Confirmation(data_at=5)
    record.closed_by = Role.CONTROL
    assert record.evidence() is NO_CONFIRMATION
    assert Confirmation() == NO_CONFIRMATION


def test_a_record_without_its_socket_holds_no_port() -> None:
    world = World()
    record = world.open("c1", Stage.SHADOW)
    record.unplug()
    assert record.port is NO_SOCKET
    assert record.evidence() is NO_CONFIRMATION
    # Whatever a monitor still wants done goes nowhere.
    world.run(100)
    assert world.ports["c1"].effects == []


def test_a_router_counts_the_signs_of_life() -> None:
    world = World()
    world.open("c1", Stage.SHADOW)
    for _ in range(3):
        world.message("c1")
    world.pong("c1", b"")
    assert world.tracked["c1"].signs == 4


def test_openings_are_numbered_from_1_and_a_refused_one_has_no_number() -> None:
    world = World()
    for number in range(3):
        world.open(f"c{number}", Stage.OFF)
    with pytest.raises(ValueError, match="'c0' is in use"):
        world.open("c0", Stage.OFF)
    world.open("c3", Stage.OFF)
    assert [record.order for record in world.router.connections()] == [1, 2, 3, 4]


def test_a_pause_is_told() -> None:
    observer, told = listen_to(Paused)
    world = World(observers=[observer])
    world.open("c1", Stage.SHADOW)
    world.run(10)
    world.pause(7)
    assert told == [Paused(10 * S, 17 * S)]


def test_what_was_acted_on_is_told_with_its_last_sign_of_life_and_the_end_of_its_window() -> None:
    observer, told = listen_to(Decided)
    world = World(observers=[observer])
    world.open("c1", Stage.SHADOW)
    world.run(10)
    world.message("c1")
    assert not told
    world.run(60)
    # The window has 120 s, and this router adds no patience.
    assert [(one.role, one.acted, one.last_activity, one.window_ends) for one in told] == [
        (Role.CANDIDATE, False, None, None),
        (Role.CONTROL, True, 10 * S, 180 * S),
    ]
    assert [one.counted for one in told] == [True, True]


def test_a_router_knows_the_connections_that_are_open_or_undecided() -> None:
    world = World()
    world.open("c1", Stage.OFF)
    assert "c1" in world.router
    assert "c2" not in world.router
    world.close("c1")
    assert "c1" not in world.router


@pytest.mark.parametrize("control", [True, False])
def test_the_monitors_of_sessions_act_in_the_order_of_deadlines(control: bool) -> None:
    """Whatever their role: two sessions are woken in one instant after a pause."""
    world = World(PerSession()) if control else World()
    stage = Stage.SHADOW if control else Stage.COMPLETE
    for number, at in enumerate((2, 1)):
        world.open(f"c{number}", stage, user=f"u{number}", session=f"s{number}")
        world.run(at)
    world.run(3)
    for name, at in (("c1", 4), ("c0", 5)):
        world.run(at)
        world.message(name)
    world.now = 200 * S
    world.router.step(world.now)
    role = Role.CONTROL if control else Role.CANDIDATE
    decided = [decision.connection_id for decision in world.journal.decided_by(role)]
    assert decided == ["c1", "c0"]


def test_the_monitor_of_the_stage_acts_unless_a_replay_wants_none_to() -> None:
    world = World()
    connections = [Connection(f"c{number}", Kind.APP, "u", "s", "p") for number in range(3)]
    port = RecordingPort(lambda: 0)
    usual = world.router.open(connections[0], port, 0, Stage.LIVE)
    wanted = world.router.open(connections[1], port, 0, Stage.LIVE, act=True)
    replayed = world.router.open(connections[2], port, 0, Stage.LIVE, act=False)
    assert (usual.acting, wanted.acting, replayed.acting) == (Role.CANDIDATE, Role.CANDIDATE, None)
    for stage in Stage:
        world.router.set_stage(replayed, stage, 1)
        assert replayed.acting is None


@pytest.mark.parametrize(
    ("stage", "retired"), [(Stage.SHADOW, False), (Stage.LIVE, False), (Stage.COMPLETE, True)]
)
def test_virtual_time_does_all_that_is_due_before_it_and_says_what_is_due_next(
    stage: Stage, retired: bool
) -> None:
    """Five seconds at a time, and all at once: as if each thing had been done when it was due."""
    worlds = [World(retired=retired) for _ in range(3)]
    for world in worlds:
        for number in range(3):
            world.open(f"c{number}", stage, user=f"u{number}", session=f"s{number}")
    slow, stepped, leaped = worlds
    for until in range(0, 400, 5):
        due = stepped.router.advance(until * S)
        assert due == stepped.router.next_wake
        assert due is None or due >= until * S
        # What is due at that very time comes after the events of that time.
        assert all(decision.at < until * S for _, decision, _ in stepped.journal.decisions)
    assert leaped.router.advance(395 * S) == stepped.router.next_wake
    slow.run_before(395)
    for world in (stepped, leaped):
        assert world.journal.decisions == slow.journal.decisions != []
        assert world.journal.verdicts == slow.journal.verdicts
        assert world.journal.outcomes == slow.journal.outcomes
        assert world.journal.notes == slow.journal.notes


def test_r4_in_virtual_time_a_connection_that_nobody_watches_is_tried_again_at_its_time() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate, retired=True)
    world.open("c1", Stage.COMPLETE)
    candidate.faults["wake"] = candidate.faults["create"] = raises(ValueError("no"))
    due = world.router.next_wake
    assert due is not None
    candidate.left = 4
    world.router.advance(due + 1 * S + 1)
    assert candidate.left == 0
    assert len(world.journal.notes) == 2
    assert world.watched_by("c1") == {CANDIDATE}


def test_virtual_time_decides_in_the_order_of_time_whichever_monitor_does() -> None:
    world = World()
    world.open("c1", Stage.SHADOW)
    world.run(30)
    world.open("c2", Stage.SHADOW, user="u2", session="s2")
    world.router.advance(200 * S)
    assert [(role, one.connection_id, one.at) for role, one, _ in world.journal.decisions] == [
        (CANDIDATE, "c1", 45 * S),
        (CONTROL, "c1", 60 * S),
        (CANDIDATE, "c2", 75 * S),
        (CONTROL, "c2", 90 * S),
    ]


def test_the_next_step_is_not_put_off_by_what_comes_later() -> None:
    """A connection that nobody was able to watch is tried again after a second; a sweep comes before."""
    control, candidate = FaultyType(LegacyGlobal()), FaultyType()
    world = World(control, candidate)
    for type_ in (control, candidate):
        type_.faults["register"] = raises(ValueError("no"))
    world.run(14.5)
    world.open("c1", Stage.SHADOW)
    assert world.watched_by("c1") == set()
    assert world.router.next_wake == 15 * S
    world.run(15)
    assert world.router.next_wake == 15.5 * S


def test_r15_the_end_of_a_return_window_is_a_step_of_its_own() -> None:
    world = World(retired=True)
    world.open("c1", Stage.COMPLETE)
    world.run(46)
    assert world.ports["c1"].endings
    assert world.router.next_wake == (45 + 120) * S + 1
    world.run(166)
    assert [(one.result, one.at) for one in world.journal.outcomes] == [("lost", 165 * S + 1)]
    assert world.router.next_wake is None


def test_where_nothing_is_left_to_do_virtual_time_has_no_next_step() -> None:
    world = World(retired=True)
    assert world.router.advance(100 * S) is None
    world.open("c1", Stage.COMPLETE)
    assert world.router.next_wake is not None
    world.close("c1")
    assert world.router.next_wake is None
    assert world.router.advance(100 * S) is None


def test_a_wake_is_foretold_up_to_a_time() -> None:
    """The driver of a running shim asks this for each connection that is opened."""
    world = World()
    assert not world.router.any_wake(15 * S - 1)
    assert world.router.any_wake(15 * S)  # the control's sweep
    retired = World(retired=True)
    assert not retired.router.any_wake(100 * S)
    retired.open("c1", Stage.COMPLETE)
    due = retired.router.next_wake
    assert due is not None
    assert not retired.router.any_wake(due - 1)
    assert retired.router.any_wake(due)
    world.open("c1", Stage.SHADOW)
    due = world.router.next_wake
    assert due is not None
    assert due < 15 * S  # the candidate's heartbeat
    assert [world.router.any_wake(at) for at in (due - 1, due)] == [False, True]


def test_r1_a_sweep_acts_in_its_own_order_whatever_the_deadlines_are() -> None:
    world = World()
    for name, package in (("late", "p"), ("soon", "p2"), ("glasses", None)):
        world.open(name, Stage.OFF, package=package)
    for name, at in (("soon", 10), ("late", 12), ("glasses", 13)):
        world.run(at)
        world.message(name)
    world.run(60)
    decided = [decision.connection_id for decision in world.journal.decided_by(Role.CONTROL)]
    assert decided == ["glasses", "late", "soon"]


def test_r22_the_brake_tells_whether_a_person_engaged_it() -> None:
    observer, told = listen_to(BrakeChanged)
    candidate = FaultyType()
    world = World(candidate=candidate, observers=[observer])
    world.open("c1", Stage.LIVE)
    world.router.engage_brake("by hand", world.now)
    world.router.release_brake("repaired", 5)
    world.stage("c1", Stage.LIVE)
    candidate.faults["wake"] = answers([42])
    world.run(16)
    assert [(change.engaged, change.by_itself) for change in told] == [
        (True, False),
        (False, False),
        (True, True),
    ]


def test_a_candidate_for_the_whole_process_acts_in_the_order_of_deadlines_too() -> None:
    world = World(candidate=LegacyGlobal())
    for name in ("late", "soon"):
        world.open(name, Stage.COMPLETE, user=name, session=name)
    for name, at in (("soon", 10), ("late", 12)):
        world.run(at)
        world.message(name)
    world.run(60)
    decided = [decision.connection_id for decision in world.journal.decided_by(Role.CANDIDATE)]
    assert decided == ["soon", "late"]


def test_r15_a_move_takes_the_placement_along() -> None:
    world = World()
    tracked = world.open("c1", Stage.SHADOW)
    by_rule = Placement("a rule")
    for stage, placement in ((Stage.LIVE, by_rule), (Stage.SHADOW, None)):
        world.router.set_stage(tracked, stage, world.now, placement=placement)
        assert tracked.placement is by_rule
    # Also where the stage stays as it is.
    world.router.set_stage(tracked, Stage.SHADOW, world.now, placement=BY_CHANCE)
    assert tracked.placement is BY_CHANCE

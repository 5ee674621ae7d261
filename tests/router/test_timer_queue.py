"""The timer queue against a dictionary."""

from hypothesis import example, given
from hypothesis import strategies as st

from shim.model import Time
from shim.router.timer_queue import TimerQueue


class Sleeper:
    def __init__(self, name: int) -> None:
        self.name = name
        self.wake_at: Time | None = None


TIMES = st.one_of(st.integers(-3, 10), st.integers(0, 10**15))
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.integers(0, 5), TIMES),
        st.tuples(st.just("cancel"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("wake"), st.just(0), TIMES),
        st.tuples(st.just("peek"), st.just(0), st.just(0)),
    ),
    max_size=50,
)


@given(ACTIONS)
@example([("enter", 0, 5), ("enter", 0, 7), ("enter", 0, 5), ("wake", 0, 9)])
@example([("enter", 0, 9), ("peek", 0, 0), ("enter", 1, 5), ("wake", 0, 5)])
@example([("enter", 0, 5), ("cancel", 0, 0), ("peek", 0, 0), ("enter", 1, 5), ("wake", 0, 5)])
@example([("enter", 0, 5), ("cancel", 0, 0), ("enter", 0, 5), ("wake", 0, 5), ("wake", 0, 5)])
def test_r4_everyone_is_woken_once_and_at_the_right_time(
    actions: list[tuple[str, int, Time]],
) -> None:
    queue: TimerQueue[Sleeper] = TimerQueue()
    sleepers = [Sleeper(number) for number in range(6)]
    due: dict[int, Time] = {}

    def wake(now: Time) -> None:
        expected = {name: at for name, at in due.items() if at <= now}
        woken = [sleeper.name for sleeper in queue.due(now)]
        assert sorted(woken) == sorted(expected)
        assert [due.pop(name) for name in woken] == sorted(expected.values())

    for what, who, time in actions:
        if what == "enter":
            queue.enter(sleepers[who], time)
            due[who] = time
        elif what == "cancel":
            queue.enter(sleepers[who], None)
            due.pop(who, None)
        elif what == "wake":
            wake(time)
        else:
            assert queue.next_due == min(due.values(), default=None)
        assert [s.wake_at for s in sleepers] == [due.get(s.name) for s in sleepers]
    wake(1 << 62)
    assert due == {}
    assert queue.next_due is None


def test_r4_sleepers_of_one_time_wake_in_the_order_of_entering() -> None:
    queue: TimerQueue[Sleeper] = TimerQueue()
    sleepers = [Sleeper(number) for number in range(20)]
    for sleeper in sleepers:
        queue.enter(sleeper, 5)
    assert list(queue.due(5)) == sleepers


def test_r4_whoever_is_left_of_a_time_is_due_before_later_times() -> None:
    """Work in slices: the first of two is woken, and the next slice begins later."""
    queue: TimerQueue[Sleeper] = TimerQueue()
    for name, at in enumerate((5, 5, 9)):
        queue.enter(Sleeper(name), at)
    assert next(iter(queue.due(6))).name == 0
    assert queue.next_due == 5
    assert queue.any_due(6)
    assert [sleeper.name for sleeper in queue.due(6)] == [1]
    assert queue.next_due == 9
    assert [queue.any_due(now) for now in (8, 9)] == [False, True]


def test_r4_the_next_time_is_the_earliest_also_while_some_of_a_time_are_left() -> None:
    queue: TimerQueue[Sleeper] = TimerQueue()
    for name in range(2):
        queue.enter(Sleeper(name), 5)
    assert next(iter(queue.due(5))).name == 0
    assert queue.next_due == 5
    for name, at in ((2, 9), (3, 3)):
        queue.enter(Sleeper(name), at)
    assert queue.next_due == 3


def test_r4_whoever_is_left_of_a_time_and_is_to_be_woken_no_more_is_not_due() -> None:
    queue: TimerQueue[Sleeper] = TimerQueue()
    sleepers = [Sleeper(number) for number in range(2)]
    for sleeper in sleepers:
        queue.enter(sleeper, 5)
    assert next(iter(queue.due(5))) is sleepers[0]
    queue.enter(sleepers[1], None)
    assert queue.next_due is None


def test_r4_who_is_entered_meanwhile_is_woken_if_it_is_time() -> None:
    queue: TimerQueue[Sleeper] = TimerQueue()
    sleepers = [Sleeper(number) for number in range(4)]
    for sleeper in sleepers[:3]:
        queue.enter(sleeper, 5)
    woken = []
    for sleeper in queue.due(6):
        woken.append(sleeper.name)
        if sleeper.name == 0:
            queue.enter(sleepers[1], None)
            queue.enter(sleepers[2], 7)
            queue.enter(sleepers[3], 6)
            queue.enter(sleepers[0], 8)
    assert woken == [0, 3]
    assert queue.next_due == 7

"""The agenda against a sorted list."""

from hypothesis import example, given
from hypothesis import strategies as st

from shim.model import Time
from shim.router.agenda import Agenda


class Sleeper:
    def __init__(self, name: int) -> None:
        self.name = name
        self.wake_at: Time | None = None


BUCKET = 1 << 16
TIMES = st.one_of(
    st.integers(0, 10),
    st.integers(0, 40).map(lambda n: n * BUCKET // 4),  # the edges of the buckets, and inside
    st.integers(-3 * BUCKET, 10 * BUCKET),
    st.integers(0, 10**15),
)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.integers(0, 5), TIMES),
        st.tuples(st.just("cancel"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("pop"), st.just(0), TIMES),
        st.tuples(st.just("peek"), st.just(0), st.just(0)),
    ),
    max_size=50,
)


@given(ACTIONS)
@example([("enter", 0, 5), ("enter", 0, 7), ("enter", 0, 5), ("pop", 0, 9), ("pop", 0, 9)])
@example([("enter", 0, 10**9), ("peek", 0, 0), ("enter", 1, 5), ("pop", 0, 5)])
@example([("enter", 0, 5), ("cancel", 0, 0), ("enter", 0, 5), ("pop", 0, 5), ("pop", 0, 5)])
def test_r4_the_agenda_is_a_sorted_list(actions: list[tuple[str, int, Time]]) -> None:
    agenda: Agenda[Sleeper] = Agenda()
    sleepers = [Sleeper(number) for number in range(6)]
    due: dict[int, Time] = {}

    def check_next() -> None:
        assert agenda.next_due == min(due.values(), default=None)

    for what, who, time in actions:
        if what == "enter":
            agenda.enter(sleepers[who], time)
            due[who] = time
        elif what == "cancel":
            agenda.enter(sleepers[who], None)
            due.pop(who, None)
        elif what == "pop":
            first = min(due.values(), default=None)
            popped = agenda.pop_due(time)
            if first is None or first > time:
                assert popped is None
            else:
                assert popped is not None
                assert due.pop(popped.name) == first
                assert popped.wake_at is None
        else:
            check_next()
        assert [s.wake_at for s in sleepers] == [due.get(s.name) for s in sleepers]
    order = []
    while (popped := agenda.pop_due(1 << 62)) is not None:
        order.append(due.pop(popped.name))
    assert due == {}
    assert order == sorted(order)
    check_next()


def test_r4_sleepers_of_one_time_wake_in_the_order_of_entering() -> None:
    agenda: Agenda[Sleeper] = Agenda()
    sleepers = [Sleeper(number) for number in range(20)]
    for sleeper in sleepers:
        agenda.enter(sleeper, 5 * BUCKET)
    woken = [agenda.pop_due(5 * BUCKET) for _ in sleepers]
    assert woken == sleepers


@given(st.lists(st.integers(0, 10**8), min_size=1, max_size=200))
def test_r4_a_hundred_sleepers_wake_at_their_own_times(times: list[Time]) -> None:
    agenda: Agenda[Sleeper] = Agenda()
    for number, time in enumerate(times):
        agenda.enter(Sleeper(number), time)
    woken = []
    while (now := agenda.next_due) is not None:
        assert agenda.pop_due(now - 1) is None
        sleeper = agenda.pop_due(now)
        assert sleeper is not None
        woken.append((now, sleeper.name))
    assert woken == sorted((time, number) for number, time in enumerate(times))

"""Which delays of returns are right, wrong, or not measurable where the clients stood still (R15, R24)."""

import asyncio
import socket
import time
from threading import Thread

import pytest

from tests.fleet.delay_check import Delay, DelayReport, read_delays
from tests.fleet.returns_oracle import StoredOutcome, match, possible_outcomes
from tests.fleet.roaming import Times
from tests.fleet.roaming_client import End, Stay
from tests.fleet.standstill import BEAT, Span, Standstills, heartbeat
from tests.waiting import until

USER = "user@example.com"
TIMES = Times(interval=1.0, timeout=3.0, window=6.0, margin=1.0, calm=(1.0, 2.0))
SEEN, BACK = 14.0, 16.5
"""When the client saw that it was closed, and when it was acknowledged again."""
NOTED = BACK - SEEN

ON_CLOSE, ON_RETURN = Span(SEEN - 0.15, SEEN + 0.01), Span(BACK - 0.15, BACK + 0.01)
"""The clients stood still when one of the two happened."""


def delay_of(stored: float, *processes: list[Span], asked: float = BACK - 0.4) -> Delay:
    """The delay of a client's return, as the store has it and as these processes saw it."""
    closed = Stay(USER, 1.0, 1.0, ended_at=SEEN, end=End.TIMED_OUT)
    closed.signs.append(10.5)
    back = Stay(USER, asked, BACK)
    back.signs.append(asked)
    [truth] = possible_outcomes([closed, back], TIMES)
    pairs = match(truth, [StoredOutcome("candidate", SEEN, "returned", stored)])
    assert pairs is not None
    [delay] = read_delays(USER, pairs, [Standstills(spans) for spans in processes])
    return delay


def test_a_client_that_ran_knows_its_delay_exactly() -> None:
    for stored in (NOTED - 0.19, NOTED, NOTED + 0.19):
        assert DelayReport([delay_of(stored, [], [])]).differences() == []
    for stored in (NOTED - 0.21, NOTED + 0.21):
        assert len(DelayReport([delay_of(stored, [], [])]).differences()) == 1


@pytest.mark.parametrize("place", [0, 1])
def test_a_standstill_at_the_close_excuses_a_longer_delay_alone(place: int) -> None:
    processes: list[list[Span]] = [[], []]
    processes[place].append(ON_CLOSE)
    assert DelayReport([delay_of(NOTED + 0.34, *processes)]).differences() == []
    assert len(DelayReport([delay_of(NOTED + 0.36, *processes)]).differences()) == 1
    assert len(DelayReport([delay_of(NOTED - 0.21, *processes)]).differences()) == 1


@pytest.mark.parametrize("place", [0, 1])
def test_a_standstill_at_the_return_excuses_a_shorter_delay_alone(place: int) -> None:
    processes: list[list[Span]] = [[], []]
    processes[place].append(ON_RETURN)
    assert DelayReport([delay_of(NOTED - 0.34, *processes)]).differences() == []
    assert len(DelayReport([delay_of(NOTED - 0.36, *processes)]).differences()) == 1
    assert len(DelayReport([delay_of(NOTED + 0.21, *processes)]).differences()) == 1


@pytest.mark.parametrize("stored", [NOTED - 0.21, NOTED + 0.21])
def test_a_standstill_at_another_time_excuses_nothing(stored: float) -> None:
    others = [Span(SEEN - 0.5, SEEN - 0.1), Span(SEEN + 0.1, BACK - 0.1), Span(BACK + 0.1, 17.0)]
    assert len(DelayReport([delay_of(stored, others, others)]).differences()) == 1


def test_a_client_that_asked_later_than_its_standstill_began_came_no_earlier() -> None:
    delay = delay_of(NOTED, [ON_RETURN], asked=BACK - 0.05)
    assert delay.truth == pytest.approx((NOTED - 0.05, NOTED))


def test_standstills_of_two_processes_add_up() -> None:
    """The clients saw late what the proxy had passed on late."""
    delay = delay_of(NOTED, [ON_CLOSE], [Span(SEEN - 0.19, SEEN - 0.15)])
    assert delay.truth == pytest.approx((NOTED, NOTED + 0.19))


def test_what_is_not_measurable_is_counted_and_has_to_be_rare() -> None:
    vague = delay_of(NOTED + 0.36, [ON_CLOSE, ON_RETURN])
    assert not vague.is_measurable
    exact = [delay_of(NOTED, [])] * 99
    rare = DelayReport([vague, *exact])
    assert rare.differences() == []
    assert rare.figures() == {
        "delay against the client's, median": "0.0 ms",
        "delay against the client's, most": "0.0 ms",
        "delays that a standstill of the clients makes uncertain": "1 of 100, by at most 300.0 ms",
        "of these not measurable": "1 (1% of all delays may be)",
        "delays that differ": "0",
    }
    assert DelayReport([vague, vague, *exact]).differences() == [
        "2 of 101 delays are not measurable"
    ]


@pytest.mark.parametrize(
    ("noted_at", "earliest"),
    [
        (1.0, 1.0),
        (2.0, 2.0),
        (2.1, 2.0),
        (2.2, 2.0),
        # The next round of the loop works on what had arrived meanwhile.
        (2.2 + BEAT, 2.0 + BEAT),
        (2.2 + BEAT + 0.001, 2.2 + BEAT + 0.001),
        # Two rounds that are long.
        (3.2 + BEAT / 2, 3.0 + BEAT / 2),
        (3.25, 3.0 + BEAT),
        (3.4, 3.0 + BEAT),
        (3.4 + BEAT, 3.2 + 2 * BEAT),
    ],
)
def test_what_a_process_noted_after_a_standstill_may_have_arrived_when_that_began(
    noted_at: float, earliest: float
) -> None:
    spans = [Span(2.0, 2.2), Span(3.0, 3.2), Span(3.2 + BEAT, 3.4)]
    assert Standstills(spans).earliest(noted_at) == pytest.approx(earliest)


async def test_a_loop_that_stands_still_notes_late_what_has_arrived() -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    loop = asyncio.get_running_loop()
    noted: asyncio.Future[float] = loop.create_future()
    sent: list[float] = []

    def note() -> None:
        loop.remove_reader(near)
        noted.set_result(time.monotonic())

    def send() -> None:
        far.send(b"x")
        sent.append(time.monotonic())
        time.sleep(20 * BEAT)

    with near, far, heartbeat(time.monotonic) as standstills:
        loop.add_reader(near, note)
        await asyncio.sleep(0)
        sending = Thread(target=send)
        sending.start()
        # The loop stands still.
        sending.join()
        noted_at = await noted
        await until(lambda: standstills.longest > 10 * BEAT)
    # Two beats in between may each be late without being written down.
    assert standstills.earliest(noted_at) <= sent[0] + 5 * BEAT < noted_at

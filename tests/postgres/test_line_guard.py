"""One thread looks after all lines to the store: each in its time, and none that is over."""

import math
import socket
from collections.abc import Iterator
from threading import Event, active_count
from time import monotonic

import pytest

from shim.ledger.postgres.line_guard import GuardedLine, LineGuard
from tests.waiting import wait_for

LATER = 3600


class Watched(GuardedLine):
    """A line that notes that it was looked at, and is looked at so many times."""

    def __init__(self, own: socket.socket, times: int = 1) -> None:
        super().__init__(own, math.inf, math.inf)
        self.left = times
        self.looked_at = Event()

    def look(self, now: float) -> float | None:
        self.left -= 1
        if self.left:
            return now
        self.looked_at.set()
        return None


@pytest.fixture
def own() -> Iterator[socket.socket]:
    near, far = socket.socketpair()
    with near, far:
        yield near


def test_what_is_due_earlier_is_looked_at_while_the_guard_waits_for_another(
    own: socket.socket,
) -> None:
    guard, late, early = LineGuard(), Watched(own), Watched(own)
    guard.look_after(late, monotonic() + LATER)
    guard.look_after(early, monotonic())
    assert early.looked_at.wait(30)
    assert not late.looked_at.is_set()


def test_a_line_is_looked_at_as_often_as_it_says(own: socket.socket) -> None:
    guard, line = LineGuard(), Watched(own, times=5)
    guard.look_after(line, monotonic())
    assert line.looked_at.wait(30)
    assert line.left == 0


def test_a_line_that_is_over_is_not_looked_at(own: socket.socket) -> None:
    guard, over, other = LineGuard(), Watched(own), Watched(own)
    over.is_over = True
    guard.look_after(over, monotonic())
    guard.look_after(other, monotonic())
    assert other.looked_at.wait(30)
    assert not over.looked_at.is_set()


def test_all_lines_have_one_thread_which_ends_with_the_last(own: socket.socket) -> None:
    guard, before = LineGuard(), active_count()
    late = Watched(own)
    guard.look_after(late, monotonic() + LATER)
    for _ in range(20):
        line = Watched(own)
        guard.look_after(line, monotonic())
        assert line.looked_at.wait(30)
    assert active_count() == before + 1
    late.is_over = True
    guard.look_after(Watched(own), monotonic())
    wait_for(lambda: active_count() == before)

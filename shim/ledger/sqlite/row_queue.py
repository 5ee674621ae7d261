"""The rows on their way from the event loop to the writer's thread: a bounded queue that counts the rows
that it drops."""

import logging
from collections import Counter, deque
from collections.abc import Callable
from threading import Condition

from shim.ledger.rows import GapRow, Row, Wall

log = logging.getLogger(__name__)


class RowQueue:
    """First in, first out. Beyond `capacity` agreements are dropped; a reserve of a tenth more is for
    all other rows; when the reserve is full, too, the waiting agreements are dropped, and only then other rows.

    Safe to use from several threads; only `take` and `settled` wait.
    """

    def __init__(self, capacity: int, wall: Callable[[], Wall]) -> None:
        self._capacity = capacity
        self._limit = capacity + capacity // 10 + 1
        self._wall = wall
        self._rows: deque[Row] = deque()
        self._spare = 0
        self._changed = Condition()
        self._entered = 0
        self._left = 0
        self._gap: Counter[str] = Counter()
        self._gap_since: Wall = 0
        self.dropped = 0
        self.closed = False

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, row: Row) -> None:
        """Hand a row over, or drop it."""
        with self._changed:
            if self.closed or (len(self._rows) >= self._capacity and not self._room_for(row)):
                self._lose(row)
                return
            self._rows.append(row)
            self._spare += row.spare
            self._entered += 1
            if len(self._rows) == 1:
                self._changed.notify_all()

    def take(self, most: int, timeout: float) -> list[Row]:
        """The next rows; no rows if none came within `timeout` seconds, or the queue is closed and empty.

        They count as waiting until `done`.
        """
        with self._changed:
            if not self._rows and not self.closed:
                self._changed.wait(timeout)
            rows = [self._rows.popleft() for _ in range(min(most, len(self._rows)))]
            self._spare -= sum(row.spare for row in rows)
            if self._gap and len(self._rows) < self._capacity // 2:
                rows += self._end_gap()
            return rows

    def done(self, count: int) -> None:
        """`count` of the rows taken are stored or refused."""
        with self._changed:
            self._left += count
            self._changed.notify_all()

    def refuse(self, row: Row) -> None:
        """A row that was taken cannot be stored."""
        with self._changed:
            self._lose(row)

    def close(self) -> None:
        """Take no more rows."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def settled(self, timeout: float) -> bool:
        """Wait until every row that entered before is settled."""
        with self._changed:
            entered = self._entered
            return self._changed.wait_for(lambda: self._left >= entered, timeout)

    @property
    def waiting(self) -> int:
        return self._entered - self._left

    def _room_for(self, row: Row) -> bool:
        if row.spare:
            return False
        if len(self._rows) >= self._limit and self._spare:
            kept = deque(waiting for waiting in self._rows if not waiting.spare)
            for agreement in self._rows:
                if agreement.spare:
                    self._lose(agreement)
            self._left += len(self._rows) - len(kept)
            self._rows, self._spare = kept, 0
        return len(self._rows) < self._limit

    def _lose(self, row: Row) -> None:
        if not self._gap:
            self._gap_since = self._wall()
        if row.what not in self._gap:
            report = log.warning if row.spare else log.critical
            report("ledger: a %s row is lost; more of them are counted in the gap", row.what)
        self._gap[row.what] += 1
        self.dropped += 1

    def _end_gap(self) -> list[Row]:
        lost = ", ".join(f"{count} {what}" for what, count in sorted(self._gap.items()))
        log.error("ledger: there is a gap, these rows were lost: %s", lost)
        now = self._wall()
        rows: list[Row] = [GapRow(self._gap_since, now, *counted) for counted in self._gap.items()]
        self._entered += len(rows)
        self._gap.clear()
        return rows

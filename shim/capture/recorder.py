"""Records what happens to the connections of a running shim, for `shim replay`.

Each file can be replayed alone: it begins with an `open` for each open connection, at its true last sign
of life, and with the pauses since the oldest of these. Time zero of the file is a heartbeat of the live
control. The control of a replay starts at zero, so it sweeps when the live control did.

    touch, pong, data, gone    what the live connections report, as it happens
    opened, closed, paused …   the router's events
    every second               the journal's lines go to the sink's thread

With very many connections the opening of a file takes seconds. Until it is complete, the journal waits.

A capture must have no holes. If lines cannot be kept, because the disk is slow, full or gone, the file
ends with the last whole second, and a new file begins when there is room again.

Rules: docs/design.md#r3b, docs/design.md#r11.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec

from shim.capture.followed import Followed, FollowedConnections
from shim.capture.format import (
    VERSION,
    CloseLine,
    Data,
    End,
    HeaderLine,
    Line,
    MessageLine,
    OpenLine,
)
from shim.capture.journal import Journal
from shim.capture.reopenings import Reopenings
from shim.capture.sink import Sink
from shim.model import (
    SECOND,
    Cause,
    Closing,
    Duration,
    InputError,
    Role,
    Time,
    Verdict,
    seconds,
)
from shim.router import Confirmed, Decided, Observer, Opened, Paused, StageChanged, Tracked, handles
from shim.settings.settings import Settings

log = logging.getLogger(__name__)
_FLUSH: Duration = SECOND
_RETRY: Duration = 10 * SECOND
_CLOSE_TIMEOUT = 5.0
"""Seconds; the longest wait at the end until the last lines are on the disk."""

_SLICE: Duration = SECOND // 500
"""How long lines of an opening are made before the event loop has its turn."""

_UNWRITTEN = 4 * 1_048_576
"""The bytes of an opening that may wait for the disk."""

_END_WIDTH = 48
"""Each `end` overwrites the `end` before it, so all of them have one length."""

_PAUSES = 1000
"""The most pauses that are remembered for the next file; the per-session monitor remembers as many."""

Clock = Callable[[], Time]
CallAt = Callable[[Time, Callable[[], None]], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """When the next file begins: `size` in bytes, `age`. `buffer`: the most bytes in memory."""

    size: int = 256 * 1_048_576
    age: Duration = 86_400 * SECOND
    buffer: int = 32 * 1_048_576


def check_folder(path: Path) -> None:
    """Raises InputError if there is no folder for captures named after this path."""
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder for the captures")


def settings_digest(settings: Settings) -> str:
    """The SHA-256 of the settings that decide about verdicts (monitors and comparison), with defaults."""
    choices = (settings.monitors.control, settings.monitors.candidate)
    told = [
        *(None if choice is None else (choice.plugin, choice.settings) for choice in choices),
        settings.comparison.model_dump(mode="json"),
    ]
    return f"sha256:{sha256(msgspec.json.encode(told, order='sorted')).hexdigest()}"


class Recorder(Observer):
    """Captures to files named after `path`.

    `pseudonym` hides users, sessions and instances; `settings` is told in the header; `start` and
    `interval` are the control's start and heartbeat interval (None: it has none); `wall` makes the time
    of day of a time of `clock`; `call_at` is the driver's: what it calls comes after the pauses up to
    then were told and what had arrived was read. All methods belong to the event loop's thread. Raises
    InputError if there is no folder for the files.
    """

    def __init__(
        self,
        path: Path,
        limits: Limits,
        *,
        pseudonym: Callable[[str], str],
        settings: str,
        start: Time,
        interval: Duration | None,
        clock: Clock,
        wall: Callable[[Time], int],
        call_at: CallAt,
    ) -> None:
        check_folder(path)
        self._limits = limits
        self._pseudonym = pseudonym
        self._settings = settings
        self._start = start
        self._interval = interval
        self._clock = clock
        self._wall = wall
        self._call_at = call_at
        self._sink = Sink(path)
        self._journal = Journal()
        self._followed = FollowedConnections()
        self._opening: Reopenings | None = None
        self._order = self._files = 0
        self._evidence: dict[str, Time] = {}
        self._pauses: deque[tuple[Time, Time]] = deque(maxlen=_PAUSES)
        self._writing = False
        self._ended = False
        self._handed: Time = 0
        self._size = 0
        self._began: Time = 0
        self._retry_at: Time = 0

    # -- Files ------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin to write, and go on until `close`; called when the driver runs."""
        self._begin_file(self._clock())
        self._call_at(self._clock() + _FLUSH, self._on_timer)

    def close(self) -> None:
        """End the capture; returns when it is on the disk, or after some seconds."""
        self._ended = True
        self._write_opening(lambda: False)
        self._flush()
        if self._writing:
            self._writing = False
            self._sink.finish(self._end_line(self._clock()))
        if not self._sink.close(_CLOSE_TIMEOUT):
            log.error("capture: %s could not be ended in time", self._sink.name)

    def _on_timer(self) -> None:
        if not self._ended:
            self._flush()
            self._call_at(self._clock() + _FLUSH, self._on_timer)

    def _flush(self) -> None:
        """Hand over all lines: no pause that began before now can become known any more."""
        now = self._clock()
        self._journal.resume()
        self._add_evidence()
        if not self._writing:
            if self._sink.idle and now >= self._retry_at and not self._ended:
                self._begin_file(now)
            return
        if self._sink.error is not None:
            self._give_up(f"cannot be written: {self._sink.error.strerror}", now + _RETRY)
            return
        if self._opening is not None:
            return
        size = self._journal.held
        self._sink.write(self._journal.take(), size, self._end_line(now))
        self._size += size
        self._handed = self._journal.floor = now
        full = self._size >= self._limits.size or now - self._began >= self._limits.age
        if full and not self._ended:
            self._sink.finish(self._end_line(now))
            self._begin_file(now)

    def _begin_file(self, now: Time) -> None:
        """Begin a file in which every open connection is opened again."""
        oldest = next((one.last_seen for one in self._followed if not one.over), now)
        while self._pauses and self._pauses[0][1] < oldest:
            self._pauses.popleft()
        if pauses := list(self._pauses):
            oldest = min(oldest, pauses[0][0])
        zero = oldest
        if self._interval is not None:
            zero -= (oldest - self._start) % self._interval
        started = datetime.fromtimestamp(self._wall(zero) / SECOND, UTC)
        self._journal.restart(zero, now)
        self._handed = self._began = now
        self._size = 0
        self._writing = True
        began = seconds(now - zero)
        header = HeaderLine(VERSION, started.isoformat(), self._settings, began)
        self._sink.begin(msgspec.json.encode(header) + b"\n")
        self._files += 1
        self._opening = Reopenings(self._followed, self._files, pauses, zero)
        self._go_on_opening()

    def _go_on_opening(self) -> None:
        """Write a slice of the opening; the rest when the event loop had its turn."""
        if self._sink.pending < _UNWRITTEN:
            until = self._clock() + _SLICE
            self._write_opening(lambda: self._clock() >= until)
        if self._opening is not None:
            self._call_at(self._clock(), self._go_on_opening)

    def _write_opening(self, enough: Callable[[], bool]) -> None:
        if (opening := self._opening) is not None:
            lines = opening.take(enough)
            if opening.done:
                self._opening = None
            end = self._end_line(self._began) if opening.done else None
            self._sink.write([lines], len(lines), end)

    def _give_up(self, reason: str, retry_at: Time) -> None:
        """End the file after the lines that were handed over last: a capture must not have holes."""
        self._opening = None
        self._sink.finish(self._end_line(self._handed))
        self._journal.take()
        self._writing = False
        self._retry_at = retry_at
        log.error(
            "capture: %s %s; it has been ended, and another begins when there is room again",
            self._sink.name,
            reason,
        )

    def _end_line(self, at: Time) -> bytes:
        line = msgspec.json.encode(End(seconds(at - self._journal.zero)))
        return line.ljust(_END_WIDTH - 1) + b"\n"

    # -- What the live connections report ---------------------------------------------------------

    def make_touch(self, touch: Callable[[Tracked], None]) -> Callable[[Tracked], None]:
        """Makes the per-message call of all connections that were opened, with a capture of the message.

        A connection keeps nothing for the call: a function for each would take twice as long to make as all
        else that a capture does when a connection opens.
        """
        followed_by_id = self._followed

        def captured(tracked: Tracked) -> None:
            touch(tracked)
            connection_id = tracked.connection.id
            followed = followed_by_id.get(connection_id)
            if followed is None:
                return  # it has ended
            if not followed.ended:
                if tracked.closed_by is None:
                    self._before_change(followed)
                    followed_by_id.seen(followed, tracked.last_activity)
                self._add(tracked.last_activity, MessageLine(0, connection_id, followed.news()))

        return captured

    def pong(self, connection_id: str) -> None:
        """The last captured sign of life was a pong."""
        self._journal.was_pong(connection_id)

    def data(self, connection_id: str, now: Time) -> None:
        """Evidence of life that is no sign of life, such as a ping of the client (R3b)."""
        followed = self._followed.get(connection_id)
        if followed is not None and not followed.ended:
            self._before_change(followed)
            followed.add_data(now)
            self._add(now, Data(0, connection_id))

    def gone(self, connection_id: str, cause: Cause | None, now: Time) -> None:
        """The connection ended, or begins to end, and no monitor is the cause (R11)."""
        followed = self._followed.get(connection_id)
        if followed is not None:
            self._end(followed, cause, now)

    def _add_evidence(self) -> None:
        for connection_id, at in self._evidence.items():
            followed = self._followed.get(connection_id)
            if followed is not None and not followed.ended:
                if self._writing:
                    at = self._journal.add_earlier(at, Data(0, connection_id))
                self._before_change(followed)
                followed.add_data(at)
        self._evidence.clear()

    def _end(self, followed: Followed, cause: Cause | None, now: Time) -> None:
        if not followed.ended:
            self._before_change(followed)
            self._add(now, CloseLine(0, followed.facts.connection, cause, followed.news()))
            followed.ended = True

    def _before_change(self, followed: Followed) -> None:
        if self._opening is not None:
            self._opening.before_change(followed)

    def _remove(self, followed: Followed) -> None:
        self._before_change(followed)
        self._followed.remove(followed)

    def _add(self, at: Time, line: Line) -> None:
        if not self._writing:
            return
        self._journal.add(at, line)
        if self._journal.held + self._sink.pending > self._limits.buffer:
            self._give_up("is written more slowly than it grows", at)

    # -- Observer ---------------------------------------------------------------------------------

    @handles(Opened)
    def _opened(self, opened: Opened) -> None:
        connection = opened.connection
        facts = OpenLine(
            t=0,
            connection=connection.id,
            user=self._pseudonym(connection.user),
            session=self._pseudonym(connection.session),
            kind=connection.kind,
            package=connection.package,
            instance=None if connection.instance is None else self._pseudonym(connection.instance),
            stage=str(opened.stage),
            acting=opened.acting,
        )
        self._order += 1
        self._followed.add(Followed(facts, opened.at, self._order, self._files))
        self._add(opened.at, facts)
        facts.reopened = True

    @handles(Closing)
    def _closed(self, closing: Closing) -> None:
        """A connection that a monitor closed stays captured until its verdict, also in the next file."""
        followed = self._followed[closing.connection.id]
        in_episode = (
            not followed.ended  # so a monitor closed it
            and closing.stage.shadowing is not None
            and followed.judged != followed.last_seen
        )
        self._end(followed, closing.cause, closing.at)
        if in_episode:
            followed.closing = closing
        else:
            self._remove(followed)

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        followed = self._followed[verdict.connection.id]
        followed.judged = verdict.last_activity
        if followed.closing is not None:
            self._remove(followed)

    @handles(Paused)
    def _paused(self, pause: Paused) -> None:
        self._pauses.append((pause.start, pause.end))
        if self._writing:
            self._journal.pause(pause.start, pause.end)
            self._call_at(pause.end, self._journal.resume)

    @handles(Confirmed)
    def _confirmed(self, confirmed: Confirmed) -> None:
        """The kernel knows more than the application has read (R3b)."""
        connection_id, found = confirmed.connection.id, confirmed.confirmation
        followed = self._followed.get(connection_id)
        if followed is None:
            return  # it has ended
        if found.unread:
            # The time is not known. The earliest possible time keeps the replay from deciding, too.
            self._evidence[connection_id] = self._journal.floor
        elif found.data_at is not None and found.data_at > max(
            (followed.last_seen, *followed.data)
        ):
            self._evidence[connection_id] = found.data_at

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        """The candidate decided although the kernel was asked, so the replay's candidate decides, too."""
        if decided.role is Role.CANDIDATE:
            self._evidence.pop(decided.connection.id, None)

    @handles(StageChanged)
    def _stage_changed(self, change: StageChanged) -> None:
        followed = self._followed[change.connection.id]
        self._before_change(followed)
        followed.stage = followed.facts.stage = str(change.after)
        followed.facts.acting = change.after.acting

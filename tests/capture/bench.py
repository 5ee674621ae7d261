"""A shim in virtual time, captured: the real router and monitors, a driver that is never late."""

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from pathlib import Path

from shim.capture.recorder import Limits, Recorder
from shim.compare.comparator import Comparator
from shim.compare.outcomes import Outcomes
from shim.flags.targeting import everyone_at
from shim.model import (
    SECOND,
    Cause,
    Close,
    Closing,
    Confirmation,
    Connection,
    Duration,
    Kind,
    Stage,
    Time,
    Verdict,
)
from shim.router import NO_CONFIRMATION, Observer, Opened, Router, Tracked, handles
from shim.runtime.fanout import Fanout
from tests.replay.helpers import replay_settings

START: Time = 7_654_321
WALL = 1_795_000_000 * SECOND
"""The time of day at the clock's zero, in microseconds since 1970."""
INTERVAL: Duration = 15 * SECOND
NEVER = Limits()
"""No file of a test is ended for its size or age."""


class Socket:
    """What the port of a virtual connection has done and would answer."""

    def __init__(self) -> None:
        self.evidence = NO_CONFIRMATION

    def ping(self, payload: bytes) -> None: ...

    def close(self, close: Close) -> None: ...

    def terminate(self) -> None: ...

    def forget(self) -> None: ...

    def confirm(self) -> Confirmation:
        return self.evidence


class Verdicts(Observer):
    def __init__(self) -> None:
        self.all: list[Verdict] = []

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        self.all.append(verdict)


class Bench:
    """Each method is something that happens now; `wait` lets time pass."""

    def __init__(
        self,
        path: Path,
        limits: Limits = NEVER,
        stage: Stage = Stage.SHADOW,
        late: Duration = 0,
        *,
        slices: Duration | None = None,
    ) -> None:
        """With `slices`, one line of an opening is made at a time, so long after the line before."""
        self._slices = slices
        self.now = START
        # Whether a decision came late because the bench itself moved the time for a new file.
        self.moved_past_a_timer = False
        self._zeros: dict[Time, Time] = {}
        self.live = Verdicts()
        self._stage = stage
        self._deadlines: list[tuple[Time, int, Callable[[], None]]] = []
        self._numbers = count(1)
        self._open: dict[str, tuple[Tracked, Callable[[], None], Socket]] = {}
        self.observer = Fanout([self.live])
        settings = replay_settings()
        self.router = Router(
            settings.monitors,
            comparator=Comparator(tolerance=settings.tolerance, window=settings.window),
            outcomes=Outcomes(settings.return_window, settings.monitors.control_patience),
            observer=self.observer,
            start=self.now,
        )
        self.now += late
        self.recorder = Recorder(
            path,
            limits,
            pseudonym=lambda value: f"hidden-{value}",
            settings="digest",
            start=START,
            interval=INTERVAL,
            clock=self._clock,
            wall=lambda at: WALL + at,
            call_at=self._call_at,
        )
        self.observer.add(self.recorder)
        self._touch = self.recorder.make_touch(self.router.make_touch(lambda: self.now))
        self.recorder.begin()
        self._note_file()

    def _clock(self) -> Time:
        return self.now

    def _call_at(self, when: Time, callback: Callable[[], None]) -> None:
        if self._slices is not None and callback.__name__ == "_go_on_opening":
            when += self._slices
        heappush(self._deadlines, (when, next(self._numbers), callback))

    def _note_file(self) -> bool:
        """Whether another file has begun."""
        before = len(self._zeros)
        self._zeros[self.recorder._began] = self.recorder._journal.zero
        return len(self._zeros) > before

    @property
    def zeros(self) -> list[Time]:
        """When time began in each of the files, in their order."""
        return list(self._zeros.values())

    # -- What happens -----------------------------------------------------------------------------

    def ids(self) -> list[str]:
        return list(self._open)

    def open(
        self,
        user: str = "u",
        kind: Kind = Kind.APP,
        package: str = "com.example.a",
        instance: str | None = None,
    ) -> str:
        name = f"c{next(self._numbers)}"
        connection = Connection(
            name, kind, user, f"s-{user}", package if kind is Kind.APP else None, instance
        )
        socket = Socket()
        tracked = self.router.open(connection, socket, self.now, self._stage)
        evaluation = everyone_at(self._stage).evaluate(user)
        self.observer.on(
            Opened(
                connection=connection,
                evaluation=evaluation,
                stage=self._stage,
                acting=tracked.acting,
                at=self.now,
            )
        )
        self._open[name] = tracked, partial(self._touch, tracked), socket
        return name

    def touch(self, name: str) -> Callable[[], None]:
        """The per-message call of a connection."""
        return self._open[name][1]

    def message(self, name: str) -> None:
        self.touch(name)()

    def pong(self, name: str) -> None:
        tracked, touch, _ = self._open[name]
        touch()
        self.router.pong(tracked, b"", self.now)
        self.recorder.pong(name)

    def data(self, name: str) -> None:
        tracked = self._open[name][0]
        self.router.data(tracked, self.now)
        self.recorder.data(name, self.now)

    def socket(self, name: str) -> Socket:
        return self._open[name][2]

    def set_stage(self, name: str, stage: Stage) -> None:
        self.router.set_stage(self._open[name][0], stage, self.now)

    def close(self, name: str, cause: Cause = Cause.PEER) -> None:
        """The socket ends, as it does for a live connection: `gone`, then `closed`."""
        tracked, _, _ = self._open.pop(name)
        if tracked.closed_by is None:
            self.router.close(tracked, self.now)
            self.recorder.gone(name, cause, self.now)
        else:
            cause = Cause(tracked.closed_by.value)
        self.observer.on(
            Closing(
                connection=tracked.connection,
                stage=tracked.stage,
                opened_at=tracked.opened_at,
                at=self.now,
                cause=cause,
                intended=None,
                observed=1006,
            )
        )

    def wait(self, duration: Duration) -> None:
        """What is due before the end of this time is done, each at its own time."""
        until = self.now + duration
        self._run(until)
        self.now = max(self.now, until)

    def pause(self, duration: Duration, arrived: list[str], late: Duration = 0) -> None:
        """The process does not run; what `arrived` meanwhile is read, so late, when it runs again."""
        start, end = self.now, self.now + duration
        self.now = end
        self.router.paused(start, end)
        self.router.step_control(end)
        self.now += late
        for name in arrived:
            self.message(name)
        self.router.step_candidate(self.now)
        self._call_back()
        self.now += 1  # what is read from now on was not read before the candidate judged

    def stop(self) -> None:
        """The end of the process."""
        self._run(self.now + 1)
        self._run(self.now + 1)  # a file that has just begun has moved the time
        self.router.shutdown(self.now)
        self.recorder.close()

    def _run(self, until: Time) -> None:
        while True:
            due = [self._deadlines[0][0]] if self._deadlines else []
            if (wake := self.router.next_wake) is not None:
                due.append(wake)
            if not due or min(due) >= until:
                break
            self.moved_past_a_timer |= wake is not None and wake < self.now
            self.now = max(self.now, min(due))
            self.router.step(self.now)
            self._call_back()

    def _call_back(self) -> None:
        while self._deadlines and self._deadlines[0][0] <= self.now:
            heappop(self._deadlines)[2]()
        if self._note_file():
            self.now += 1  # nothing happens in one instant both before a file begins and after

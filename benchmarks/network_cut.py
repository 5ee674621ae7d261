"""A cut of the network on the server's side, in virtual time: the real router, guard and brake.

Half of the users are at `live`, the others at `shadow`. Within the cut nothing arrives. What a client
sent meanwhile is sent again after 0.2 s, 0.6 s, 1.4 s, …, as TCP does, until the network is back. A
client whose connection is gone learns that when its own packets come through, and opens another one.
"""

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

import numpy as np

from shim.compare.comparator import Comparator
from shim.compare.outcomes import Outcomes
from shim.gate.question import QuestionTimes
from shim.model import (
    EVERYBODY,
    SECOND,
    Close,
    Confirmation,
    Connection,
    Coverage,
    Duration,
    Kind,
    Monitors,
    Placement,
    Stage,
    Time,
)
from shim.router import NO_CONFIRMATION, Guard, Router, Tracked
from shim.runtime.automatic_brake import AutomaticBrake
from shim.runtime.fanout import Fanout
from shim.settings.sections import BrakeSettings, GateSettings, GuardSettings
from shim_legacy_global import LegacyGlobal, LegacySettings
from shim_per_session import PerSession, PerSessionSettings

DAY = 86_400 * SECOND
MINUTE = 60 * SECOND
BEGIN = 20_003 * DAY + DAY // 2
TALKS_EACH = 15 * SECOND
_ROUND_TRIP = SECOND // 10
_PLACED = Placement(EVERYBODY)


class Cut(NamedTuple):
    """So many of the connections are cut off for so long."""

    share: float
    duration: Duration


class _Client:
    """The port of one connection, and the peer at its other end."""

    def __init__(self, world: "CutWorld", user: int, *, cut_off: bool) -> None:
        self._world = world
        self.user = user
        self.cut_off = cut_off
        self.first_lost: Time | None = None
        self.gone = False
        self.tracked: Tracked

    def ping(self, payload: bytes) -> None:
        """Whoever is alive answers soon."""
        self.speak_at(self._world.now + _ROUND_TRIP)

    def close(self, close: Close) -> None:
        world = self._world
        if not world.is_cut(self, world.now):
            world.at(world.now + _ROUND_TRIP, self.answer_close)
        world.at(world.now + close.timeout, self.end)

    def terminate(self) -> None:
        self.end()

    def forget(self) -> None: ...

    def confirm(self) -> Confirmation:
        return NO_CONFIRMATION

    def speak_at(self, at: Time) -> None:
        """The client sends something at that time; within the cut it arrives later."""
        world = self._world
        if not world.is_cut(self, at):
            world.at(at, self.speak)
        elif self.first_lost is None:
            self.first_lost = at
            world.at(world.first_repeat(at), self.speak)

    def talk(self) -> None:
        if not self.gone:
            self.speak_at(self._world.now)
            self._world.at(self._world.now + TALKS_EACH, self.talk)

    def speak(self) -> None:
        if self.gone:
            self.come_back()
        else:
            self._world.touch(self.tracked)

    def answer_close(self) -> None:
        if not self.gone:
            self._world.router.spoke_after_close(self.tracked, self._world.now)
            self.end()
            self.come_back()

    def end(self) -> None:
        """The transport is gone."""
        if not self.gone:
            self.gone = True
            self._world.router.close(self.tracked, self._world.now)
            if not self._world.is_cut(self, self._world.now):
                self._world.at(self._world.now + SECOND, self.come_back)

    def come_back(self) -> None:
        self._world.open(self.user, cut_off=False)


class CutWorld:
    """Some connections, of which some are cut off for a while."""

    def __init__(self, connections: int, cut: Cut, seed: int) -> None:
        self.now: Time = 0
        self.engaged: str | None = None
        self._random = np.random.default_rng(seed)
        self._events: list[tuple[Time, int, Callable[[], None]]] = []
        self._entry = count()
        self._opened: dict[int, _Client] = {}
        settings = GateSettings()
        times = QuestionTimes(BEGIN, settings.period, settings.unit, settings.grain)
        self.brake = AutomaticBrake(BrakeSettings(), times, self._engage, lambda at: BEGIN + at)
        self.router = Router(
            Monitors((LegacyGlobal(), LegacySettings()), (PerSession(), PerSessionSettings())),
            comparator=Comparator(tolerance=16 * SECOND, window=60 * SECOND),
            outcomes=Outcomes(120 * SECOND, 60 * SECOND),
            observer=Fanout([self.brake]),
            start=0,
            guard=Guard(GuardSettings()),
        )
        self.touch = self.router.make_touch(lambda: self.now)
        cut_off = self._random.random(connections) < cut.share
        self.begins = MINUTE + int(self._random.integers(0, 15 * SECOND))
        self.ends = self.begins + cut.duration
        for user in range(connections):
            begin = int(self._random.integers(0, TALKS_EACH))
            self.at(begin, partial(self.open, user, cut_off=bool(cut_off[user])))
        self.at(MINUTE, self._minute)

    def _engage(self, reason: str, *, by_itself: bool) -> None:
        self.engaged = self.engaged or reason

    def at(self, time: Time, what: Callable[[], None]) -> None:
        heappush(self._events, (time, next(self._entry), what))

    def is_cut(self, client: _Client, at: Time) -> bool:
        return client.cut_off and self.begins <= at < self.ends

    def first_repeat(self, at: Time) -> Time:
        """When what was sent at `at`, within the cut, is sent again after the cut."""
        wait = SECOND // 5
        while at < self.ends:
            at, wait = at + wait, 2 * wait
        return at

    def open(self, user: int, *, cut_off: bool) -> None:
        before = self._opened.get(user)
        if before is not None and not before.gone:
            return
        client = self._opened[user] = _Client(self, user, cut_off=cut_off)
        name = f"c{user}-{self.now}"
        connection = Connection(name, Kind.APP, f"u{user}", f"s{user}", "com.example.app1")
        stage = Stage.LIVE if user % 2 else Stage.SHADOW
        client.tracked = self.router.open(connection, client, self.now, stage, placement=_PLACED)
        self.at(self.now + int(self._random.integers(0, TALKS_EACH)), client.talk)

    def _minute(self) -> None:
        users = [0, 0]
        for user, client in self._opened.items():
            users[user % 2] += not client.gone
        self.brake.on(
            Coverage(
                kind=Kind.APP,
                since=self.now - MINUTE,
                until=self.now,
                connected=0,
                control_acted=0,
                candidate_acted=0,
                watched=0,
                pings=0,
                heartbeat_interval=None,
                control_users=users[0],
                candidate_users=users[1],
            )
        )
        self.at(self.now + MINUTE, self._minute)

    def run(self, until: Time) -> None:
        """At equal times events come before timers."""
        events, router = self._events, self.router
        while True:
            due = router.next_wake
            if events and (due is None or events[0][0] <= due):
                if events[0][0] > until:
                    break
                self.now, _, what = heappop(events)
                what()
            elif due is not None and due <= until:
                self.now = max(self.now, due)
                router.step(self.now)
            else:
                break
        self.now = until

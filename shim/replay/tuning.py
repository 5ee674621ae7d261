"""Which timeout should the candidate have? One capture, replayed with several timeouts.

Nobody acts in these replays, so that each silence of the capture is seen to its end:

    a sign of life ended it     a decision in it would have closed a living connection
    the capture closed it       a decision in it would have found a dead connection
    the capture ended           nobody knows

The answer is about this capture. Where the control of the captured service closed a connection first,
nobody knows whether the client would have come to life; such a connection counts as dead.

Rules: docs/design.md#r14.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from shim.capture.format import CloseEvent, End, Event, Message, Pong
from shim.model import Cause, Duration, Role, Time, VerdictName, seconds
from shim.model.time import seconds_or_none
from shim.replay.replay_engine import Replay, ReplaySettings, feed_all
from shim.replay.result import ReplayResult
from shim.router import Decided, handles


@dataclass(slots=True)
class DecisionCount:
    """What became of the silences that one monitor decided on.

    Attributes:
        alive: connections that were alive, once for each silence.
        dead: connections that were dead, with the time from the last sign of life to the decision.
        unknown: connections that were silent until the end of the capture.
    """

    alive: int = 0
    unknown: int = 0
    dead: list[Duration] = field(default_factory=list)

    def delay(self, share: float) -> Duration | None:
        """The delay that this share of the dead connections did not exceed; None without any."""
        if not self.dead:
            return None
        if len(self.dead) == 1:
            return self.dead[0]
        return round(quantiles(self.dead, n=1000, method="inclusive")[round(share * 1000) - 1])


@dataclass(slots=True)
class TimeoutTrial:
    """What the capture says of one timeout of the candidate; durations in microseconds.

    Attributes:
        alive_alone: living connections that only the candidate would have closed.
        first_closed: ids of some of these connections, the earliest first.
        missed: connections that their peers closed, on which the control decided and the candidate not.
        cut_short: connections that the captured service's own monitor closed before the candidate had
            decided: nobody knows what would have become of them.
    """

    timeout: Duration
    candidate: DecisionCount = field(default_factory=DecisionCount)
    control: DecisionCount = field(default_factory=DecisionCount)
    alive_alone: int = 0
    first_closed: list[str] = field(default_factory=list)
    missed: int = 0
    cut_short: int = 0
    matched: int = 0
    mismatched: int = 0
    improvements: int = 0

    @property
    def agreement(self) -> float | None:
        """Matched among matched and mismatched episodes, improvements left out (R14)."""
        conclusive = self.matched + self.mismatched
        return self.matched / conclusive if conclusive else None

    @property
    def says_something(self) -> bool:
        """Whether the candidate decided on any silence."""
        count = self.candidate
        return bool(count.alive or count.dead or count.unknown)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; durations in seconds."""
        return {
            "timeout": seconds(self.timeout),
            "closes_living": self.candidate.alive,
            "closes_living_that_the_control_keeps": self.alive_alone,
            "connections": list(self.first_closed),
            "finds_dead": len(self.candidate.dead),
            "misses_dead": self.missed,
            "cut_short": self.cut_short,
            "unknown": self.candidate.unknown,
            "delay_median": seconds_or_none(self.candidate.delay(0.5)),
            "delay_95": seconds_or_none(self.candidate.delay(0.95)),
            "agreement": self.agreement,
            "matched": self.matched,
            "mismatched": self.mismatched,
            "improvements": self.improvements,
        }


_MONITORS = (Cause.CONTROL, Cause.CANDIDATE)

_MOST_NAMED = 20
"""Connections of a timeout that are named."""


@dataclass(slots=True)
class _Silence:
    """A silence that somebody has decided on."""

    began: Time
    decided: dict[Role, Time]


class _TuningResult(ReplayResult):
    """The result of a replay that passes decisions on."""

    def __init__(self, on_decided: Callable[[Decided], None]) -> None:
        super().__init__()
        self._on_decided = on_decided

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        super()._decided(decided)
        self._on_decided(decided)


class TimeoutReplay:
    """The capture with one timeout: feed it with all events, then ask for its `trial`.

    `settings` have the candidate with that timeout. `names` has the ids of connections that have other ids
    in the events (`LongSilences`).
    """

    def __init__(
        self, settings: ReplaySettings, timeout: Duration, names: Mapping[str, str] | None = None
    ) -> None:
        self.trial = TimeoutTrial(timeout)
        self._names = names or {}
        self._silences: dict[str, _Silence] = {}
        self._replay = Replay(settings, None, _TuningResult(self._on_decided))

    def feed(self, events: Iterable[Event]) -> None:
        """Raises CaptureError as `Replay.feed` does."""
        self._replay.feed(self._follow(events))

    def count_verdicts(self) -> None:
        """All events were fed: count what the two monitors made of each silence."""
        for verdict in self._replay.result.verdicts:
            improved = verdict.is_improvement
            self.trial.improvements += improved
            self.trial.matched += verdict.name is VerdictName.MATCHED
            self.trial.mismatched += verdict.name is VerdictName.MISMATCHED and not improved

    @property
    def ended(self) -> bool:
        """Whether the capture's end was read."""
        return self._replay.ended

    def _on_decided(self, decided: Decided) -> None:
        began = self._replay.last_activity(decided.connection.id)
        assert began is not None
        silence = self._silences.setdefault(decided.connection.id, _Silence(began, {}))
        silence.decided.setdefault(decided.role, decided.decision.at)

    def _follow(self, events: Iterable[Event]) -> Iterator[Event]:
        """Pass the events on, and look after each at the silences that it ended."""
        silences = self._silences
        for event in events:
            yield event
            # The replay has played the event, and the timers before it.
            if not silences:
                continue
            if isinstance(event, Message | Pong):
                if silence := silences.pop(event.connection, None):
                    self._end_alive(event.connection, silence)
            elif isinstance(event, CloseEvent):
                if silence := silences.pop(event.connection, None):
                    self._end_dead(silence, by_monitor=event.cause in _MONITORS)
            elif isinstance(event, End):
                for silence in silences.values():
                    self._count_unknown(silence)

    def _end_alive(self, connection: str, silence: _Silence) -> None:
        trial = self.trial
        trial.control.alive += Role.CONTROL in silence.decided
        if Role.CANDIDATE in silence.decided:
            trial.candidate.alive += 1
            if Role.CONTROL not in silence.decided:
                trial.alive_alone += 1
                if len(trial.first_closed) < _MOST_NAMED:
                    trial.first_closed.append(self._names.get(connection, connection))

    def _end_dead(self, silence: _Silence, *, by_monitor: bool) -> None:
        for role, count in (
            (Role.CONTROL, self.trial.control),
            (Role.CANDIDATE, self.trial.candidate),
        ):
            if (at := silence.decided.get(role)) is not None:
                count.dead.append(at - silence.began)
        if Role.CANDIDATE not in silence.decided:
            self.trial.cut_short += by_monitor
            self.trial.missed += not by_monitor

    def _count_unknown(self, silence: _Silence) -> None:
        self.trial.control.unknown += Role.CONTROL in silence.decided
        self.trial.candidate.unknown += Role.CANDIDATE in silence.decided


def feed_trials(replays: Sequence[TimeoutReplay], events: Iterable[Event]) -> None:
    """Play the capture to all of them in one pass. Raises CaptureError as `Replay.feed` does."""
    feed_all([replay.feed for replay in replays], events)
    for replay in replays:
        replay.count_verdicts()


def recommend(trials: Sequence[TimeoutTrial]) -> TimeoutTrial | None:
    """The shortest timeout that closes no living connection that the control keeps; None: none does."""
    harmless = [trial for trial in trials if not trial.alive_alone]
    return min(harmless, key=lambda trial: trial.timeout, default=None)

"""The long silences of a capture: all of it that a monitor with a timeout can decide about.

Most signs of life come soon after the one before. A capture without them is much shorter, and says the
same about each timeout that is not shorter than `shortest`:

    a silence that is long            its begin, its data and its end stay
    a silence that touches a stall    the same: the stall may make it longer
    long silences one after another   they stay together
    any other silence                 the connection is not open in it

A connection has another id in each part that stays; `names` has the connection's own.
"""

from collections.abc import Iterable, Iterator
from operator import itemgetter

import msgspec

from shim.capture.format import CloseEvent, Data, End, Event, Message, Open, Pong, Stall
from shim.model import SECOND, Duration

MOST_EVENTS = 200_000
"""If the long silences have more events, they are no short cut."""

_NOISE = 1e-5
"""Seconds; times are floats here."""


class _Silence:
    """The present silence of a connection.

    Attributes:
        opening: how the connection was opened.
        place, began: the number and the time of the event that began the silence.
        data: the data in it.
        name: the id of the part that stays and ends with `place`; None: there is no such part.
    """

    __slots__ = ("began", "data", "name", "opening", "place")

    def __init__(self, opening: Open, place: int) -> None:
        self.opening = opening
        self.place = place
        self.began = opening.t
        self.data: list[tuple[int, Data]] = []
        self.name: str | None = None


class LongSilences:
    """Listens to the events of a capture while they are played, and keeps the long silences."""

    def __init__(self, shortest: Duration) -> None:
        self.names: dict[str, str] = {}
        self._shortest = shortest / SECOND - _NOISE
        self._stall_ends = -1.0
        self._silences: dict[str, _Silence] = {}
        # Each with the number of the event, and whether it comes after that event.
        self._kept: list[tuple[int, bool, Event]] = []

    @property
    def events(self) -> list[Event] | None:
        """The kept events in the order of time; None: they are too many."""
        if len(self._kept) > MOST_EVENTS:
            return None
        return [event for _, _, event in sorted(self._kept, key=itemgetter(0, 1))]

    def follow(self, events: Iterable[Event]) -> Iterator[Event]:
        """Pass the events on, and look at each when it was played: then it is a possible one."""
        silences, shortest = self._silences, self._shortest
        numbered = enumerate(events)
        for place, event in numbered:
            yield event
            kind = type(event)
            if kind is Message or kind is Pong:
                silence = silences[event.connection]  # type: ignore[union-attr]
                if event.t - silence.began >= shortest or silence.began <= self._stall_ends:
                    self._keep(silence, place, event)
                    if len(self._kept) > MOST_EVENTS:
                        break
                elif silence.name is not None:
                    self._part_ends(silence)
                silence.place, silence.began = place, event.t
                if silence.data:
                    silence.data = []
            else:
                self._rare(place, event)
        for _, event in numbered:
            yield event

    def _rare(self, place: int, event: Event) -> None:
        if isinstance(event, Open):
            self._silences[event.connection] = _Silence(event, place)
        elif isinstance(event, Data):
            self._silences[event.connection].data.append((place, event))
        elif isinstance(event, CloseEvent):
            silence = self._silences.pop(event.connection)
            if self._is_long(silence, event.t):
                self._keep(silence, place, event)
            elif silence.name is not None:
                self._part_ends(silence)
        else:
            self._kept.append((place, False, event))
            if isinstance(event, Stall):
                self._stall_ends = max(self._stall_ends, event.t + event.duration)
            elif isinstance(event, End):
                self._end(place, event.t)

    def _is_long(self, silence: _Silence, end: float) -> bool:
        return end - silence.began >= self._shortest or silence.began <= self._stall_ends

    def _keep(self, silence: _Silence, place: int, event: Event) -> None:
        """Keep the silence that this event ends."""
        name = self._begin_part(silence)
        self._kept.append((place, False, msgspec.structs.replace(event, connection=name)))

    def _begin_part(self, silence: _Silence) -> str:
        """Keep the begin of the silence and its data; the id of the part that it belongs to."""
        if silence.name is None:
            opening = silence.opening
            silence.name = str(silence.place)
            self.names[silence.name] = opening.connection
            begin = msgspec.structs.replace(opening, t=silence.began, connection=silence.name)
            self._kept.append((silence.place, False, begin))
        for place, data in silence.data:
            kept = msgspec.structs.replace(data, connection=silence.name)
            self._kept.append((place, False, kept))
        return silence.name

    def _part_ends(self, silence: _Silence) -> None:
        """The silence that `place` begins does not stay."""
        assert silence.name is not None
        close = CloseEvent(t=silence.began, connection=silence.name)
        self._kept.append((silence.place, True, close))
        silence.name = None

    def _end(self, place: int, at: float) -> None:
        for silence in self._silences.values():
            if self._is_long(silence, at):
                self._begin_part(silence)

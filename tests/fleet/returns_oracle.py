"""What the fleet's outcomes have to be, computed from nothing but what the clients wrote down (R15, R24).

The client sees a little later what the server has done. So each moment is an interval: it lay somewhere in it,
whatever the machine was busy with. Where two intervals overlap nobody can say what came first: then every
answer is followed, and the outcomes of any of them are right. Such users are counted, and have to be few.

R15 as it is applied here, for one user with one app on all processes together:

action     the server ended a connection: at the earliest the timeout after the client's last sign of life
replaced   another connection, opened after that sign, is open at the time of the action
returned   an opening settles the oldest action that was before it and whose window (inclusive) is not over
lost       nothing settles the action
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from tests.fleet.roaming import Times
from tests.fleet.roaming_client import End, Stay

_MOST_DOUBTS = 12
_CLOCKS_WITHIN = 0.2
"""Seconds, near the end of a window: so exactly the fleet knows its processes' clocks."""

_LEAVING_TAKES = 1.0
"""Seconds until a process has seen that a client has cut its connection."""


class Moment(NamedTuple):
    """Something happened not before the first and not after the second of these times."""

    earliest: float
    latest: float

    def plus(self, seconds: float) -> "Moment":
        return Moment(self.earliest + seconds, self.latest + seconds)

    def widened(self, seconds: float) -> "Moment":
        return Moment(self.earliest - seconds, self.latest + seconds)


def later(one: Moment, other: Moment) -> Moment:
    """The later one of two moments."""
    return Moment(max(one.earliest, other.earliest), max(one.latest, other.latest))


@dataclass(frozen=True, slots=True, eq=False)
class ClientAction:
    """A timeout that was acted on, as the client knows it. `seen_at`: when the client saw it."""

    role: str
    acted: Moment
    last_sign: Moment
    window_end: Moment
    seen_at: float
    stay: Stay


@dataclass(frozen=True, slots=True, eq=False)
class ClientOpening:
    """A connection's beginning; `closed` None: it is open to the end."""

    opened: Moment
    closed: Moment | None
    stay: Stay


class Expected(NamedTuple):
    """An action and what has to be its result; for a return also the opening that settled it."""

    action: ClientAction
    result: str
    opening: ClientOpening | None = None


class Doubts:
    """Answers what came first; where that is not known, as a row of answers says that is tried out."""

    def __init__(self, answers: Sequence[bool]) -> None:
        self._answers = answers
        self._given: dict[tuple[Moment, Moment], bool] = {}

    def before(self, one: Moment, other: Moment) -> bool:
        if one.latest <= other.earliest:
            return True
        if other.latest < one.earliest:
            return False
        number = len(self._given)
        if (one, other) not in self._given:
            self._given[one, other] = number < len(self._answers) and self._answers[number]
        return self._given[one, other]

    @property
    def count(self) -> int:
        return len(self._given)


def possible_outcomes(stays: Sequence[Stay], times: Times) -> list[list[Expected]]:
    """What may come out for one user; one list where the clients' log leaves no doubt."""
    actions = [action for stay in stays if (action := _read_action(stay, times)) is not None]
    openings = [_read_opening(stay) for stay in stays]
    found: list[list[Expected]] = []
    open_ends: list[tuple[bool, ...]] = [()]
    while open_ends:
        answers = open_ends.pop()
        doubts = Doubts(answers)
        found.append(_outcomes(actions, openings, doubts.before))
        if doubts.count > _MOST_DOUBTS:
            raise ValueError(f"{stays[0].user}: nobody can say what happened first, {stays}")
        # Each question beyond the answers was answered with no: yes is tried out, too.
        for number in range(len(answers), doubts.count):
            open_ends.append((*answers, *[False] * (number - len(answers)), True))
    return found


def _outcomes(
    actions: Sequence[ClientAction],
    openings: Sequence[ClientOpening],
    before: Callable[[Moment, Moment], bool],
) -> list[Expected]:
    outcomes = []
    waiting: list[ClientAction] = []
    for action in actions:
        if any(_replaces(opening, action, before) for opening in openings):
            outcomes.append(Expected(action, "replaced"))
        else:
            place = len(waiting)
            while place and before(action.acted, waiting[place - 1].acted):
                place -= 1
            waiting.insert(place, action)
    for opening in sorted(openings, key=lambda each: each.opened):
        for action in waiting:
            if before(action.acted, opening.opened) and before(
                opening.opened.widened(_CLOCKS_WITHIN), action.window_end
            ):
                waiting.remove(action)
                outcomes.append(Expected(action, "returned", opening))
                break
    return [*outcomes, *(Expected(action, "lost") for action in waiting)]


def _replaces(
    opening: ClientOpening, action: ClientAction, before: Callable[[Moment, Moment], bool]
) -> bool:
    return (
        opening.stay is not action.stay
        and before(action.last_sign, opening.opened)
        and before(opening.opened, action.acted)
        and (opening.closed is None or before(action.acted, opening.closed))
    )


def _read_action(stay: Stay, times: Times) -> ClientAction | None:
    """The action that ended a connection; None: the connection ended otherwise, or is still there."""
    if stay.end not in (End.TIMED_OUT, End.CUT):
        return None
    assert stay.ended_at is not None
    seen = stay.ended_at
    # What was sent later than this was not heard in time.
    heard = max((sign for sign in stay.signs if sign <= seen - times.timeout), default=None)
    if heard is None:
        raise ValueError(f"{stay.user}: closed within less than the timeout: {stay}")
    acted = Moment(heard + times.timeout, seen)
    last_sign = Moment(heard, seen - times.timeout)
    control_acts = last_sign.plus(times.timeout + times.interval)
    return ClientAction(
        role="candidate" if stay.end is End.TIMED_OUT else "control",
        acted=acted,
        last_sign=last_sign,
        window_end=later(acted, control_acts).plus(times.window),
        seen_at=seen,
        stay=stay,
    )


def _read_opening(stay: Stay) -> ClientOpening:
    assert stay.open_at is not None
    opened, closed = Moment(stay.asked_at, stay.open_at), None
    if stay.ended_at is not None:
        gone = max(stay.gone_at or 0.0, stay.ended_at + _LEAVING_TAKES)
        left = stay.end is End.LEFT
        closed = Moment(stay.ended_at, gone) if left else Moment(stay.signs[-1], stay.ended_at)
    return ClientOpening(opened, closed, stay)


# -- Against the store --------------------------------------------------------------------------------


class StoredOutcome(NamedTuple):
    """An action as the store has it, by its clock in seconds; `result` None: nothing was concluded."""

    role: str
    acted_at: float
    result: str | None
    delay: float | None


Pairs: TypeAlias = list[tuple[Expected, StoredOutcome]]


def match(expected: Sequence[Expected], found: Sequence[StoredOutcome]) -> Pairs | None:
    """Give each expected outcome one of the store's; None: there is no way to do so."""
    if len(expected) != len(found):
        return None
    if not expected:
        return []
    first, *others = expected
    for place, row in enumerate(found):
        if _is_same(first, row):
            rest = match(others, [*found[:place], *found[place + 1 :]])
            if rest is not None:
                return [(first, row), *rest]
    return None


def _is_same(expected: Expected, row: StoredOutcome) -> bool:
    action, opening = expected.action, expected.opening
    if (row.role, row.result) != (action.role, expected.result):
        return False
    if not _lies_in(row.acted_at, action.acted):
        return False
    if opening is None or row.delay is None:
        return (opening is None) == (row.delay is None)
    least = opening.opened.earliest - action.acted.latest
    return _lies_in(row.delay, Moment(least, opening.opened.latest - action.acted.earliest))


def _lies_in(time: float, moment: Moment) -> bool:
    wide = moment.widened(_CLOCKS_WITHIN)
    return wide.earliest <= time <= wide.latest

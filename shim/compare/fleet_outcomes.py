"""The outcomes of a fleet: a client that comes back to another process has come back (R24: docs/design.md#r24).

One process sees actions and openings in the order of time (`shim/compare/outcomes.py`). In a fleet they become
known in any order. So nothing is concluded before it is known to be complete: `known_until` is a time up to
which every process has told what it found out. Up to there the facts of one identity are gone through in the
order of time, by the same rules (R15: docs/design.md#r15), whenever and in whatever order they became known:

action     another connection of the identity, opened after the dead one's last sign of life, is open then:
           replaced, which uses nothing up; otherwise the action waits until its window ends
opening    settles the oldest action that waits: returned; one opening settles one action
window     passed: lost; or censored, if a process that lived within it cannot tell any more

At equal times openings come first, then actions, each in the order of their keys.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from shim.model import Duration, Return, Time

FactKey: TypeAlias = tuple[str, str]
"""Names one fact of the fleet: the run of its process, and the connection there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetAction:
    """A timeout that was acted on, and whose outcome is not concluded. Times are by one clock.

    `last_activity` is the dead connection's last sign of life, `window_ends` the last moment for a return.
    """

    key: FactKey
    acted_at: Time
    last_activity: Time
    window_ends: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOpening:
    """A connection of the identity. `closed_at` None: still open when its process last told of it.

    `used` says that the opening has settled an action already.
    """

    key: FactKey
    opened_at: Time
    closed_at: Time | None = None
    used: bool = False

    def replaces(self, action: FleetAction) -> bool:
        """Whether the client had come back before its old connection was acted on."""
        return action.last_activity < self.opened_at <= action.acted_at and (
            self.closed_at is None or self.closed_at > action.acted_at
        )


class Unknown(NamedTuple):
    """A time in which a process lived that can no longer tell what it saw; both ends belong to it."""

    since: Time
    until: Time


class Conclusion(NamedTuple):
    """What became of an action: the result, when that was certain, and for a return its delay and opening."""

    action: FleetAction
    result: Return
    at: Time
    delay: Duration | None = None
    opening: FleetOpening | None = None


def conclude(
    actions: Iterable[FleetAction],
    openings: Iterable[FleetOpening],
    known_until: Time,
    unknown: Sequence[Unknown] = (),
) -> Iterator[Conclusion]:
    """What is certain about these actions of one identity, in the order of time.

    `openings` are all of the identity that may matter to the actions, also used ones. Actions without a
    conclusion wait. A later call with a later `known_until` goes on: with the actions that are left, and with
    the openings of these conclusions marked as used.
    """
    known = [action for action in actions if action.acted_at <= known_until]
    connections = list(openings)
    facts: list[tuple[Time, int, FactKey, FleetAction | FleetOpening]] = [
        (action.acted_at, 1, action.key, action) for action in known
    ]
    facts += [
        (opening.opened_at, 0, opening.key, opening)
        for opening in connections
        if not opening.used and opening.opened_at <= known_until
    ]
    waiting: list[FleetAction] = []
    for at, _, _, fact in sorted(facts, key=lambda each: each[:3]):
        yield from _end_windows(waiting, at, unknown)
        if isinstance(fact, FleetAction):
            if any(one.replaces(fact) and one.key != fact.key for one in connections):
                yield Conclusion(fact, Return.REPLACED, at)
            else:
                waiting.append(fact)
        elif waiting:
            action = waiting.pop(0)
            yield Conclusion(
                action=action,
                result=Return.RETURNED,
                at=at,
                delay=at - action.acted_at,
                opening=fact,
            )
    yield from _end_windows(waiting, known_until, unknown)


def _end_windows(
    waiting: list[FleetAction], now: Time, unknown: Sequence[Unknown]
) -> Iterator[Conclusion]:
    """Conclude the actions whose window (inclusive) has passed before `now`."""
    ended = [action for action in waiting if action.window_ends < now]
    waiting[:] = [action for action in waiting if action.window_ends >= now]
    for action in sorted(ended, key=lambda action: action.window_ends):
        blind = any(
            time.since <= action.window_ends and time.until >= action.last_activity
            for time in unknown
        )
        result = Return.CENSORED if blind else Return.LOST
        yield Conclusion(action, result, action.window_ends + 1)

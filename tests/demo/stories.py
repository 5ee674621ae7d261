"""Stories as they have to be, for tests to spoil."""

from collections.abc import Callable

from shim.demo.scenario import FACTOR, HEARTBEAT, TIMEOUT, Behaviour, Client
from shim.demo.story import ABNORMAL, LEFT, Story
from shim.model import (
    Kind,
    Return,
    Role,
    Stage,
    VerdictKind,
    VerdictName,
    from_seconds,
)

MATCHED = (VerdictName.MATCHED, VerdictKind.BOTH, False)
FALSE_KILL = (VerdictName.MISMATCHED, VerdictKind.ONLY_CANDIDATE, True)
SKEWED = (VerdictName.MISMATCHED, VerdictKind.SKEWED, False)
TIMED_OUT = from_seconds(TIMEOUT / FACTOR)
SWEPT = from_seconds((TIMEOUT + HEARTBEAT / 2) / FACTOR)


def good(behaviour: Behaviour, stage: Stage, number: int = 1) -> Story:
    """A client to whom everything happened that had to."""
    client = Client(f"{behaviour}-{stage}-{number}@example.com", Kind.APP, behaviour, stage)
    story = Story(client, opened=1)
    _PLOTS[behaviour](story, stage.acting)
    if stage not in (Stage.SHADOW, Stage.LIVE):
        story.verdicts.clear()
    return story


def everyone() -> list[Story]:
    return [
        good(behaviour, stage, number)
        for behaviour in Behaviour
        for stage in Stage
        for number in (1, 2)
    ]


def close(story: Story, role: Role, times: int) -> None:
    story.decided[role] += times
    story.acted[role] += times
    story.silences += [(role, SWEPT if role is Role.CONTROL else TIMED_OUT)] * times
    story.endings[ABNORMAL if role is Role.CONTROL else "1001"] += times
    story.verdicts[MATCHED] += times


def _healthy(story: Story, role: Role) -> None:
    pass


def _frozen(story: Story, role: Role) -> None:
    close(story, role, 1)
    story.outcomes[role, Return.LOST] += 1


def _returning(story: Story, role: Role) -> None:
    close(story, role, 3)
    story.opened, story.back = 4, 3
    story.outcomes[role, Return.RETURNED] += 3


def _silent(story: Story, role: Role) -> None:
    _returning(story, role)
    if role is Role.CANDIDATE:
        story.proofs[role] += 3
    else:
        story.survived = 2
        story.verdicts[FALSE_KILL] += 2


def _flapping(story: Story, role: Role) -> None:
    story.opened = 5
    story.endings[LEFT] = 4


def _sdk(story: Story, role: Role) -> None:
    if role is Role.CONTROL:
        _returning(story, role)
    else:
        _frozen(story, role)
        story.away = True


_PLOTS: dict[Behaviour, Callable[[Story, Role], None]] = {
    Behaviour.HEALTHY: _healthy,
    Behaviour.FROZEN: _frozen,
    Behaviour.SILENT: _silent,
    Behaviour.DROPPED: _returning,
    Behaviour.FLAPPING: _flapping,
    Behaviour.SDK: _sdk,
}

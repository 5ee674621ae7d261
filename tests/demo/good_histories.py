"""Histories as they have to be, for tests to spoil."""

from collections.abc import Callable

from shim.demo.client_history import ABNORMAL, LEFT, ClientHistory
from shim.demo.demo_clients import HEARTBEAT, TIMEOUT, ClientBehaviour
from shim.demo.demo_settings import FACTOR
from shim.model import Kind, Return, Role, Stage, VerdictKind, VerdictName, from_seconds
from tests.demo.matrix import BEHAVIOURS, PlacedClient

MATCHED = (VerdictName.MATCHED, VerdictKind.BOTH, False)
FALSE_KILL = (VerdictName.MISMATCHED, VerdictKind.ONLY_CANDIDATE, True)
SKEWED = (VerdictName.MISMATCHED, VerdictKind.SKEWED, False)
TIMED_OUT = from_seconds(TIMEOUT / FACTOR)
SWEPT = from_seconds((TIMEOUT + HEARTBEAT / 2) / FACTOR)


def good(behaviour: ClientBehaviour, stage: Stage, number: int = 1) -> ClientHistory:
    """A client to whom everything happened that had to."""
    client = PlacedClient(f"{behaviour}-{stage}-{number}@example.com", Kind.APP, behaviour, stage)
    history = ClientHistory(client, opened=1)
    _HISTORIES[behaviour](history, stage.acting)
    if stage not in (Stage.SHADOW, Stage.LIVE):
        history.verdicts.clear()
    return history


def everyone() -> list[ClientHistory]:
    return [
        good(behaviour, stage, number)
        for behaviour in BEHAVIOURS
        for stage in Stage
        for number in (1, 2)
    ]


def close(history: ClientHistory, role: Role, times: int) -> None:
    history.decided[role] += times
    history.acted[role] += times
    history.silences += [(role, SWEPT if role is Role.CONTROL else TIMED_OUT)] * times
    history.endings[ABNORMAL if role is Role.CONTROL else "1001"] += times
    history.verdicts[MATCHED] += times


def _healthy(history: ClientHistory, role: Role) -> None:
    pass


def _frozen(history: ClientHistory, role: Role) -> None:
    close(history, role, 1)
    history.outcomes[role, Return.LOST] += 1


def _returning(history: ClientHistory, role: Role) -> None:
    close(history, role, 3)
    history.opened, history.back_after[ABNORMAL] = 4, 3
    history.outcomes[role, Return.RETURNED] += 3


def _silent(history: ClientHistory, role: Role) -> None:
    _returning(history, role)
    if role is Role.CANDIDATE:
        history.proofs[role] += 3
    else:
        history.survived = 2
        history.verdicts[FALSE_KILL] += 2


def _flapping(history: ClientHistory, role: Role) -> None:
    history.opened = 5
    history.endings[LEFT] = 4


def _sdk(history: ClientHistory, role: Role) -> None:
    if role is Role.CONTROL:
        _returning(history, role)
    else:
        _frozen(history, role)
        history.away = True


_HISTORIES: dict[ClientBehaviour, Callable[[ClientHistory, Role], None]] = {
    ClientBehaviour.HEALTHY: _healthy,
    ClientBehaviour.FROZEN: _frozen,
    ClientBehaviour.SILENT: _silent,
    ClientBehaviour.DROPPED: _returning,
    ClientBehaviour.FLAPPING: _flapping,
    ClientBehaviour.SDK: _sdk,
}

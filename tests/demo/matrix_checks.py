"""What has to happen to clients of every behaviour at every stage, as data, and whether it did."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from shim.demo.client_history import ABNORMAL, LEFT, OPEN, ClientHistory
from shim.demo.demo_clients import HEARTBEAT, TIMEOUT, ClientBehaviour
from shim.model import Return, Role, Stage, VerdictKind, VerdictName, from_seconds, seconds
from tests.demo.matrix import PlacedClient

_LAG = 1.0
"""Seconds of this machine by which a sweep may be late on a busy day."""

_MOST_SURVIVORS = 0.2
"""The share of silences over 50 s that the candidate may miss, because its process had to wait."""

_MOST_SURVIVORS_AFTER_PAUSES = 0.5
"""The same where the server paused: that moves the candidate's deadlines (R3)."""


@dataclass(frozen=True, slots=True)
class Cell:
    """All clients of one behaviour at one stage, and what is known of the whole run."""

    behaviour: ClientBehaviour
    stage: Stage
    histories: Sequence[ClientHistory]
    factor: float
    pauses: int

    def total(self, count: Callable[[ClientHistory], int]) -> int:
        return sum(map(count, self.histories))

    @property
    def most_survivors(self) -> float:
        return _MOST_SURVIVORS_AFTER_PAUSES if self.pauses else _MOST_SURVIVORS


def stage_of(history: ClientHistory) -> Stage:
    assert isinstance(history.client, PlacedClient)
    return history.client.stage


def count_back(history: ClientHistory) -> int:
    """How many connections followed one that the server had ended."""
    return history.back_after.total()


def count_closed(history: ClientHistory) -> int:
    """How many connections ended, but not because the client left."""
    return history.endings.total() - history.endings[LEFT] - history.endings[OPEN]


Objection = str | None
"""What speaks against an expectation; None: it is met."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What had to happen, in a few words, and what speaks against it."""

    text: str
    objection: Callable[[Cell], Objection]


def _each(text: str, holds: Callable[[ClientHistory], bool]) -> Expectation:
    """Something that is true of every single client."""

    def objection(cell: Cell) -> Objection:
        wrong = [history.client.user for history in cell.histories if not holds(history)]
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return f"not so: {wrong[0]}{more}" if wrong else None

    return Expectation(text, objection)


def _never_judged(history: ClientHistory) -> bool:
    return not history.decided and not set(history.endings) - {LEFT}


def _only(history: ClientHistory, how: str) -> bool:
    """Its connections ended in this way and no other, at least once."""
    return set(history.endings) == {how}


def _closed_by(role: Role, how: str) -> Expectation:
    def holds(history: ClientHistory) -> bool:
        acted = history.acted[role]
        # At most one closing has not been felt yet.
        return (
            set(history.acted) == {role}
            and _only(history, how)
            and count_closed(history) <= acted <= count_closed(history) + 1
        )

    return _each(f"{role} closes ({how})", holds)


def _once(history: ClientHistory) -> bool:
    return history.acted.total() == 1 and history.opened == 1


def _stayed_away(history: ClientHistory) -> bool:
    returned = sum(n for (_, result), n in history.outcomes.items() if result is Return.RETURNED)
    lost = sum(n for (_, result), n in history.outcomes.items() if result is Return.LOST)
    return history.away and history.opened == 1 and lost == 1 and not returned


def _came_back(history: ClientHistory) -> bool:
    """After every closing, but for a last one from which it is on its way."""
    lost = sum(n for (_, result), n in history.outcomes.items() if result is Return.LOST)
    return (
        count_back(history) >= max(1, count_closed(history) - 1) and not history.away and not lost
    )


def _sweeps(cell: Cell) -> Objection:
    """The control closes at the sweep after the timeout: up to an interval late."""
    timeout = from_seconds(TIMEOUT / cell.factor)
    latest = from_seconds((TIMEOUT + HEARTBEAT) / cell.factor + _LAG)
    silences = [
        s for history in cell.histories for role, s in history.silences if role is Role.CONTROL
    ]
    if not silences:
        return "it closed nobody"
    if min(silences) <= timeout:
        return f"closed after {seconds(min(silences)):.2f} s already"
    if max(silences) > latest:
        return f"closed after {seconds(max(silences)):.2f} s only"
    return None


def _deadlines(cell: Cell) -> Objection:
    """The candidate closes at the timeout itself."""
    timeout = from_seconds(TIMEOUT / cell.factor)
    soon = timeout + from_seconds(HEARTBEAT / cell.factor / 3)
    silences = [
        s for history in cell.histories for role, s in history.silences if role is Role.CANDIDATE
    ]
    if not silences:
        return "it closed nobody"
    if min(silences) < timeout:
        return f"closed after {seconds(min(silences)):.2f} s already"
    if median(silences) > soon:
        return f"half of them closed after more than {seconds(soon):.2f} s"
    return None


def _verdicts(cell: Cell) -> Counter[tuple[VerdictName, VerdictKind, bool]]:
    total: Counter[tuple[VerdictName, VerdictKind, bool]] = Counter()
    for history in cell.histories:
        total += history.verdicts
    return total


_MATCHED = (VerdictName.MATCHED, VerdictKind.BOTH, False)
_FALSE_KILL = (VerdictName.MISMATCHED, VerdictKind.ONLY_CANDIDATE, True)
_LATER = {
    (VerdictName.MISMATCHED, VerdictKind.SKEWED, False),
    (VerdictName.MISMATCHED, VerdictKind.ONLY_CONTROL, True),
}
"""What a candidate's moved deadline may lead to."""


def _monitors_agree(cell: Cell) -> Objection:
    """There are verdicts, and they match; a pause of the server moves the deadlines (R3)."""
    verdicts = _verdicts(cell)
    wrong = set(verdicts) - {_MATCHED}
    if cell.pauses:
        wrong -= _LATER
    if not verdicts[_MATCHED]:
        return "no verdict"
    if wrong:
        name, kind, recovered = next(iter(wrong))
        return f"{name}: {kind}" + (", recovered" if recovered else "")
    return None


def _none_compared(cell: Cell) -> Objection:
    verdicts = _verdicts(cell)
    return f"{verdicts.total()} verdicts where one monitor runs" if verdicts else None


def _survivors(cell: Cell) -> Objection:
    return None if cell.total(lambda s: s.survived) else "the control closed every one"


def _false_kills(cell: Cell) -> Objection:
    """One for each silence that the clients survived, or nearly: one verdict per silence (R9)."""
    seen, survived = _verdicts(cell)[_FALSE_KILL], cell.total(lambda history: history.survived)
    if not seen:
        return "no verdict of this kind"
    if seen > survived + len(cell.histories):  # each may have one that it has not told of yet
        return f"{seen} verdicts, but only {survived} silences survived"
    if seen < survived * (1 - cell.most_survivors):
        return f"{seen} verdicts for {survived} silences survived"
    return None


def _few_survivors(cell: Cell) -> Objection:
    survived, closed = cell.total(lambda s: s.survived), cell.total(count_closed)
    if survived > (survived + closed) * cell.most_survivors:
        return f"{survived} of {survived + closed} silences survived"
    return None


def _proofs_of_life(cell: Cell) -> Objection:
    """They answer the close; a client without a closing felt has given no proof yet."""
    proofs = cell.total(lambda history: history.proofs[Role.CANDIDATE])
    closed = cell.total(count_closed)
    enough = 0 < proofs >= closed * (1 - cell.most_survivors)
    return None if enough else f"{proofs} of {closed} closings"


CONNECTED = _each(
    "connected, without an error",
    lambda s: s.opened > 0 and not s.errors and not set(s.cut_short) - {LEFT},
)
LEFT_ALONE = _each("left alone", _never_judged)
KEPT = _each("one connection throughout", lambda history: history.opened == 1)
COMES_AND_GOES = _each(
    "come and go", lambda history: history.endings[LEFT] >= 2 and history.opened >= 3
)
ONCE = _each("once", _once)
AT_THE_SWEEP = Expectation("at a sweep", _sweeps)
AT_THE_DEADLINE = Expectation("at the deadline", _deadlines)
BY_CONTROL = _closed_by(Role.CONTROL, ABNORMAL)
BY_CANDIDATE = _closed_by(Role.CANDIDATE, "1001")
DEAD = _each("no proof of life", lambda history: not history.proofs.total())
STAYS_AWAY = _each("stay away", _stayed_away)
COMES_BACK = _each("come back", _came_back)
AGREE = Expectation("monitors agree", _monitors_agree)
NOT_COMPARED = Expectation("one monitor, no verdict", _none_compared)
SILENT_CLOSED_BY_CONTROL = _each(
    "others swept, and come back",
    lambda s: (
        not set(s.acted) - {Role.CONTROL}
        and not set(s.endings) - {ABNORMAL}
        and s.survived + count_closed(s) > 0
        and count_back(s) >= count_closed(s) - 1
    ),
)
SOME_SURVIVE = Expectation("some survive", _survivors)
FALSE_KILLS = Expectation("candidate would have closed those", _false_kills)
FEW_SURVIVE = Expectation("hardly one survives", _few_survivors)
ALIVE = Expectation("proof of life", _proofs_of_life)


def _stages(
    off: Iterable[Expectation], live: Iterable[Expectation]
) -> Mapping[Stage, tuple[Expectation, ...]]:
    """For clients that really are gone: by who acts; at `shadow` and `live` both agree besides."""
    off, live = (CONNECTED, *off, DEAD), (CONNECTED, *live, DEAD)
    return {
        Stage.OFF: (*off, NOT_COMPARED),
        Stage.SHADOW: (*off, AGREE),
        Stage.LIVE: (*live, AGREE),
        Stage.COMPLETE: (*live, NOT_COMPARED),
    }


EXPECTED: Mapping[ClientBehaviour, Mapping[Stage, tuple[Expectation, ...]]] = {
    ClientBehaviour.HEALTHY: dict.fromkeys(Stage, (CONNECTED, KEPT, LEFT_ALONE)),
    ClientBehaviour.FROZEN: _stages(
        off=(ONCE, BY_CONTROL, AT_THE_SWEEP), live=(ONCE, BY_CANDIDATE, AT_THE_DEADLINE)
    ),
    ClientBehaviour.SILENT: {
        Stage.OFF: (CONNECTED, SOME_SURVIVE, SILENT_CLOSED_BY_CONTROL, NOT_COMPARED),
        Stage.SHADOW: (CONNECTED, SOME_SURVIVE, SILENT_CLOSED_BY_CONTROL, FALSE_KILLS),
        Stage.LIVE: (CONNECTED, BY_CANDIDATE, FEW_SURVIVE, ALIVE, COMES_BACK, AGREE),
        Stage.COMPLETE: (CONNECTED, BY_CANDIDATE, FEW_SURVIVE, ALIVE, COMES_BACK, NOT_COMPARED),
    },
    ClientBehaviour.DROPPED: _stages(
        off=(BY_CONTROL, AT_THE_SWEEP, COMES_BACK), live=(BY_CANDIDATE, AT_THE_DEADLINE, COMES_BACK)
    ),
    ClientBehaviour.FLAPPING: dict.fromkeys(Stage, (CONNECTED, COMES_AND_GOES, LEFT_ALONE)),
    ClientBehaviour.SDK: _stages(
        off=(BY_CONTROL, AT_THE_SWEEP, COMES_BACK), live=(BY_CANDIDATE, ONCE, STAYS_AWAY)
    ),
}


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the summary."""

    cell: Cell
    clients: int
    wanted: str
    happened: str
    objections: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.objections


def judge(histories: Sequence[ClientHistory], factor: float, pauses: int) -> list[Result]:
    """Every behaviour at every stage; one without clients has failed, too."""
    results = []
    for behaviour, by_stage in EXPECTED.items():
        for stage, expectations in by_stage.items():
            clients = [
                history
                for history in histories
                if history.client.behaviour is behaviour and stage_of(history) is stage
            ]
            results.append(_result(Cell(behaviour, stage, clients, factor, pauses), expectations))
    return results


def _result(cell: Cell, expectations: Sequence[Expectation]) -> Result:
    objections = [] if cell.histories else ["there was no such client"]
    for expectation in expectations if cell.histories else ():
        if (objection := expectation.objection(cell)) is not None:
            objections.append(f"{expectation.text}: {objection}")
    wanted = "; ".join(e.text for e in expectations if e not in (CONNECTED, DEAD, NOT_COMPARED))
    return Result(cell, len(cell.histories), wanted, _happened(cell), tuple(objections))


def _happened(cell: Cell) -> str:
    """The figures of one cell in words."""
    endings: Counter[str] = Counter()
    for history in cell.histories:
        endings += history.endings
    parts = [f"{count} x {'still open' if how == OPEN else how}" for how, count in endings.items()]
    for text, count in (
        ("survived", cell.total(lambda s: s.survived)),
        ("back", cell.total(count_back)),
        ("away", cell.total(lambda s: s.away)),
        ("proofs of life", cell.total(lambda s: s.proofs.total())),
    ):
        if count:
            parts.append(f"{count} {text}")
    for (_, kind, recovered), count in _verdicts(cell).items():
        parts.append(f"{count} {kind}" + (", recovered" if recovered else ""))
    return "; ".join(parts) or "stayed connected"


@dataclass(frozen=True, slots=True)
class Totals:
    """What the server did to everyone, by the histories at one moment."""

    acted: Mapping[Role, int]
    false_kills: int

    @classmethod
    def of(cls, histories: Sequence[ClientHistory]) -> "Totals":
        return cls(
            {role: sum(history.acted[role] for history in histories) for role in Role},
            sum(history.verdicts[_FALSE_KILL] for history in histories),
        )


def judge_report(report: Mapping[str, Any], before: Totals, after: Totals) -> list[str]:
    """What the server's own report says, against the histories before and after it; the objections."""
    objections = []
    for role in Role:
        said = report["decisions"][role.value]["acted"]
        if not before.acted[role] <= said <= after.acted[role]:
            objections.append(
                f"/api/report: the {role} acted {said} times, seen were {after.acted[role]}"
            )
    for role, failures in report["failures"].items():
        if failures:
            objections.append(f"the {role} failed {failures} times")
    if report["brake"]:
        objections.append(f"the brake is engaged: {report['brake']}")
    if report["kinds"].get("only_candidate", 0) < max(1, before.false_kills):
        objections.append("/api/report does not show the candidate's false kills")
    return objections

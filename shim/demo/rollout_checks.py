"""What decides whether the demo's rollout went as it has to: a short list, by the clients and the observers.

Rules: docs/design.md#r3.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shim.demo.client_history import (
    ABNORMAL,
    LEFT,
    RESTARTED,
    ClientHistories,
    ClientHistory,
    CodeFigures,
)
from shim.demo.demo_clients import ClientBehaviour
from shim.demo.demo_settings import BETTER_CODE, PRESCRIBED_CODE
from shim.demo.step_taker import RolloutStep, StepProgress
from shim.ledger.rows import BrakeRow
from shim.model import VerdictKind, VerdictName


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """All that is known of a rollout. `brakes` are the ledger's rows, oldest first; `pauses` counts the
    times when the server did not run (R3); `gate` is the gate's answer, `errors` are unexpected ones."""

    steps: Sequence[RolloutStep[Any]]
    progress: Sequence[StepProgress]
    histories: ClientHistories
    brakes: Sequence[BrakeRow]
    pauses: int
    gate: str
    errors: Sequence[str]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What had to happen, what did, and whether it is good."""

    wanted: str
    happened: str
    ok: bool

    def __str__(self) -> str:
        return f"{'ok' if self.ok else 'FAILED':6}  {self.wanted}  ->  {self.happened}"


def check_rollout(record: RolloutRecord) -> list[CheckResult]:
    """The decisive checks. If nothing has happened, all of them fail but the one about errors."""
    return [
        check_steps(record.steps, record.progress),
        _agreement(record),
        *_codes(record.histories.sdk_apps),
        _brake(record.brakes),
        _healthy(record.histories.all),
        CheckResult(
            "the gate does not let the control be removed yet",
            record.gate,
            record.gate.startswith("insufficient"),
        ),
        check_errors([*record.histories.failures, *record.errors]),
    ]


def check_steps(steps: Sequence[RolloutStep[Any]], progress: Sequence[StepProgress]) -> CheckResult:
    """Each step has reached its goal."""
    reached = sum(each.took is not None for each in progress)
    happened = f"{reached} of {len(steps)}"
    if reached < len(steps):
        happened += f"; not reached: {steps[reached].title}"
    return CheckResult("each step reaches its goal", happened, reached == len(steps) > 0)


def check_errors(errors: Sequence[str]) -> CheckResult:
    """Whether the log has errors that are no part of the story."""
    happened = f"{len(errors)}: {errors[0]}" if errors else "none"
    return CheckResult("no unexpected errors", happened, not errors)


def _agreement(record: RolloutRecord) -> CheckResult:
    """A pause of the server may move the candidate's deadlines (R3)."""
    matched = record.histories.total(VerdictName.MATCHED)
    later = (VerdictKind.SKEWED, VerdictKind.ONLY_CONTROL)
    wrong = sum(
        count
        for history in record.histories.all
        for (name, kind, _), count in history.verdicts.items()
        if name is VerdictName.MISMATCHED and not (record.pauses and kind in later)
    )
    return CheckResult(
        "both monitors decide alike",
        f"{matched} timeouts matched, {wrong} mismatched",
        matched > 0 and not wrong,
    )


def _codes(apps: Sequence[ClientHistory]) -> Iterator[CheckResult]:
    """An app whose last connection has just ended may be about to connect again."""
    for how, name, comes_back in (
        (ABNORMAL, "the control terminated (1006)", True),
        (str(PRESCRIBED_CODE), f"the candidate closed with {PRESCRIBED_CODE}", False),
        (str(BETTER_CODE), f"the candidate closed with {BETTER_CODE}", True),
    ):
        figures = CodeFigures.of(apps, how)
        wanted = f"apps that {name} {'come back' if comes_back else 'stay away'}"
        happened = f"{figures.back} of {figures.ended} came back, {figures.away} stayed away"
        if comes_back:
            on_their_way = sum(app.is_away_after(how) for app in apps)
            ok = figures.back > 0 and not figures.away
            ok = ok and figures.back + on_their_way == figures.ended
            if on_their_way:
                happened = happened.replace(",", f", {on_their_way} not yet,")
        else:
            ok = figures.away == figures.ended > 0
        yield CheckResult(wanted, happened, ok)


def _brake(brakes: Sequence[BrakeRow]) -> CheckResult:
    """The brake engages by itself, because of the return rate, and not again after the release."""
    engaged = [row for row in brakes if row.engaged]
    ok = (
        len(engaged) == 1
        and "came back after the candidate's closing" in engaged[0].reason
        and not brakes[-1].engaged
    )
    happened = engaged[0].reason if engaged else "the brake did not engage"
    if len(engaged) > 1:
        happened = f"{len(engaged)} times, first: {happened}"
    return CheckResult("the brake engages once", happened, ok)


def _healthy(histories: Sequence[ClientHistory]) -> CheckResult:
    """A client that answers pings loses its connection in the restart alone."""
    hurt = [
        history.client.user for history in histories if set(history.cut_short) - {LEFT, RESTARTED}
    ]
    healthy = [h for h in histories if h.client.behaviour is ClientBehaviour.HEALTHY]
    hurt += [h.client.user for h in healthy if h.decided or set(h.endings) - {RESTARTED}]
    happened = f"{len(healthy)} healthy clients kept their connections"
    if hurt:
        happened = f"{len(set(hurt))} lost a connection: {min(hurt)}"
    return CheckResult("no client that answers is closed", happened, bool(healthy) and not hurt)

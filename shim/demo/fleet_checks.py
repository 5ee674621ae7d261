"""What decides whether the rollout on a fleet went as it has to: by the clients, the store and the logs.

Rules: docs/design.md#r24, docs/design.md#r25.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shim.demo.client_history import ABNORMAL, LEFT, RESTARTED, ClientHistory
from shim.demo.demo_clients import ClientBehaviour
from shim.demo.demo_fleet import PROCESSES, FleetFacts
from shim.demo.demo_settings import BETTER_CODE
from shim.demo.rollout_checks import CheckResult, check_errors, check_steps
from shim.demo.step_taker import RolloutStep, StepProgress
from shim.ledger.flags_version import FlagsVersion
from shim.ledger.fleet_record import FleetOrder
from shim.model import Return, VerdictName

BY_THE_FLEET = "fleet: the record of all processes engages the brake"
"""The line in the log of the process that judges for all of them."""

_CLOSED = (ABNORMAL, str(BETTER_CODE))
"""How a connection ends that a monitor has closed."""


@dataclass(frozen=True, slots=True)
class FleetRollout:
    """All that is known of a rollout: `facts` at its end, the orders to the brake and the versions of the
    flags, newest first, the lines of the brake in the logs, and unexpected errors."""

    steps: Sequence[RolloutStep[Any]]
    progress: Sequence[StepProgress]
    histories: Sequence[ClientHistory]
    facts: FleetFacts
    orders: Sequence[FleetOrder]
    versions: Sequence[FlagsVersion]
    brake_lines: Sequence[str]
    errors: Sequence[str]


def check_fleet(rollout: FleetRollout) -> list[CheckResult]:
    """The decisive checks. If nothing has happened, all of them fail but the one about errors."""
    return [
        check_steps(rollout.steps, rollout.progress),
        _agreement(rollout.facts),
        *_returns(rollout),
        _flags(rollout),
        _brake(rollout),
        _healthy(rollout.histories),
        _complete(rollout.facts),
        check_errors(rollout.errors),
    ]


def _agreement(facts: FleetFacts) -> CheckResult:
    matched, wrong = facts.total(VerdictName.MATCHED), facts.total(VerdictName.MISMATCHED)
    return CheckResult(
        "the monitors decide alike, but for the mistake",
        f"{matched} timeouts matched, {wrong} mismatched",
        matched > wrong > 0,
    )


def _returns(rollout: FleetRollout) -> Iterator[CheckResult]:
    """What the clients wrote down is what the store has. One return of each client may be on its way."""
    found: Counter[tuple[str, Return | None]] = Counter(
        (action.user, action.result) for action in rollout.facts.actions
    )
    wrong = [
        history.client.user
        for history in rollout.histories
        if not 0 <= came_back(history) - found[history.client.user, Return.RETURNED] <= 1
        or found[history.client.user, Return.LOST]
    ]
    back, elsewhere = count_returns(rollout.histories)
    happened = f"{back} times, {elsewhere} of them to another process"
    if wrong:
        happened += f"; the store says otherwise of {len(wrong)} clients: {min(wrong)}"
    yield CheckResult(
        "a client that comes back has come back, to whichever process",
        happened,
        elsewhere > 0 and not wrong,
    )


def came_back(history: ClientHistory) -> int:
    """How often a client has come back after a monitor had closed its connection."""
    return sum(history.back_after[how] for how in _CLOSED)


def count_returns(histories: Sequence[ClientHistory]) -> tuple[int, int]:
    """How often clients have come back, and how often they came back to another process."""
    elsewhere = sum(history.back_elsewhere[how] for history in histories for how in _CLOSED)
    return sum(map(came_back, histories)), elsewhere


def _flags(rollout: FleetRollout) -> CheckResult:
    """Two were pushed, and one is a step of the plan."""
    last = rollout.versions[0].digest if rollout.versions else None
    following = [one.flags == last for one in rollout.facts.record.processes if one.alive]
    return CheckResult(
        "all processes have the flags of the store",
        f"version {len(rollout.versions)} is in force in {sum(following)} of {len(following)} processes",
        len(rollout.versions) == 3 and following == [True] * len(PROCESSES),
    )


def _brake(rollout: FleetRollout) -> CheckResult:
    """The record of all processes engages the brake, no process alone does, and a person releases it."""
    engaged = [order for order in rollout.orders if order.engaged]
    alone = [line for line in rollout.brake_lines if BY_THE_FLEET not in line]
    happened = engaged[0].reason if engaged else "the brake did not engage"
    if len(engaged) > 1:
        happened = f"{len(engaged)} times, first: {engaged[-1].reason}"
    if engaged and not len(rollout.brake_lines) > len(alone):
        happened += f", by {engaged[0].process} alone"
    ok = (
        len(engaged) == 1 == len(rollout.brake_lines) - len(alone) and not rollout.orders[0].engaged
    )
    return CheckResult("the record of all three engages the brake once", happened, ok)


def _healthy(histories: Sequence[ClientHistory]) -> CheckResult:
    """A client that answers pings loses its connection in the deploys alone."""
    healthy = [h for h in histories if h.client.behaviour is ClientBehaviour.HEALTHY]
    hurt = [h.client.user for h in histories if set(h.cut_short) - {LEFT, RESTARTED}]
    hurt += [h.client.user for h in healthy if set(h.endings) - {RESTARTED}]
    happened = f"{len(healthy)} healthy clients lost a connection in the deploys alone"
    if hurt:
        happened = f"{len(set(hurt))} lost a connection: {min(hurt)}"
    return CheckResult("no client that answers is closed", happened, bool(healthy) and not hurt)


def _complete(facts: FleetFacts) -> CheckResult:
    record = facts.record
    waiting = sum(process.waiting for process in record.processes)
    happened = f"{len(record.processes)} processes, {waiting} rows on their way"
    if record.behind:
        happened += f", behind: {', '.join(record.behind)}"
    ok = bool(record.processes) and not record.behind
    return CheckResult("the record of every process is in the store", happened, ok)

"""A rollout in which a bad client release makes the brake engage: its clients, steps and ledger.

The new release's apps are alive, but answer nothing for a little longer than the timeout. The candidate
closes them (R14b) or would have (R9), where the control's sweep often comes too late for that.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from shim.demo.client_history import ClientHistories, ClientHistory
from shim.demo.demo_clients import ClientBehaviour, ClientSpec
from shim.demo.demo_service import DemoService
from shim.demo.demo_settings import flags_file
from shim.demo.operator import Operator
from shim.demo.rollout_steps import Step
from shim.demo.step_taker import RolloutStep
from shim.gate.brake_statistics import BrakeLimits, FalseKillWatch
from shim.ledger.protocols import LedgerReader
from shim.ledger.rows import (
    ActionRow,
    BrakeRow,
    DecisionRow,
    FlagsRow,
    GuardRow,
    ProofRow,
    Row,
    StageRow,
    VerdictRow,
    Wall,
)
from shim.model import Duration, Kind, Role, VerdictKind, VerdictName
from tests.demo.matrix import kinds_of

RELEASE_REASON = "the client release was withdrawn"

_SHARES: Mapping[ClientBehaviour, float] = {
    ClientBehaviour.HEALTHY: 0.75,
    ClientBehaviour.DROPPED: 0.15,
    ClientBehaviour.FLAPPING: 0.10,
}
_FEWEST = 12
"""Users of a behaviour at least, so that some of them are at every stage that the file names."""
_NEW_RELEASE = 0.2
"""Users with the new client release, as a share of the others."""

_AGREED = 3
_ACTED = 2
_ACTED_AGAIN = 6
"""So many verdicts, and closings, are enough to have seen it happen."""

_FLUSH = 10.0
_ALL = 1_000_000

R = TypeVar("R", bound=Row)


def old_release(users: int) -> list[ClientSpec]:
    """Clients that behave, and some that lose their network."""
    return [
        ClientSpec(f"{behaviour}-{number + 1}@example.com", kind, behaviour)
        for behaviour, share in _SHARES.items()
        for number in range(max(_FEWEST, round(share * users)))
        for kind in kinds_of(behaviour, number)
    ]


def new_release(users: int) -> list[ClientSpec]:
    """Apps of a bad client release."""
    number = max(_FEWEST, round(_NEW_RELEASE * users))
    return [
        ClientSpec(f"new-release-{n + 1}@example.com", Kind.APP, ClientBehaviour.SILENT)
        for n in range(number)
    ]


class ReleasingOperator(Operator):
    """Also publishes the new client release, and withdraws it."""

    def __init__(
        self,
        service: DemoService,
        flags: Path,
        histories: ClientHistories,
        new: Sequence[ClientHistory],
        newcomers: AbstractAsyncContextManager[object],
        *,
        patience: float,
    ) -> None:
        super().__init__(service, flags, histories, seconds=0, patience=patience)
        self._new = {history.client.user for history in new}
        self._newcomers = newcomers
        self._with_newcomers = AsyncExitStack()
        self._acted_before = 0

    async def take(self, steps: Sequence[RolloutStep[Self]]) -> None:
        async with self._with_newcomers:
            for step in steps:
                self._acted_before = self._acted()
                await super().take([step])
                if self.progress[-1].took is None:
                    return

    @property
    def all_connected(self) -> bool:
        old = (h for h in self.histories.all if h.client.user not in self._new)
        return all(history.opened for history in old)

    @property
    def acted(self) -> int:
        """How many connections the candidate has closed since the step began."""
        return self._acted() - self._acted_before

    def _acted(self) -> int:
        return sum(history.acted[Role.CANDIDATE] for history in self.histories.all)

    async def release_clients(self) -> None:
        """The new client release is out: its apps connect."""
        await self._with_newcomers.enter_async_context(self._newcomers)

    async def withdraw_clients(self) -> None:
        """The new client release is gone, and its apps with it."""
        await self._with_newcomers.aclose()

    @property
    def newcomers_are_gone(self) -> bool:
        """None of them has a connection, not even one that is being closed."""
        tracked = self.service.shim.router.connections()
        return not any(each.connection.user in self._new for each in tracked)


async def _bad_step(operator: Operator) -> None:
    assert isinstance(operator, ReleasingOperator)
    operator.put_flags(flags_file(live=90, shadow=10))
    await operator.release_clients()


async def _withdraw(operator: Operator) -> None:
    assert isinstance(operator, ReleasingOperator)
    operator.put_flags(flags_file(shadow=100))
    await operator.withdraw_clients()


def _has_acted(operator: Operator, times: int) -> bool:
    assert isinstance(operator, ReleasingOperator)
    return operator.acted >= times


def _newcomers_are_gone(operator: Operator) -> bool:
    assert isinstance(operator, ReleasingOperator)
    return operator.placed and operator.newcomers_are_gone


OFF: Step = RolloutStep(
    "everybody off",
    "all clients are here",
    "",
    0,
    lambda operator: None,
    lambda operator: operator.all_connected and operator.placed,
)
SHADOW: Step = RolloutStep(
    "shadow 100 %",
    "all move to shadow, the monitors agree on who is gone",
    "",
    0,
    lambda operator: operator.put_flags(flags_file(shadow=100)),
    lambda operator: operator.placed and operator.matched >= _AGREED,
)
HALF: Step = RolloutStep(
    "live 50 %",
    "half move to live, the candidate closes those that are gone",
    "",
    0,
    lambda operator: operator.put_flags(flags_file(live=50, shadow=50)),
    lambda operator: operator.placed and _has_acted(operator, _ACTED),
)
TRUNCATED: Step = RolloutStep(
    "a truncated flags file",
    "it is refused, the last good one stays in force",
    "",
    0,
    Operator.put_truncated_flags,
    lambda operator: operator.refused and operator.placed,
)
BAD: Step = RolloutStep(
    "live 90 %, and a bad client release",
    "the brake engages by itself, all are back at shadow",
    "",
    0,
    _bad_step,
    lambda operator: operator.braked and operator.placed,
)
WITHDRAWN: Step = RolloutStep(
    "shadow 100 %, the client release is withdrawn",
    "its clients are gone",
    "",
    0,
    _withdraw,
    _newcomers_are_gone,
)
RECOVERED: Step = RolloutStep(
    "brake released, live 90 %",
    "they move to live again, the candidate closes those that are gone",
    "",
    0,
    lambda operator: operator.release_brake(RELEASE_REASON, flags_file(live=90, shadow=10)),
    lambda operator: operator.placed and not operator.braked and _has_acted(operator, _ACTED_AGAIN),
)

STEPS = (OFF, SHADOW, HALF, TRUNCATED, BAD, WITHDRAWN, RECOVERED)


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    """Rows of the ledger, each sort oldest first."""

    flags: list[FlagsRow]
    stages: list[StageRow]
    brakes: list[BrakeRow]
    guards: list[GuardRow]
    decisions: list[DecisionRow]
    verdicts: list[VerdictRow]
    proofs: list[ProofRow]
    actions: list[ActionRow]

    @property
    def engaged(self) -> BrakeRow | None:
        """The first time."""
        return next((row for row in self.brakes if row.engaged), None)

    @property
    def released(self) -> BrakeRow | None:
        """The last time."""
        return next((row for row in reversed(self.brakes) if not row.engaged), None)

    def false_kills(self) -> list[tuple[Wall, str]]:
        """When, and which user's connection, the candidate was found to have decided on wrongly, as the
        brake counts it (R22)."""
        proofs = [(row.at, row.user) for row in self.proofs if row.role is Role.CANDIDATE]
        recovered = [
            (row.at, row.user)
            for row in self.verdicts
            if row.verdict is VerdictName.MISMATCHED
            and row.kind is VerdictKind.ONLY_CANDIDATE
            and row.recovered
        ]
        return sorted(proofs + recovered)

    def brake_due(self, limits: BrakeLimits, grain: Duration) -> Wall | None:
        """The first false kill at which the brake has to engage (R22); None: it need not."""
        decisions = deque(
            (row.at, row.user) for row in self.decisions if row.role is Role.CANDIDATE
        )
        watch = FalseKillWatch(limits, grain, since=decisions[0][0] if decisions else 0)
        for at, user in self.false_kills():
            while decisions and decisions[0][0] <= at:
                decided_at, decided_user = decisions.popleft()
                watch.decided(decided_user, decided_at)
            if watch.killed(user, at) is not None:
                return at
        return None


def read_record(service: DemoService) -> LedgerRecord:
    """Read it when everything handed over is there; for a thread."""
    service.shim.assembly.records.ledger.flush(_FLUSH)
    reader = service.shim.assembly.reader
    return LedgerRecord(
        _oldest_first(reader, FlagsRow),
        _oldest_first(reader, StageRow),
        _oldest_first(reader, BrakeRow),
        _oldest_first(reader, GuardRow),
        _oldest_first(reader, DecisionRow),
        _oldest_first(reader, VerdictRow),
        _oldest_first(reader, ProofRow),
        _oldest_first(reader, ActionRow),
    )


def _oldest_first(reader: LedgerReader, row: type[R]) -> list[R]:
    return reader.rows(row, limit=_ALL)[::-1]


def split(histories: ClientHistories) -> tuple[list[ClientHistory], list[ClientHistory]]:
    """Those of the old release, and those of the new one."""
    new = [h for h in histories.all if h.client.behaviour is ClientBehaviour.SILENT]
    return [h for h in histories.all if h not in new], new

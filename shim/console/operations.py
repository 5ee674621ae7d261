"""What the console looks at and changes: a running shim.

Rules: docs/design.md#r5, docs/design.md#r19, docs/design.md#r22.
"""

import asyncio
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from shim.console.access.access import Visitor
from shim.console.access.login_sessions import Logins
from shim.console.api.report_answer import (
    FlagsAnswer,
    GuardAnswer,
    LedgerAnswer,
    OpenConnections,
    ProcessReport,
)
from shim.console.api.responses import ApiError
from shim.console.api.schemas import BrakeOrder, stage_word
from shim.flags.evaluation import Cap, Evaluation
from shim.model import InputError, Kind, Role, Stage, seconds
from shim.model.time import CLOCK_UNSET_BEFORE, describe_unset_clock, seconds_or_none
from shim.model.visible_text import describe_free_text
from shim.runtime.assembly import Assembly
from shim.runtime.coordinator import Coordinator
from shim.runtime.time_of_day import JUMP

log = logging.getLogger(__name__)

_FLUSH = 2.0
"""Seconds; the longest time for which a ledger with a problem may delay the answer to an order."""


@dataclass(frozen=True, slots=True)
class Operations:
    """A running shim, whatever its WebSocket library."""

    shim: Coordinator[Any]
    assembly: Assembly
    logins: Logins

    @property
    def process(self) -> str | None:
        """The name of this process in its fleet; None: there is no fleet."""
        return self.assembly.records.ledger.process

    @property
    def brake_reason(self) -> str | None:
        """Why the brake is engaged; None: the brake is released."""
        return self.shim.router.brake_reason

    @property
    def quarantined(self) -> bool:
        """Whether the candidate has failed too often (R5)."""
        candidate = self.shim.router.monitors(Role.CANDIDATE)
        return candidate is not None and candidate.quarantined

    def flags(self, visitor: Visitor | None) -> FlagsAnswer | None:
        """The flags file in force, for this visitor or for everybody; None: the settings name no flags file."""
        flags = self.assembly.flags
        if flags is None:
            return None
        age = seconds(self.shim.clock() - flags.loaded_at)
        clear = visitor is not None and visitor.is_operator
        problem = flags.problem if clear else flags.problem_without_names
        return FlagsAnswer(digest=flags.digest, age=age, problem=problem)

    def report(self, visitor: Visitor | None) -> ProcessReport:
        """The present state, from counts that other parts keep, for this visitor or for everybody."""
        census, driver, guard = self.shim.census, self.shim.driver, self.shim.router.guard
        holding = guard is not None and guard.holding
        held = len(guard) if guard is not None and guard.holding else 0
        ledger = self.assembly.records.ledger.status()
        return ProcessReport(
            name=self.process,
            since=seconds(self.shim.wall.started_at),
            until=seconds(self.shim.wall()),
            connections=OpenConnections(
                open=census.open(),
                stages={stage_word(stage): census.open(stage=stage) for stage in Stage},
                kinds={kind: census.open(kind) for kind in Kind},
            ),
            users={stage_word(stage): census.users(stage) for stage in Stage},
            sessions=len(self.shim.sessions),
            pauses={"count": driver.pauses, "seconds": seconds(driver.paused_for)},
            clock=self._describe_clock(),
            brake=self.brake_reason,
            guard=GuardAnswer(holding=holding, held=held),
            quarantined=self.quarantined,
            flags=self.flags(visitor),
            ledger=LedgerAnswer(
                problem=ledger.problem,
                queued=ledger.queued,
                written=ledger.written,
                dropped=ledger.dropped,
                last_commit=seconds_or_none(ledger.last_commit),
            ),
            **self.assembly.tally.as_dict(),
        )

    def explain(self, user: str) -> Evaluation:
        """The stage of a user now, with the brake (R19)."""
        evaluation = self.assembly.evaluate(user)
        if self.brake_reason is None or evaluation.stage <= Stage.SHADOW:
            return evaluation
        return evaluation._replace(stage=Stage.SHADOW, lowered_by=Cap.BRAKE)

    def trace_url(self, trace: str | None) -> str | None:
        """The address of a trace, by the settings."""
        template = self.shim.settings.telemetry.trace_url
        if template is None or trace is None:
            return None
        return template.replace("{trace_id}", trace)

    def _describe_clock(self) -> str | None:
        """What is wrong with the wall clock."""
        wall = self.shim.wall
        if wall.started_at < CLOCK_UNSET_BEFORE:
            return describe_unset_clock(wall.started_at)
        if abs(wall.ahead) < JUMP:
            return None
        return (
            f"the wall clock jumped: it is {abs(seconds(wall.ahead)):.0f} s "
            f"{'ahead of' if wall.ahead > 0 else 'behind'} the time that the ledger goes by"
        )

    async def order_brake(self, visitor: Visitor, order: BrakeOrder) -> None:
        """Engage or release the brake (R22); the log has the operator and the reason.

        After the answer, the order is in the brake's history in the ledger. Raises ApiError (409) if the
        brake stands that way already.
        """
        status = "engaged" if order.engaged else "released"
        if order.engaged == (self.brake_reason is not None):
            raise ApiError(HTTPStatus.CONFLICT, f"the brake is {status} already")
        reason = order.reason.strip()
        log.warning("audit: brake %s by %s: %s", status, visitor.name, describe_free_text(reason))
        if order.engaged:
            self.shim.engage_brake(reason)
        elif (fleet := self.assembly.fleet_brake) is not None:
            try:
                await fleet.release(reason)
            except InputError as error:
                raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None
        else:
            self.shim.release_brake(reason)
        await asyncio.to_thread(self.assembly.records.ledger.flush, _FLUSH)

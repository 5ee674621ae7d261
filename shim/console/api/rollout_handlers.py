"""The API of the rollout: the plan and its steps, the flags in the store of a fleet, and the retirement.

Rules: docs/design.md#r20, docs/design.md#r23, docs/design.md#r26.
"""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from shim.console.access.access import Visitor
from shim.console.api.endpoints import ApiRequest, Endpoint
from shim.console.api.filters import RetirementQuery, VersionsQuery
from shim.console.api.orders import (
    LONGEST_FLAGS,
    AdvanceAnswer,
    AdvanceOrder,
    ContentAnswer,
    PushedAnswer,
    PushOrder,
    RetirementAnswer,
    RolloutAnswer,
    VersionsAnswer,
)
from shim.console.api.responses import ApiError, bad_request, json_answer, not_found, unavailable
from shim.console.fleet_reading import FleetReading
from shim.console.ledger_queries import LedgerQueries
from shim.console.operations import Operations
from shim.gate.answer import GateVerdict
from shim.ledger.completeness import Completeness, completeness_as_dict
from shim.ledger.flags_version import PushedFlags, describe_missing_flags
from shim.ledger.protocols import LedgerReader, UnusableError
from shim.ledger.stores import fleet_store
from shim.model import InputError, from_seconds
from shim.model.visible_text import describe_free_text
from shim.rollout.planned_rollout import PlannedRollout, StepOrder
from shim.rollout.promotion_facts import facts_from
from shim.rollout.retirement import check_control, read_retirement, with_completeness
from shim.rollout.rollout_state import RolloutState
from shim.settings.flags_file import parse_flags

if TYPE_CHECKING:
    from shim.ledger.postgres.fleet_store import FleetStore

log = logging.getLogger(__name__)
T = TypeVar("T")

_PUSHED = "the flags file"


class RolloutHandlers:
    """The answers about flags, the plan of the rollout, and retirement."""

    def __init__(self, operations: Operations, queries: LedgerQueries, fleet: FleetReading) -> None:
        self._settings = operations.shim.settings
        self._assembly = operations.assembly
        self._queries = queries
        self._fleet = fleet

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("/api/rollout", self.rollout, RolloutAnswer),
            Endpoint("/api/rollout", self.advance, AdvanceAnswer, body=AdvanceOrder),
            Endpoint("/api/flags/versions", self.versions, VersionsAnswer, VersionsQuery),
            Endpoint(
                "/api/flags/versions",
                self.push,
                PushedAnswer,
                body=PushOrder,
                longest=LONGEST_FLAGS,
            ),
            Endpoint("/api/flags/content", self.content, ContentAnswer),
            Endpoint("/api/retirement", self.retirement, RetirementAnswer, RetirementQuery),
        ]

    async def rollout(self, asked: ApiRequest) -> web.Response:
        """Where the rollout stands by the plan"""
        record = await self._fleet.record()
        state = await self._planned(asked.visitor, PlannedRollout.look)
        return _answer(asked.visitor, state, record)

    async def advance(self, asked: ApiRequest) -> web.Response:
        """Take the next step of the plan"""
        body: AdvanceOrder = asked.body
        if body.force and body.reason is None:
            raise bad_request("a step by force needs a reason")
        by = _describe_person(body.who, asked.visitor)
        record = await self._fleet.record()
        order = StepOrder(by, body.reason, body.force, body.dry_run)
        answer = await self._planned(asked.visitor, lambda rollout: rollout.take_step(order))
        if answer.change is not None:
            _audit("the rollout took a step", by, answer.change["reason"])
        return _answer(asked.visitor, answer, record)

    async def versions(self, asked: ApiRequest) -> web.Response:
        """The versions of the flags in the store of the fleet"""
        query: VersionsQuery = asked.query
        found = await self._in_store(asked.visitor, lambda store: store.list_flags(query.limit))
        return json_answer({"versions": [version.as_dict() for version in found]})

    async def content(self, asked: ApiRequest) -> web.Response:
        """The flags in force in the fleet, as a file"""
        if not asked.visitor.is_operator:
            raise ApiError(
                HTTPStatus.FORBIDDEN, "only operators may see the flags file, as it may name users"
            )
        version = await self._in_store(asked.visitor, lambda store: store.pull_flags())
        if version is None:
            raise not_found(describe_missing_flags(self._settings.ledger))
        return json_answer({**version.as_dict(), "text": version.text})

    async def push(self, asked: ApiRequest) -> web.Response:
        """Bring a flags file into the store of the fleet"""
        order: PushOrder = asked.body
        who = _describe_person(order.who, asked.visitor)

        def push(store: "FleetStore") -> PushedFlags:
            parse_flags(order.text.encode(), _PUSHED)
            return store.push_flags(
                order.text, who=who, reason=order.reason, before=order.if_digest
            )

        pushed = await self._in_store(asked.visitor, push)
        if pushed.in_force:
            _audit(f"flags {pushed.version.digest[:12]} pushed", who, order.reason)
        return json_answer(pushed.as_dict())

    async def retirement(self, asked: ApiRequest) -> web.Response:
        """The report of the evidence on which the control goes"""
        query: RetirementQuery = asked.query
        try:
            check_control(self._settings)
        except InputError as error:
            raise ApiError(HTTPStatus.CONFLICT, str(error)) from None
        answer, record = await self._queries.gate(asked.visitor)
        report = None
        if query.force or answer.verdict is GateVerdict.READY:
            at = from_seconds(answer.inputs["now"])
            found = await self._queries.ask(
                asked.visitor, lambda ledger: read_retirement(ledger, self._settings, answer, at)
            )
            report = with_completeness(found, record).as_dict()
        facts = {"gate": answer.as_dict(), "report": report}
        return json_answer({**facts, "record": completeness_as_dict(record)})

    async def _planned(self, visitor: Visitor, ask: Callable[[PlannedRollout], T]) -> T:
        """The answer by the plan.

        Raises ApiError (409) where there is no plan to go on with, (503) for a ledger that does not answer.
        """

        def asked(ledger: LedgerReader) -> T | InputError:
            def facts(digest: str) -> Any:
                return facts_from(ledger, self._settings, digest, self._assembly.time_of(ledger))

            try:
                return ask(PlannedRollout(self._settings, facts))
            except UnusableError:
                raise
            except InputError as error:
                return error

        return _good(await self._queries.ask(visitor, asked), visitor)

    async def _in_store(self, visitor: Visitor, ask: "Callable[[FleetStore], T]") -> T:
        """The answer about the flags in the store.

        Raises ApiError (409) where there is no store, or for flags that are not valid, (503) for a store that
        does not answer.
        """
        if not self._settings.in_fleet:
            raise ApiError(
                HTTPStatus.CONFLICT,
                "this shim runs alone: its flags are not in the store of a fleet",
            )
        try:
            return await asyncio.to_thread(lambda: ask(fleet_store(self._settings.ledger)))
        except UnusableError as error:
            raise unavailable(str(error)) from None
        except InputError as error:
            return _good(error, visitor)


def _answer(visitor: Visitor, state: RolloutState, record: Completeness | None) -> web.Response:
    answer = {**state.as_dict(), "record": completeness_as_dict(record)}
    if not visitor.is_operator:  # these may name users
        answer |= {"moves": None, "warnings": []}
    return json_answer(answer)


def _good(found: T | InputError, visitor: Visitor) -> T:
    if not isinstance(found, InputError):
        return found
    reason = str(found) if visitor.is_operator else found.without_names
    raise ApiError(HTTPStatus.CONFLICT, reason)


def _describe_person(who: str | None, visitor: Visitor) -> str:
    return visitor.name if who is None else f"{who} ({visitor.name})"


def _audit(what: str, who: str, reason: str) -> None:
    log.warning("audit: %s, by %s: %s", what, describe_free_text(who), describe_free_text(reason))

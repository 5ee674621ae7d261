"""The API under `/api`."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from aiohttp import web

from shim.console.access.access import Visitor
from shim.console.access.redaction import Names, Pseudonymizer
from shim.console.api.endpoints import ApiRequest, Endpoint
from shim.console.api.filters import (
    ConnectionsQuery,
    ExplainQuery,
    GateQuery,
    OutcomesQuery,
    ReportQuery,
    SessionsQuery,
    VerdictsQuery,
    read_id,
    wall,
)
from shim.console.api.report_answer import FlagsAnswer, ReportAnswer
from shim.console.api.responses import json_answer, json_page, not_found
from shim.console.api.schemas import (
    BrakeAnswer,
    BrakeOrder,
    ConnectionsAnswer,
    EpisodeAnswer,
    EvaluationAnswer,
    GateAnswerBody,
    OneSessionAnswer,
    OutcomesAnswer,
    SessionsAnswer,
    VerdictsAnswer,
    episode_answer,
    named,
    verdict_answer,
)
from shim.console.connection_lists import ConnectionLists
from shim.console.fleet_reading import FleetReading
from shim.console.ledger_queries import LedgerQueries
from shim.console.operations import Operations
from shim.console.report_reading import ReportReading
from shim.ledger.completeness import completeness_as_dict
from shim.ledger.fleet_record import FleetOrder, FleetRecord
from shim.ledger.rows import VerdictRow

_PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Seconds between two looks at the store."""


class ApiHandlers:
    """The answers about connections, sessions, flags, brake and fleet, and those of the ledger and the gate."""

    def __init__(
        self,
        operations: Operations,
        queries: LedgerQueries,
        pseudonymizer: Pseudonymizer,
        fleet: FleetReading,
    ) -> None:
        self._operations = operations
        self._queries = queries
        self._pseudonymizer = pseudonymizer
        self._fleet = fleet
        self._reports = ReportReading(operations, queries, fleet)
        self._lists = ConnectionLists(operations.shim, pseudonymizer)

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("/api/connections", self.connections, ConnectionsAnswer, ConnectionsQuery),
            Endpoint("/api/sessions", self.sessions, SessionsAnswer, SessionsQuery),
            Endpoint("/api/sessions/{session}", self.session, OneSessionAnswer),
            Endpoint("/api/report", self.report, ReportAnswer, ReportQuery),
            Endpoint("/api/verdicts", self.verdicts, VerdictsAnswer, VerdictsQuery),
            Endpoint("/api/verdicts/{verdict}", self.episode, EpisodeAnswer),
            Endpoint("/api/outcomes", self.outcomes, OutcomesAnswer, OutcomesQuery),
            Endpoint("/api/gate", self.gate, GateAnswerBody, GateQuery),
            Endpoint("/api/flags", self.flags, FlagsAnswer),
            Endpoint("/api/flags/explain", self.explain, EvaluationAnswer, ExplainQuery),
            Endpoint("/api/fleet", self.fleet, FleetRecord),
            Endpoint("/api/brake", self.brake, BrakeAnswer),
            Endpoint("/api/brake", self.order_brake, BrakeAnswer, body=BrakeOrder),
        ]

    async def connections(self, asked: ApiRequest) -> web.Response:
        """The connections that this process watches"""
        query: ConnectionsQuery = asked.query
        page, following = await self._lists.connections(query)
        answer = self._lists.connection_answer(self._names(asked, query.user))
        return await json_page(
            "connections", page, answer, following, process=self._operations.process
        )

    async def sessions(self, asked: ApiRequest) -> web.Response:
        """The users' sessions in this process"""
        query: SessionsQuery = asked.query
        page, following = await self._lists.sessions(query)
        answer = self._lists.session_answer(self._names(asked, query.user))
        return await json_page(
            "sessions", page, answer, following, process=self._operations.process
        )

    async def session(self, asked: ApiRequest) -> web.Response:
        """One session, with what its sockets say"""
        name = asked.request.match_info["session"]
        session = self._lists.session(name)
        if session is None:
            raise not_found("there is no such session now")
        names = self._names(asked, name)
        found = await self._queries.latest_verdicts(asked.visitor, session.user, 20)
        verdicts = [self._verdict(row, names) for row in found.rows]
        facts = self._lists.session_facts(session, names)
        return json_answer(
            {**facts, "verdicts": verdicts, "record": completeness_as_dict(found.record)}
        )

    async def report(self, asked: ApiRequest) -> web.Response:
        """The state, and plain counts: of a process that runs alone, or of the fleet"""
        query: ReportQuery = asked.query
        return json_answer(await self._reports.get(asked.visitor, query.period))

    async def verdicts(self, asked: ApiRequest) -> web.Response:
        """How episodes ended"""
        query: VerdictsQuery = asked.query
        page = await self._queries.verdicts(asked.visitor, query)
        names = self._names(asked, query.user)
        return await json_page(
            "verdicts",
            page.rows,
            lambda row: self._verdict(row, names),
            page.cursor,
            record=completeness_as_dict(page.record),
        )

    async def episode(self, asked: ApiRequest) -> web.Response:
        """One episode, as it happened"""
        number = read_id(asked.request.match_info["verdict"])
        episode = await self._queries.ask(asked.visitor, lambda ledger: ledger.episode(number))
        if episode is None:
            raise not_found("there is no such verdict")
        trace_url = self._operations.trace_url(episode.verdict.trace)
        return json_answer(episode_answer(episode, self._names(asked), trace_url).as_dict())

    async def outcomes(self, asked: ApiRequest) -> web.Response:
        """Whether the clients that were closed came back"""
        query: OutcomesQuery = asked.query
        record = await self._fleet.record()
        rows = await self._queries.outcomes(asked.visitor, query)
        names = self._names(asked, query.user)
        outcomes = [named(row, names).as_dict() for row in rows]
        return json_answer({"outcomes": outcomes, "record": completeness_as_dict(record)})

    async def gate(self, asked: ApiRequest) -> web.Response:
        """May the control be retired?"""
        query: GateQuery = asked.query
        judged = await self._queries.gate(asked.visitor, wall(query.at))
        answer = {**judged.answer.as_dict(), "record": completeness_as_dict(judged.record)}
        kind = query.kind
        if kind is not None:
            answer["conditions"] = [c for c in answer["conditions"] if c["kind"] in (kind, None)]
        return json_answer(answer)

    async def flags(self, asked: ApiRequest) -> web.Response:
        """The flags file in force in this process"""
        answer = self._operations.flags(asked.visitor)
        if answer is None:
            raise not_found("there is no flags file here")
        return json_answer(answer)

    async def explain(self, asked: ApiRequest) -> web.Response:
        """Which stage a user has, and why"""
        query: ExplainQuery = asked.query
        evaluation = self._operations.explain(self._pseudonymizer.resolve(query.user))
        # A visitor who asked for a pseudonym is answered with the pseudonym.
        shown = evaluation._replace(user=query.user)
        return json_answer({**shown.as_dict(), "words": shown.explain()})

    async def fleet(self, asked: ApiRequest) -> web.Response:
        """The processes of the fleet, and in what they differ"""
        fleet = await self._queries.ask(asked.visitor, lambda ledger: ledger.fleet())
        return json_answer(fleet.as_dict())

    async def brake(self, asked: ApiRequest) -> web.Response:
        """The brake"""
        return await self._brake_answer(self._queries.brakes(asked.visitor))

    async def order_brake(self, asked: ApiRequest) -> web.Response:
        """Engage the brake, or release it"""
        await self._operations.order_brake(asked.visitor, asked.body)
        return await self._brake_answer(self._orders_with(asked.body, asked.visitor))

    async def _orders_with(self, order: BrakeOrder, visitor: Visitor) -> list[FleetOrder] | None:
        """The orders to the brake; in a fleet this order is waited for, which is on its way to the store."""
        orders = await self._queries.brakes(visitor)
        for pause in _PAUSES if self._operations.process is not None else ():
            # What the store knows of an order only from the processes' rows names no process.
            if orders is None or (
                orders and orders[0].engaged is order.engaged and orders[0].process is not None
            ):
                break
            await asyncio.sleep(pause)
            orders = await self._queries.brakes(visitor)
        return orders

    async def _brake_answer(self, asked: Awaitable[list[FleetOrder] | None]) -> web.Response:
        orders, record = await asyncio.gather(asked, self._fleet.record())
        reason = self._operations.brake_reason
        answer = {
            "engaged": reason is not None,
            "reason": reason,
            "quarantined": self._operations.quarantined,
            "history": None if orders is None else [order.as_dict() for order in orders],
            "record": completeness_as_dict(record),
        }
        return json_answer(answer)

    def _names(self, asked: ApiRequest, name: str | None = None) -> Names:
        return Names(self._pseudonymizer, asked.visitor, name)

    def _verdict(self, row: VerdictRow, names: Names) -> dict[str, Any]:
        return verdict_answer(row, names, self._operations.trace_url(row.trace)).as_dict()

"""The API under `/api`."""

from typing import Any

from aiohttp import web

from shim.console.access.redaction import Names, Pseudonymizer
from shim.console.api.endpoints import ApiRequest, Endpoint
from shim.console.api.filters import (
    ConnectionsQuery,
    ExplainQuery,
    GateQuery,
    OutcomesQuery,
    SessionsQuery,
    VerdictsQuery,
    read_id,
    wall,
)
from shim.console.api.problems import ApiError, not_found
from shim.console.api.responses import json_answer, json_page
from shim.console.api.schemas import (
    BrakeAnswer,
    BrakeEvent,
    BrakeOrder,
    ConnectionsAnswer,
    EpisodeAnswer,
    EvaluationAnswer,
    FlagsAnswer,
    GateAnswerBody,
    OneSessionAnswer,
    OutcomesAnswer,
    ReportAnswer,
    SessionsAnswer,
    VerdictsAnswer,
    episode_answer,
    named,
    verdict_answer,
)
from shim.console.brake_orders import give_brake_order
from shim.console.connection_lists import ConnectionLists
from shim.console.ledger_queries import LedgerQueries
from shim.console.operations import Operations
from shim.console.status_report import flags_answer, report
from shim.ledger import VerdictFilter
from shim.ledger.rows import BrakeRow, VerdictRow
from shim.model import Kind, seconds


class ApiHandlers:
    def __init__(
        self, operations: Operations, queries: LedgerQueries, pseudonymizer: Pseudonymizer
    ) -> None:
        self._operations = operations
        self._queries = queries
        self._pseudonymizer = pseudonymizer
        self._lists = ConnectionLists(operations.shim)

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "/api/connections",
                self.connections,
                "The connections that are watched",
                ConnectionsAnswer,
                query=ConnectionsQuery,
            ),
            Endpoint(
                "/api/sessions",
                self.sessions,
                "The users' sessions",
                SessionsAnswer,
                query=SessionsQuery,
            ),
            Endpoint(
                "/api/sessions/{session}",
                self.session,
                "One session, with what its sockets say",
                OneSessionAnswer,
            ),
            Endpoint("/api/report", self.report, "Plain counts since the start", ReportAnswer),
            Endpoint(
                "/api/verdicts",
                self.verdicts,
                "How episodes ended",
                VerdictsAnswer,
                query=VerdictsQuery,
            ),
            Endpoint(
                "/api/verdicts/{verdict}",
                self.episode,
                "One episode, as it happened",
                EpisodeAnswer,
            ),
            Endpoint(
                "/api/outcomes",
                self.outcomes,
                "Whether the clients that were closed came back",
                OutcomesAnswer,
                query=OutcomesQuery,
            ),
            Endpoint(
                "/api/gate",
                self.gate,
                "May the control be retired?",
                GateAnswerBody,
                query=GateQuery,
            ),
            Endpoint("/api/flags", self.flags, "The flags file in force", FlagsAnswer),
            Endpoint(
                "/api/flags/explain",
                self.explain,
                "Which stage a user has, and why",
                EvaluationAnswer,
                query=ExplainQuery,
            ),
            Endpoint("/api/brake", self.brake, "The brake", BrakeAnswer),
            Endpoint(
                "/api/brake",
                self.order_brake,
                "Engage the brake, or release it",
                BrakeAnswer,
                body=BrakeOrder,
            ),
        ]

    async def connections(self, asked: ApiRequest) -> web.Response:
        query: ConnectionsQuery = asked.query
        page = await self._lists.connections(query, self._resolve(query.user))
        answer = self._lists.connection_answer(self._names(asked, query.user))
        return await json_page("connections", page.items, answer, page.next)

    async def sessions(self, asked: ApiRequest) -> web.Response:
        query: SessionsQuery = asked.query
        page = await self._lists.sessions(query, self._resolve(query.user))
        names = self._names(asked, query.user)
        return await json_page(
            "sessions",
            page.items,
            lambda session: self._lists.session_answer(session, names),
            page.next,
        )

    async def session(self, asked: ApiRequest) -> web.Response:
        name = asked.request.match_info["session"]
        session = self._lists.session(self._pseudonymizer.resolve(name))
        if session is None:
            raise not_found("there is no such session now")
        names, user = self._names(asked, name), session.user
        found = await self._queries.ask(
            lambda ledger: ledger.verdicts(VerdictFilter(user=user), limit=20)
        )
        verdicts = [self._verdict(row, names) for row in found.rows]
        return json_answer(
            {
                "session": self._lists.session_answer(session, names),
                "connections": self._lists.session_connections(session, names),
                "ended": self._lists.session_ended(session),
                "verdicts": verdicts,
            }
        )

    async def report(self, asked: ApiRequest) -> web.Response:
        return json_answer(report(self._operations))

    async def verdicts(self, asked: ApiRequest) -> web.Response:
        query: VerdictsQuery = asked.query
        which = query.filter(self._resolve(query.user))
        page = await self._queries.ask(
            lambda ledger: ledger.verdicts(which, limit=query.limit, cursor=query.cursor)
        )
        names = self._names(asked, query.user)
        return await json_page(
            "verdicts", page.rows, lambda row: self._verdict(row, names), page.cursor
        )

    async def episode(self, asked: ApiRequest) -> web.Response:
        number = read_id(asked.request.match_info["verdict"])
        episode = await self._queries.ask(lambda ledger: ledger.episode(number))
        if episode is None:
            raise not_found("there is no such verdict")
        trace_url = self._operations.trace_url(episode.verdict.trace)
        return json_answer(episode_answer(episode, self._names(asked), trace_url).as_dict())

    async def outcomes(self, asked: ApiRequest) -> web.Response:
        query: OutcomesQuery = asked.query
        rows = await self._queries.ask(
            lambda ledger: ledger.outcomes(
                kind=query.kind,
                role=query.acting,
                result=query.result,
                user=self._resolve(query.user),
                since=wall(query.since),
                until=wall(query.until),
                limit=query.limit,
            )
        )
        names = self._names(asked, query.user)
        return json_answer({"outcomes": [named(row, names).as_dict() for row in rows]})

    async def gate(self, asked: ApiRequest) -> web.Response:
        answer = (await self._queries.gate()).as_dict()
        kind: Kind | None = asked.query.kind
        if kind is not None:
            answer["conditions"] = [c for c in answer["conditions"] if c["kind"] in (kind, None)]
        return json_answer(answer)

    async def flags(self, asked: ApiRequest) -> web.Response:
        answer = flags_answer(self._operations)
        if answer is None:
            raise not_found("there is no flags file here")
        return json_answer(answer)

    async def explain(self, asked: ApiRequest) -> web.Response:
        query: ExplainQuery = asked.query
        evaluation = self._operations.explain(self._pseudonymizer.resolve(query.user))
        # Who asked for a pseudonym is answered with it.
        shown = evaluation._replace(user=query.user)
        return json_answer({**shown.as_dict(), "words": shown.explain()})

    async def brake(self, asked: ApiRequest) -> web.Response:
        return json_answer(await self._brake_answer())

    async def order_brake(self, asked: ApiRequest) -> web.Response:
        order: BrakeOrder = asked.body
        await give_brake_order(self._operations, asked.visitor, order)
        return json_answer(await self._brake_answer())

    async def _brake_answer(self) -> BrakeAnswer:
        reason = self._operations.brake_reason
        history: list[BrakeEvent] | None
        try:
            rows = await self._queries.ask(lambda ledger: ledger.rows(BrakeRow))
            history = [BrakeEvent(row.engaged, row.reason, seconds(row.at)) for row in rows]
        except ApiError:
            # The brake has to be seen, and to be released, without a ledger, too.
            history = None
        return BrakeAnswer(
            engaged=reason is not None,
            reason=reason,
            quarantined=self._operations.quarantined,
            history=history,
        )

    def _names(self, asked: ApiRequest, name: str | None = None) -> Names:
        return Names(self._pseudonymizer, asked.visitor, name)

    def _resolve(self, user: str | None) -> str | None:
        return None if user is None else self._pseudonymizer.resolve(user)

    def _verdict(self, row: VerdictRow, names: Names) -> dict[str, Any]:
        return verdict_answer(row, names, self._operations.trace_url(row.trace)).as_dict()

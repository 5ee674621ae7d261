"""The filters of each path as types, and how a query becomes a filter."""

import re
from enum import EnumType
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from aiohttp import web
from msgspec import Meta

from shim.console.api.responses import bad_request, not_found
from shim.console.api.schemas import StageWord
from shim.ledger.protocols import VerdictFilter
from shim.ledger.rows import Wall
from shim.model import Kind, Return, Role, VerdictKind, VerdictName, from_seconds
from shim.settings.faults import suggestion

MOST_CONNECTIONS = 10_000
MOST_ROWS = 1000
MOST_SECONDS = 253_402_300_799

Word = Annotated[str, Meta(min_length=1, max_length=512)]
Seconds = Annotated[
    float, Meta(ge=0, le=MOST_SECONDS, description="Seconds since 1970, fractions allowed.")
]


Period = Literal["15m", "1h", "6h", "24h", "7d", "30d"]


class Query(msgspec.Struct, kw_only=True, frozen=True):
    """The filters of a path; this class itself is for a path without filters."""


class ConnectionsQuery(Query, frozen=True):
    """`GET /api/connections`; `limit` connections from `cursor` on."""

    user: Word | None = None
    package: Word | None = None
    kind: Kind | None = None
    stage: StageWord | None = None
    acting: Role | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_CONNECTIONS)] = 1000
    cursor: Word | None = None


class SessionsQuery(Query, frozen=True):
    """`GET /api/sessions`; `limit` sessions from `cursor` on."""

    user: Word | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_ROWS)] = 100
    cursor: Word | None = None


LedgerCursor = Annotated[str, Meta(pattern="^[0-9]{1,18}-[0-9]{1,18}$")]


class VerdictsQuery(Query, frozen=True):
    """`GET /api/verdicts`; the newest `limit` verdicts before `cursor`."""

    user: Word | None = None
    package: Word | None = None
    connection_kind: Kind | None = None
    verdict: VerdictName | None = None
    kind: VerdictKind | None = None
    acting: Role | None = None
    recovered: bool | None = None
    improvement: bool | None = None
    rule: Word | None = None
    since: Seconds | None = None
    until: Seconds | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_ROWS)] = 100
    cursor: LedgerCursor | None = None

    def filter(self, user: str | None) -> VerdictFilter:
        """The filter for the ledger. `user` is the name behind a pseudonym."""
        return VerdictFilter(
            user=user,
            package=self.package,
            connection_kind=self.connection_kind,
            verdict=self.verdict,
            kind=self.kind,
            acting=self.acting,
            recovered=self.recovered,
            improvement=self.improvement,
            rule=self.rule,
            since=wall(self.since),
            until=wall(self.until),
        )


class OutcomesQuery(Query, frozen=True):
    """`GET /api/outcomes`; the newest `limit` outcomes."""

    user: Word | None = None
    kind: Kind | None = None
    acting: Role | None = None
    result: Return | None = None
    since: Seconds | None = None
    until: Seconds | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_ROWS)] = 100


class GateQuery(Query, frozen=True):
    """`GET /api/gate`; `at` asks for the answer of that time."""

    kind: Kind | None = None
    at: Seconds | None = None


class ExplainQuery(Query, frozen=True):
    """`GET /api/flags/explain`."""

    user: Word


class VersionsQuery(Query, frozen=True):
    """`GET /api/flags/versions`; the newest `limit` versions."""

    limit: Annotated[int, Meta(ge=1, le=10_000)] = 20


class RetirementQuery(Query, frozen=True):
    """`GET /api/retirement`."""

    force: Annotated[bool, Meta(description="Report although the gate does not say `ready`.")] = (
        False
    )


class ReportQuery(Query, frozen=True):
    """`GET /api/report`."""

    period: Annotated[
        Period | None,
        Meta(description="By default since the start of the process, in a fleet `24h`."),
    ] = None


Q = TypeVar("Q", bound=Query)


def read_query(request: web.Request, model: type[Q], **defaults: Any) -> Q:
    """The request's filters. Raises ApiError (400) for unknown, repeated and impossible ones.

    An empty filter counts as left out, because forms send it so.
    """
    fields = {field.name: field for field in msgspec.structs.fields(model)}
    values: dict[str, Any] = {}
    for name, text in request.query.items():
        if not text and name in fields:
            continue
        if name not in fields:
            there = f"there are {', '.join(fields)}" if fields else "there are none here"
            raise bad_request(f"unknown filter {name!r}{suggestion(name, fields)}; {there}")
        if name in values:
            raise bad_request(f"the filter {name!r} is there more than once")
        try:
            values[name] = msgspec.convert(text, fields[name].type, strict=False)
        except msgspec.ValidationError as error:
            raise bad_request(f"{name}: {_reason(text, fields[name].type, error)}") from None
    for name, field in fields.items():
        if field.required and name not in values:
            raise bad_request(f"the filter {name!r} is needed")
    return model(**{**defaults, **values})


def _reason(text: str, hint: Any, error: msgspec.ValidationError) -> str:
    """Why a text does not fit this type; where words are expected, the reason lists them."""
    for part in (hint, *get_args(hint)):
        words = list(part) if isinstance(part, EnumType) else get_args(part)
        if words and all(isinstance(word, str) for word in words):
            return f"{text[:80]!r} is not one of {', '.join(words)}"
    return str(error)


def read_id(text: str) -> int:
    """The number of a verdict in a path. Raises ApiError (404)."""
    number = read_number(text)
    if number is None:
        raise not_found("there is no such verdict")
    return number


def read_number(text: str) -> int | None:
    """A whole number of at most 18 digits; None: the text is something else."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def wall(time: float | None) -> Wall | None:
    """Seconds of a query as the ledger counts them."""
    return None if time is None else from_seconds(time)

"""Connections to the store, and what is said when there is none.

A URL is libpq's: its options, service files, PGPASSFILE, TLS by `sslmode`. No error says any part of a
password.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import unquote

import psycopg
from psycopg import conninfo

from shim.ledger.postgres.certificate_fault import REFUSED, describe_certificate_fault
from shim.ledger.postgres.line_guard import at_most
from shim.ledger.postgres.store_schema import SCHEMA
from shim.ledger.protocols import UnusableError
from shim.ledger.rows import storable
from shim.model.ledger_url import LedgerUrl

_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "application_name": "shim",
}
"""Seconds, the last one milliseconds; what the URL or the environment says goes before."""

_FROM_ENVIRONMENT = {"connect_timeout": "PGCONNECT_TIMEOUT", "application_name": "PGAPPNAME"}

_PASSING = (
    "starting up",
    "shutting down",
    "recovery",
    "too many",
    "connection slots",
    "administrator command",
    "not currently accepting",
)
"""Refusals of the server that pass by themselves. Before a connection is there, its text is all that libpq
tells."""

_LASTING = (
    "FATAL:",
    "invalid integer",  # libpq looks at some options only when it connects
    "invalid port",
    "invalid sslmode",
    "invalid target_session_attrs",
    "invalid channel_binding",
    "invalid response",  # something else than PostgreSQL
    "password",
    "certificate",
    "SSL was required",
    "does not support SSL",
    "definition of service",
    "service file",
    "private key",
    "SCRAM",
    "authentication method",
)
"""What a person has to repair."""


_TROUBLE = ("08", "53", "57", "40", "58", "XX")
"""The classes of errors that are trouble of the server or of the line, and may pass."""

_NO_TRANSACTIONS = "transaction blocks not allowed"
"""What PgBouncer says in statement mode."""

_POOLED = (
    "a connection pooler in transaction mode is before the server: give it the session mode "
    "(in PgBouncer `pool_mode = session`), or name the server itself"
)
_SHARED = {"42P05", "26000"}
"""A prepared statement exists already, or does not exist: another client had this connection to the server."""

_LOOKS = 5
"""So often it is looked whether a pooler shares: other clients may take the connection that is looked for."""

_LEFT_IDLE = "25P03"
"""The server ended a transaction that was left idle: this process did not run for a while."""

_LEFT_BEHIND = 25.0
"""Seconds that the server waits, in a transaction, for a process that has given up by then or will soon."""

_OLDEST = 130_000
"""The oldest version of PostgreSQL, as libpq writes it."""

_LONGEST_CHECK = 5.0
"""Seconds for all that is asked before a connection is used."""

_SESSION = {
    "search_path": SCHEMA,
    # A line that is cut in silence leaves a transaction behind, with its locks, that nobody goes on with
    # (`end_left_behind`).
    "idle_in_transaction_session_timeout": "10s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
"""What the server is told about each connection. The keepalives end what waits for more rows of a COPY."""

_FORGOTTEN_AFTER = {"idle_session_timeout": "5min"}
"""What the server is told, too, since version 14: it ends a connection that a silent line left behind. Ours are
used again and again, and a reader's is opened anew."""

_HAS_IDLE_TIMEOUT = 140_000


def _set_session(version: int) -> bytes:
    session = _SESSION | (_FORGOTTEN_AFTER if version >= _HAS_IDLE_TIMEOUT else {})
    changes = (f"set_config('{name}', '{value}', false)" for name, value in session.items())
    return f"SELECT pg_backend_pid(), {', '.join(changes)}".encode()


class UnreachableError(UnusableError):
    """The store does not answer at the moment."""


def connect(url: LedgerUrl) -> "psycopg.Connection[tuple[Any, ...]]":
    """A connection on which each statement is a transaction, unless one is begun.

    Raises UnreachableError if the store does not answer, UnusableError if it refuses.
    """
    with store_errors(url):
        given = conninfo.conninfo_to_dict(url.url)
        defaults = {
            name: value
            for name, value in _DEFAULTS.items()
            if name not in given and _FROM_ENVIRONMENT.get(name, "") not in os.environ
        }
        connection = psycopg.connect(url.url, autocommit=True, **defaults)
        try:
            _check_server(connection, url)
            with at_most(_LONGEST_CHECK, connection):
                setting = _set_session(connection.info.server_version)
                found = connection.execute(setting).fetchone()
            # A pooler does not tell which process of the server works for it.
            if found is not None and found[0] != connection.info.backend_pid:
                with closing(psycopg.connect(url.url, autocommit=True, **defaults)) as other:
                    _check_pooler(connection, other, url)
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def connected(url: LedgerUrl) -> "Iterator[psycopg.Connection[tuple[Any, ...]]]":
    """A connection as long as the context lasts; what fails there is told in words (`store_errors`)."""
    with closing(connect(url)) as connection, store_errors(url):
        yield connection


def end_left_behind(connection: "psycopg.Connection[Any]", *, after: float = _LEFT_BEHIND) -> None:
    """End the connections of shims of this role whose process was silent for so many seconds in a transaction.

    A COPY that waits for more rows keeps its locks for ever if something between process and server keeps the
    line up: the server ends idle transactions only.
    """
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND usename = current_user "
        "AND application_name = current_setting('application_name') AND pid <> pg_backend_pid() "
        "AND (state = 'active' OR state LIKE 'idle in transaction%%') AND wait_event = 'ClientRead' "
        "AND state_change < clock_timestamp() - make_interval(secs => %s)",
        (after,),
    )


def _check_server(connection: "psycopg.Connection[Any]", url: LedgerUrl) -> None:
    if connection.info.server_version < _OLDEST:
        version = (connection.info.parameter_status("server_version") or "").partition(" ")[0]
        raise UnusableError(
            f"{url} is PostgreSQL {version}: a store needs version {_OLDEST // 10_000} or newer"
        )


def _check_pooler(
    connection: "psycopg.Connection[Any]", other: "psycopg.Connection[Any]", url: LedgerUrl
) -> None:
    """Refuse a pooler that takes a connection to the server away between two transactions: what is set on a
    connection would be lost, and no order would be heard of."""
    try:
        with at_most(_LONGEST_CHECK, connection), at_most(_LONGEST_CHECK, other):
            is_shared = any(_is_shared(connection, other) for _ in range(_LOOKS))
    except psycopg.OperationalError as error:
        if _NO_TRANSACTIONS in str(error):  # an old psycopg has no number for this error
            is_shared = True
        elif connection.closed:
            raise
        else:
            # The server has no place for another connection, and ours was not taken.
            is_shared = False
    if is_shared:
        raise UnusableError(f"{url}: {_POOLED}")


def _is_shared(connection: "psycopg.Connection[Any]", other: "psycopg.Connection[Any]") -> bool:
    before = _server_process(connection)
    with other.transaction():
        return _server_process(other) == before or _server_process(connection) != before


def _server_process(connection: "psycopg.Connection[Any]") -> int:
    found = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert found is not None
    return int(found[0])


def unnest(*types: str) -> str:
    """The part of a statement that makes rows of one list for each column; the types are those of the columns.

    Many rows are written so, and not by psycopg's `executemany`: its last message, a Flush, makes PostgreSQL
    forget `idle_in_transaction_session_timeout`, so that a transaction that is left there keeps its locks.
    """
    return f"unnest({', '.join(f'%s::{one}[]' for one in types)})"


def keepable(values: Iterable[Any]) -> list[Any]:
    """Values as PostgreSQL takes them: `storable`, and the character 0, which no text can have, is `\\x00`."""
    return [
        value.replace("\0", "\\x00") if isinstance(value, str) else value
        for value in storable(values)
    ]


@contextmanager
def store_errors(url: LedgerUrl) -> Iterator[None]:
    """Turn an error of the store into words, without a password."""
    try:
        yield
    except psycopg.Error as error:
        raise _told(error, url) from None
    except UnicodeEncodeError as error:
        raise UnusableError(f"{url}: {error.object!r} is no valid UTF-8") from None


def _told(error: psycopg.Error, url: LedgerUrl) -> UnusableError:
    text = " ".join(_without_secrets(str(error), url).split())
    state = error.sqlstate
    if REFUSED in text and (fault := describe_certificate_fault(error)) is not None:
        return UnusableError(f"{url} cannot be used: {_without_secrets(fault, url)}: {text}")
    if state in _SHARED:
        return UnusableError(f"{url}: {_POOLED}")
    if state == "42501":
        return UnusableError(f"{url}: this role has not the rights that are needed: {text}")
    if state == "25006":
        return UnusableError(
            f"{url} can only be read, as it is a replica or made read-only: name the primary server: {text}"
        )
    if state is not None and state != _LEFT_IDLE and state[:2] not in _TROUBLE:
        return UnusableError(f"{url}: {text}")
    lasting = any(word in text for word in _LASTING)
    passing = any(word in text for word in _PASSING)
    ours = isinstance(error, psycopg.ProgrammingError | psycopg.DataError)
    if state is None and (ours or (lasting and not passing)):
        return UnusableError(f"{url} cannot be used: {text}")
    trouble = "does not answer" if state is None else "has trouble"
    return UnreachableError(f"{url} {trouble}: {text}")


def _without_secrets(text: str, url: LedgerUrl) -> str:
    for secret in url.secrets:
        for form in (secret, unquote(secret)):
            text = text.replace(form, "***")
    return text

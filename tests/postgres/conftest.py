"""One server for all tests of this folder; one database for each test."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from shim.ledger.postgres.store_connection import connect
from shim.ledger.postgres.store_reader import PostgresReader
from shim.ledger.postgres.store_schema import prepare
from shim.model.ledger_url import LedgerUrl
from tests.postgres.helpers import FLEET, Store
from tests.postgres.returning_fleet import Fleet
from tests.postgres.server import PostgresServer


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """A server that takes its time for nothing: what it has committed is lost when it is killed."""
    with PostgresServer() as running:
        yield running


@pytest.fixture
def database(server: PostgresServer) -> Iterator[str]:
    """The name of an empty database."""
    name = server.create_database()
    yield name
    server.drop_database(name)


@pytest.fixture(scope="session")
def empty_store(server: PostgresServer) -> str:
    """The name of a database with a store in which nothing is; to be copied, not used."""
    name = server.create_database()
    with closing(connect(LedgerUrl(server.url(name)))) as connection:
        prepare(connection, FLEET, name)
    return name


@pytest.fixture
def store(server: PostgresServer, empty_store: str) -> Iterator[LedgerUrl]:
    """The URL of a store in which nothing is."""
    name = server.create_database(template=empty_store)
    yield LedgerUrl(server.url(name))
    server.drop_database(name)


@pytest.fixture
def connection(store: LedgerUrl) -> Iterator[Store]:
    """To that store."""
    with closing(connect(store)) as opened:
        yield opened


@pytest.fixture
def reader(store: LedgerUrl) -> Iterator[PostgresReader]:
    """Of that store."""
    with closing(PostgresReader(store)) as opened:
        yield opened


@pytest.fixture
def fleet(connection: Store) -> Fleet:
    """Processes of that store, which look for clients who come back."""
    return Fleet(connection)

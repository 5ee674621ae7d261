"""One server for all tests of this folder; one database for each test."""

from collections.abc import Iterator

import pytest

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

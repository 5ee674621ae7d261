"""The server of the tests itself: it starts, asks for passwords, dies and comes back."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.postgres.server import PASSWORD, PostgresServer


def ask(url: str, statement: str = "SELECT count(*) FROM numbers") -> object:
    with psycopg.connect(url) as connection:
        found = connection.execute(statement).fetchone()
        return found and found[0]


def test_each_test_has_a_database_of_its_own(server: PostgresServer, database: str) -> None:
    with psycopg.connect(server.url(database)) as connection:
        connection.execute("CREATE TABLE numbers AS SELECT generate_series(1, 5)")
    copy = server.create_database(template=database)
    assert copy != database
    assert ask(server.url(copy)) == 5
    server.drop_database(copy)
    with pytest.raises(psycopg.OperationalError):
        ask(server.url(copy))


def test_the_port_asks_for_a_password(server: PostgresServer, database: str) -> None:
    server.create_role("somebody")
    assert ask(server.url(database, "somebody"), "SELECT current_user") == "somebody"
    for wrong in (PASSWORD + "x", None):
        with pytest.raises(psycopg.OperationalError):
            ask(server.url(database, "somebody", wrong), "SELECT 1")


def test_what_a_durable_server_committed_survives_its_death() -> None:
    with PostgresServer(durable=True) as server:
        url = server.url(server.create_database())
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE numbers AS SELECT generate_series(1, 5)")
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            ask(url)
        server.start()
        assert ask(url) == 5


def test_a_frozen_server_goes_on_where_it_was(server: PostgresServer, database: str) -> None:
    with ThreadPoolExecutor() as thread:
        with server.frozen():
            answer = thread.submit(ask, server.url(database), "SELECT 2")
            assert not answer.done()
        assert answer.result() == 2

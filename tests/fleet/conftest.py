"""The store of `tests/postgres`, one for each test."""

from tests.postgres.conftest import database, empty_store, server, store

__all__ = ["database", "empty_store", "server", "store"]

"""A duty that one process of a fleet has at a time, for all (R25: docs/design.md#r25).

A lease is a row with an end, by the store's clock. It is renewed long before it ends; when its holder dies or
freezes, another process takes it over. What the holder writes, it writes in a transaction that has asked for
the lease: a frozen holder that wakes up finds that it has none.
"""

from typing import Any

from psycopg import Connection

from shim.ledger.postgres.process_list import NOW
from shim.model import Duration

LASTS: Duration = 4_000_000
"""Microseconds; another process takes over within 5 s."""

_RENEWED: Duration = 1_000_000
"""A lease is renewed when it is older than this; to look at it costs the store no commit."""


class Lease:
    """The lease of one duty, as one process sees it.

    Args:
        duty: the name of the duty.
        holder: names this run of the process; no other run has the same name.
    """

    def __init__(self, duty: str, holder: str) -> None:
        self._duty = duty
        self._holder = holder

    def keep(self, connection: Connection[Any]) -> bool:
        """Have the lease for the next second at least, and take or renew it for that only if need be.

        False: another process has it.
        """
        found = connection.execute(
            f"SELECT holder, until - {NOW} FROM lease WHERE duty = %s".encode(), (self._duty,)
        ).fetchone()
        if found is not None:
            holder, left = found
            if holder != self._holder and left >= 0:
                return False
            if holder == self._holder and left > LASTS - _RENEWED:
                return True
        return self.hold(connection)

    def hold(self, connection: Connection[Any]) -> bool:
        """Take the lease, or renew it, and keep others from taking it until the transaction ends.

        False: another process has it.
        """
        found = connection.execute(
            f"INSERT INTO lease (duty, holder, until) VALUES (%s, %s, {NOW} + %s) "
            "ON CONFLICT (duty) DO UPDATE SET holder = excluded.holder, until = excluded.until "
            f"WHERE lease.holder = excluded.holder OR lease.until < {NOW} RETURNING duty".encode(),
            (self._duty, self._holder, LASTS),
        ).fetchone()
        return found is not None

    def give_up(self, connection: Connection[Any]) -> None:
        """End the lease, if this process has it: another process need not wait."""
        connection.execute(
            "DELETE FROM lease WHERE duty = %s AND holder = %s", (self._duty, self._holder)
        )

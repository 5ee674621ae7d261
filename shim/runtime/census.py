"""How many are connected, by kind and stage: counted as they come and go, never by looking at all."""

from collections import Counter

from shim.flags import Evaluation
from shim.model import Closing, Connection, Duration, Kind, Role, Stage, Time
from shim.router import Observer
from shim.router.time_integral import TimeIntegral


class Census(Observer):
    """Sockets that have not ended, and the users they belong to."""

    def __init__(self, now: Time) -> None:
        self.connections = {(kind, stage): TimeIntegral(now) for kind in Kind for stage in Stage}
        # For each stage the users with an open connection, and how many they have.
        self._users: dict[Stage, Counter[str]] = {stage: Counter() for stage in Stage}

    def opened(
        self,
        connection: Connection,
        evaluation: Evaluation,
        stage: Stage,
        acting: Role | None,
        now: Time,
    ) -> None:
        self._count(connection, stage, 1, now)

    def closed(self, closing: Closing) -> None:
        self._count(closing.connection, closing.stage, -1, closing.at)

    def stage_changed(self, connection: Connection, before: Stage, after: Stage, now: Time) -> None:
        self._count(connection, before, -1, now)
        self._count(connection, after, 1, now)

    def _count(self, connection: Connection, stage: Stage, change: int, now: Time) -> None:
        self.connections[connection.kind, stage].add(change, now)
        users = self._users[stage]
        users[connection.user] += change
        if not users[connection.user]:
            del users[connection.user]

    def users(self, stage: Stage) -> int:
        """Users with an open connection at this stage."""
        return len(self._users[stage])

    def acted_for(self, acting: Role) -> int:
        """Users for whom this monitor acts."""
        return sum(len(users) for stage, users in self._users.items() if stage.acting is acting)

    def open(self, kind: Kind | None = None, stage: Stage | None = None) -> int:
        """Connections of this kind, at this stage."""
        return sum(
            integral.count
            for (its_kind, its_stage), integral in self.connections.items()
            if kind in (None, its_kind) and stage in (None, its_stage)
        )

    def connected(self, kind: Kind, acting: Role, now: Time) -> Duration:
        """Connection-time of this kind for which this monitor acted."""
        return sum(
            self.connections[kind, stage].until(now) for stage in Stage if stage.acting is acting
        )

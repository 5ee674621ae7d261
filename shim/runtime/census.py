"""The numbers of connections and users, by kind and stage, updated as connections come and go."""

from collections import Counter

from shim.model import Closing, Connection, Duration, Kind, Role, Stage, Time
from shim.router import Observer, Opened, StageChanged, handles
from shim.router.time_integral import TimeIntegral


class Census(Observer):
    """Counts the sockets that have not ended, and their users."""

    def __init__(self, now: Time) -> None:
        self.connections = {(kind, stage): TimeIntegral(now) for kind in Kind for stage in Stage}
        # For each stage the users with an open connection, and how many they have.
        self._users: dict[Stage, Counter[str]] = {stage: Counter() for stage in Stage}

    @handles(Opened)
    def _opened(self, opened: Opened) -> None:
        self._count(opened.connection, opened.stage, 1, opened.at)

    @handles(Closing)
    def _closed(self, closing: Closing) -> None:
        self._count(closing.connection, closing.stage, -1, closing.at)

    @handles(StageChanged)
    def _stage_changed(self, change: StageChanged) -> None:
        self._count(change.connection, change.before, -1, change.at)
        self._count(change.connection, change.after, 1, change.at)

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

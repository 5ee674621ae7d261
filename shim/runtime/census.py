"""The numbers of connections and users, by kind and stage, updated as connections come and go."""

from shim.model import Closing, Connection, Duration, Kind, Role, Stage, Time
from shim.router import Observer, Opened, StageChanged, handles
from shim.router.time_integral import TimeIntegral


class Census(Observer):
    """Counts the sockets that have not ended, and their users."""

    def __init__(self, now: Time) -> None:
        # Both by stage, whose members are indexes: it takes 80 ns to hash a member of an enumeration.
        self._connections = [{kind: TimeIntegral(now) for kind in Kind} for _ in Stage]
        # The users with an open connection, and how many they have: of any kind, and of each kind.
        self._users: list[dict[str, int]] = [{} for _ in Stage]
        self._users_of_kind: list[dict[Kind, dict[str, int]]] = [
            {kind: {} for kind in Kind} for _ in Stage
        ]
        # Users with an open connection for whom nobody vouches: they are no evidence. And how many of them
        # have a connection, by stage and kind.
        self._uncounted: set[str] = set()
        self._uncounted_of_kind = [dict.fromkeys(Kind, 0) for _ in Stage]

    @handles(Opened)
    def _opened(self, opened: Opened) -> None:
        if opened.counted:
            self._vouch_for(opened.connection.user)
        elif not any(opened.connection.user in users for users in self._users):
            self._uncounted.add(opened.connection.user)
        self._count(opened.connection, opened.stage, 1, opened.at)

    @handles(Closing)
    def _closed(self, closing: Closing) -> None:
        user = closing.connection.user
        self._count(closing.connection, closing.stage, -1, closing.at)
        if user in self._uncounted and not any(user in users for users in self._users):
            self._uncounted.discard(user)

    @handles(StageChanged)
    def _stage_changed(self, change: StageChanged) -> None:
        self._count(change.connection, change.before, -1, change.at)
        self._count(change.connection, change.after, 1, change.at)

    def _count(self, connection: Connection, stage: Stage, change: int, now: Time) -> None:
        self._connections[stage][connection.kind].add(change, now)
        user = connection.user
        of_kind = self._users_of_kind[stage][connection.kind]
        known = user in of_kind
        for users in (self._users[stage], of_kind):
            if count := users.get(user, 0) + change:
                users[user] = count
            else:
                del users[user]
        if user in self._uncounted and known is not (user in of_kind):
            self._uncounted_of_kind[stage][connection.kind] += change

    def _vouch_for(self, user: str) -> None:
        if user in self._uncounted:
            self._uncounted.discard(user)
            for stage, of_kind in enumerate(self._users_of_kind):
                for kind, users in of_kind.items():
                    self._uncounted_of_kind[stage][kind] -= user in users

    def users(self, stage: Stage) -> int:
        """Users with an open connection at this stage."""
        return len(self._users[stage])

    def acted_for(self, kind: Kind, acting: Role) -> int:
        """Users with an open connection of this kind, for whom this monitor acts, and who are evidence."""
        return sum(
            len(self._users_of_kind[stage][kind]) - self._uncounted_of_kind[stage][kind]
            for stage in Stage
            if stage.acting is acting
        )

    def open(self, kind: Kind | None = None, stage: Stage | None = None) -> int:
        """Connections of this kind, at this stage."""
        return sum(
            integral.count
            for its_stage in Stage
            for its_kind, integral in self._connections[its_stage].items()
            if kind in (None, its_kind) and stage in (None, its_stage)
        )

    def connected(self, kind: Kind, acting: Role, now: Time) -> Duration:
        """Connection-time of this kind for which this monitor acted."""
        return sum(
            self._connections[stage][kind].until(now) for stage in Stage if stage.acting is acting
        )

"""The fleet: users, their clients with their connections, and the troubles of each client.

Troubles are drawn ahead and do not depend on what the server does. One that begins while its client is in
another, or is not connected, does not take place.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final, NamedTuple, Protocol

from shim.flags import Targeting
from shim.model import SECOND, Close, Confirmation, Connection, Duration, Kind, Stage, Time
from shim.router import NO_CONFIRMATION, Tracked
from shim.simulate import draws
from shim.simulate.behaviour import ClientSettings, Durations, TroubleSettings
from shim.simulate.scenario import DAY, Scenario

NEVER: Final[Time] = 1 << 60
FREEZE, DROP, LEAVE, LOSSY = range(4)

_ROUND_TRIP, _RESENT, _MESSAGE, _RECONNECT, _AWAY, _TROUBLES, _FRAILTY, _ARRIVAL, _CUT, _SAMPLE = (
    range(10)
)
_MOST_RESENT, _MOST_RESENT_LOSSY = 4, 10
_RESEND_AFTER: Duration = SECOND // 5
"""The first retransmission; each further one waits twice as long (RFC 6298)."""


class Trouble(NamedTuple):
    start: Time
    end: Time
    kind: int


class User:
    """A user; `in_session`: since the server started, a connection of theirs was opened.

    `frailty` is the factor of their rates of trouble; `cut` and `sample` say into which shares they fall.
    `open` counts their open connections by kind.
    """

    __slots__ = (
        "by_percentage",
        "cut",
        "frailty",
        "in_session",
        "name",
        "open",
        "sample",
        "stage",
    )

    def __init__(self, name: str, stage: Stage, by_percentage: bool) -> None:
        self.name = name
        self.stage = stage
        self.by_percentage = by_percentage
        self.frailty = 1.0
        self.cut = 1.0
        self.sample = 1.0
        self.in_session = False
        self.open = dict.fromkeys(Kind, 0)


class Link:
    """One client of one user: what stays the same when it comes back on another connection.

    From `blocked_since` to `blocked_until` nothing is heard of it; `cut`: because packets are lost.
    `connection` is the one that the client believes in, `older` one that only the server still has.
    `next_trouble` and `following` are the next troubles, `pending_until` the end of the last return window,
    `opened` counts its connections.
    """

    __slots__ = (
        "blocked_since",
        "blocked_until",
        "client",
        "connection",
        "cut",
        "drawn",
        "following",
        "index",
        "key",
        "lossy_until",
        "next_trouble",
        "older",
        "opened",
        "package",
        "pending_until",
        "user",
    )

    def __init__(self, index: int, user: User, client: "Client", number: int, key: int) -> None:
        self.index = index
        self.user = user
        self.client = client
        self.key = key
        self.package = client.package(number)
        self.connection: SimulatedConnection | None = None
        self.older: list[SimulatedConnection] = []
        self.opened = 0
        self.drawn = 0
        self.blocked_since: Time = -1
        self.blocked_until: Time = -1
        self.lossy_until: Time = -1
        self.cut = False
        self.pending_until: Time = -1
        self.next_trouble = self.following = _NO_TROUBLE

    def blocked(self, at: Time) -> bool:
        return self.blocked_since <= at < self.blocked_until


class ClientSide(Protocol):
    """What becomes of the server's effects at the other end of a connection."""

    def pinged(self, connection: "SimulatedConnection", payload: bytes) -> None: ...

    def closed(self, connection: "SimulatedConnection", close: Close) -> None: ...

    def terminated(self, connection: "SimulatedConnection") -> None: ...


class SimulatedConnection:
    """One connection, from both ends.

    `alive`: the client's end exists; `gone`: the server's does not any more. `tracked` is None while
    nothing happens to the connection, so that the router need not know it. `closing` is what the acting
    monitor wanted, `owes`: the client has yet to answer a ping, `heard_at` when its last packet arrives.
    `stint` counts the times that the router was told of it; `talking`: its next message is planned.
    """

    __slots__ = (
        "alive",
        "clients",
        "closing",
        "gone",
        "heard_at",
        "id",
        "link",
        "opened_at",
        "owes",
        "stint",
        "talking",
        "touch",
        "tracked",
    )

    touch: Callable[[], None]

    def __init__(self, clients: ClientSide, link: Link, id: str, now: Time) -> None:
        self.clients = clients
        self.link = link
        self.id = id
        self.opened_at = now
        self.heard_at = now
        self.alive = True
        self.gone = False
        self.owes = False
        self.talking = False
        self.stint = 0
        self.tracked: Tracked | None = None
        self.closing: Close | None = None

    @property
    def connection(self) -> Connection:
        link = self.link
        return Connection(self.id, link.client.kind, link.user.name, link.user.name, link.package)

    # -- Port -----------------------------------------------------------------------------------------

    def ping(self, payload: bytes) -> None:
        self.clients.pinged(self, payload)

    def close(self, close: Close) -> None:
        self.clients.closed(self, close)

    def terminate(self) -> None:
        self.clients.terminated(self)

    def forget(self) -> None:
        """The session's reference goes with the connection."""

    def confirm(self) -> Confirmation:
        return NO_CONFIRMATION


_NO_TROUBLE = Trouble(NEVER, NEVER, LEAVE)


class Client:
    """One sort of client, ready to be drawn from."""

    def __init__(self, name: str, settings: ClientSettings) -> None:
        self.name = name
        self.kind = settings.kind
        self.settings = settings
        self.message_every = settings.message_every
        self._loss = settings.loss
        self._round_trip = settings.round_trip
        sorts = (settings.freezes, settings.drops, settings.leaves, settings.lossy)
        self._sorts: list[TroubleSettings | None] = list(sorts)
        self._rates = list(accumulate(0.0 if sort is None else sort.per_day for sort in sorts))
        self._spell_loss = 0.0 if settings.lossy is None else settings.lossy.loss
        # What no answer exceeds while nothing is wrong, and in a lossy spell.
        longest = settings.round_trip.max
        self.longest_round_trip = longest + (_resent(_MOST_RESENT) if self._loss else 0)
        self.longest_when_lossy = longest + _resent(_MOST_RESENT_LOSSY)

    def package(self, number: int) -> str | None:
        if self.kind is Kind.GLASSES:
            return None
        return f"com.example.{self.name}" + (f".{number}" if number else "")

    def round_trip(self, link: Link, at: Time) -> Duration:
        """The time from a packet at `at` to its answer."""
        settings = self._round_trip
        usual = round(settings.median * draws.lognormal(link.key ^ _ROUND_TRIP, at, settings.sigma))
        lossy = at < link.lossy_until
        loss = self._spell_loss if lossy else self._loss
        resent = 0
        if loss:
            chance = draws.uniform(link.key ^ _RESENT, at)
            most = _MOST_RESENT_LOSSY if lossy else _MOST_RESENT
            while resent < most and chance < loss ** (resent + 1):
                resent += 1
        return min(usual, settings.max) + _resent(resent)

    def message_after(self, link: Link, at: Time) -> Time:
        """When the client sends its first message after `at`: one in each interval."""
        every = self.message_every
        assert every is not None
        number = at // every
        while True:
            sent = number * every + int(draws.uniform(link.key ^ _MESSAGE, number) * every)
            if sent > at:
                return sent
            number += 1

    def returns_after(self, link: Link, code: int, at: Time) -> Duration:
        """The time from a close to the return, by itself or because the user starts the client again."""
        for entry in self.settings.reconnect:
            if entry.after is None or code in entry.after:
                key = draws.key(link.key ^ _RECONNECT, at)
                if draws.uniform(key, 0) < entry.probability:
                    return entry.delay + int(draws.uniform(key, 1) * entry.jitter)
                break
        return drawn(self.settings.away, draws.key(link.key ^ _AWAY, at), 0)

    # -- Troubles -------------------------------------------------------------------------------------

    def first_troubles(self, link: Link) -> None:
        link.next_trouble = self._after(link, None)
        link.following = self._after(link, link.next_trouble)

    def next_trouble(self, link: Link) -> None:
        """The next trouble has begun: look for the one after the following."""
        link.next_trouble = link.following
        link.following = self._after(link, link.following)

    def _after(self, link: Link, before: Trouble | None) -> Trouble:
        key, number = link.key ^ _TROUBLES, link.drawn
        link.drawn += 4
        if before is not None and before.start < NEVER:
            sort = self._sorts[before.kind]
            assert sort is not None
            again = sort.again
            if again is not None and draws.uniform(key, number) < again.probability:
                return self._trouble(key, number, before.end + again.after, before.kind)
        total = self._rates[-1] * link.user.frailty
        if not total:
            return _NO_TROUBLE
        since = 0 if before is None else before.start
        start = since + round(draws.exponential(key, number + 1, DAY / total)) + 1
        chosen = draws.uniform(key, number + 2) * self._rates[-1]
        return self._trouble(key, number, start, bisect_right(self._rates, chosen))

    def _trouble(self, key: int, number: int, start: Time, kind: int) -> Trouble:
        sort = self._sorts[kind]
        assert sort is not None
        return Trouble(start, start + drawn(sort.duration, key, number + 3), kind)


class Fleet:
    """All users and their clients."""

    def __init__(self, scenario: Scenario, rollout: Targeting) -> None:
        self.clients = [Client(name, client) for name, client in scenario.clients.items()]
        self.users: list[User] = []
        self.links: list[Link] = []
        seed = draws.key(scenario.seed, 0)
        for index in range(scenario.users):
            user = self._user(index, scenario, rollout, draws.key(seed, index))
            for client in self.clients:
                for number in range(client.settings.connections):
                    key = draws.key(seed, len(self.links) << 32 | 1)
                    link = Link(len(self.links), user, client, number, key)
                    client.first_troubles(link)
                    self.links.append(link)

    def _user(self, index: int, scenario: Scenario, rollout: Targeting, key: int) -> User:
        name = f"user-{index}@example.com"
        evaluation = rollout.evaluate(name)
        user = User(name, evaluation.stage, evaluation.by_percentage)
        user.frailty = draws.lognormal(key ^ _FRAILTY, 0, scenario.frailty)
        user.cut = draws.uniform(key ^ _CUT, 0)
        user.sample = draws.uniform(key ^ _SAMPLE, 0)
        self.users.append(user)
        return user

    @property
    def longest_round_trip(self) -> Duration:
        return max(client.longest_round_trip for client in self.clients)


def arrival(link: Link, within: Duration) -> Time:
    """When a client connects for the first time."""
    return int(draws.uniform(link.key ^ _ARRIVAL, 0) * within)


def drawn(durations: Durations, key: int, number: int) -> Duration:
    """One of these durations, longer than 0."""
    if durations.shares:
        return max(1, _from_table(durations.shares, draws.uniform(key, number)))
    assert durations.median is not None
    duration = durations.median * draws.lognormal(key, number, durations.sigma)
    return max(1, min(round(duration), durations.max))


def _from_table(table: Sequence[tuple[Duration, float]], chance: float) -> Duration:
    for duration, share in table:
        if chance < share:
            return duration
        chance -= share
    return table[-1][0]


def _resent(times: int) -> Duration:
    return _RESEND_AFTER * ((1 << times) - 1)

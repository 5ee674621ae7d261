"""Processes that look for clients who come back to any of them; each duty is done by hand, in its turn."""

from dataclasses import dataclass

from shim.compare.fleet_returns import FleetReturns
from shim.fleet.opening_teller import OpeningTeller
from shim.fleet.outcome_judge import OutcomeJudge
from shim.ledger.postgres.process_list import ProcessName, Sign, enter, give_sign, read_clock
from shim.ledger.postgres.shipment import note_run
from shim.ledger.process_record import StoreStatus
from shim.ledger.rows import ActionRow, RunRow
from shim.model import SECOND, Connection, Kind, Outcome, Role, Time
from tests.postgres.helpers import Store, insert_row

S = SECOND
WINDOW, PATIENCE = 120 * S, 30 * S


@dataclass
class Opened:
    connection: Connection
    opened_at: Time


class Member:
    """A process whose event loop runs what is posted at once, and whose rows are put into the store by hand."""

    def __init__(self, fleet: "Fleet", name: str, capacity: int = 1000) -> None:
        self.fleet = fleet
        self.name = name
        run = RunRow(
            uuid=f"{name:0>32}",
            started_at=fleet.now,
            pid=1,
            version="1",
            settings="s",
            tolerance=1,
            window=1,
            return_window=1,
        )
        self.run = note_run(fleet.store, run, 0).id
        enter(
            fleet.store, ProcessName(name, "host"), self.run, (), "here", lived_since=run.started_at
        )
        self.returns = FleetReturns(WINDOW, PATIENCE, capacity=capacity)
        self.outcomes: list[Outcome] = []
        self.waiting: list[ActionRow] = []
        self.teller = OpeningTeller(
            self.returns,
            run.uuid,
            post=lambda function: function(),
            clock=lambda: fleet.now,
            to_wall=lambda time: time,
            store=lambda: StoreStatus(None, 0, None, 0),
            tell=self.outcomes.append,
        )

    def connection(self, id: str, user: str) -> Connection:
        return Connection(f"{self.name}{id}", Kind.APP, user, "s", "com.example.app1")

    def open(self, id: str, user: str = "u1") -> None:
        self.returns.opened(Opened(self.connection(id, user), self.fleet.now))

    def close(self, id: str, user: str = "u1") -> None:
        self.returns.closed(self.connection(id, user), self.fleet.now)

    def act(self, id: str, user: str = "u1", silence: Time = 45 * S) -> None:
        """Close a connection of which nothing was heard for so long; its row waits to be shipped."""
        now, connection = self.fleet.now, self.connection(id, user)
        last = now - silence
        self.returns.acted(connection, Role.CANDIDATE, now, last)
        self.waiting.append(
            ActionRow(
                connection.id,
                connection.kind,
                user,
                connection.session,
                connection.package,
                role=Role.CANDIDATE,
                acted_at=now,
                code=1001,
                window_ends=self.returns.window_end(now, last),
                last_activity=last,
            )
        )

    def ship(self) -> None:
        for number, row in enumerate(self.waiting):
            insert_row(self.fleet.store, self.run, self.fleet.now + number, row)
        self.waiting.clear()
        give_sign(self.fleet.store, self.run, Sign(self.fleet.now, 0, 0))

    def round(self) -> None:
        self.ship()
        self.teller.attend(self.fleet.store)

    def told(self) -> list[tuple[str, str, float | None]]:
        """The outcomes that this process has told, with delays in seconds."""
        return [
            (one.connection.id, one.result.value, one.delay and one.delay / S)
            for one in self.outcomes
        ]


class Fleet:
    """Processes with one clock, which is the store's, too."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now: Time = read_clock(store)
        self.members: dict[str, Member] = {}
        self.judge = OutcomeJudge("judge", settle=0, rest=0)

    def begin(self, names: str, capacity: int = 1000) -> list[Member]:
        for name in names:
            self.members[name] = Member(self, name, capacity)
        return [self.members[name] for name in names]

    def after(self, seconds: float) -> None:
        self.now += round(seconds * S)

    def rounds(self, *silent: Member) -> None:
        """Everything that happened becomes known, except to those that are silent."""
        self.after(0.001)
        able = [member for member in self.members.values() if member not in silent]
        for member in able:
            member.ship()
        for member in able:
            member.round()
        self.judge.attend(self.store)
        for member in able:
            member.round()

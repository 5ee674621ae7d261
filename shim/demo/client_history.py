"""What happened to each client, by its own reports and by the events of the server."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shim.demo.demo_clients import ClientBehaviour, ClientSpec
from shim.model import (
    Connection,
    Duration,
    Kind,
    MonitorFailure,
    Outcome,
    Return,
    Role,
    Verdict,
    VerdictKind,
    VerdictName,
)
from shim.router import Decided, Observer, ProofOfLife, handles

LEFT = "left"
"""How a connection ended: a close code in digits, or this word if the client left properly."""
ABNORMAL = "1006"
RESTARTED = "1012"
"""The service had sent the client away because of a restart."""
OPEN = "open"
"""The connection was still open when the client looked, although the server should have closed it."""


@dataclass(slots=True)
class ClientHistory:
    """One client.

    `back_after` counts the connections that followed one which the server had ended, by how it had;
    `back_elsewhere` those among them that went to another process; `cut_short` those that ended while the
    client answered pings.
    """

    client: ClientSpec

    # By the client's reports.
    opened: int = 0
    back_after: Counter[str] = field(default_factory=Counter)
    back_elsewhere: Counter[str] = field(default_factory=Counter)
    away: bool = False
    away_after: str | None = None
    endings: Counter[str] = field(default_factory=Counter)
    cut_short: Counter[str] = field(default_factory=Counter)
    survived: int = 0
    errors: list[str] = field(default_factory=list)
    _last_ending: str | None = None
    _process: int | None = None

    # By the events of the server.
    decided: Counter[Role] = field(default_factory=Counter)
    acted: Counter[Role] = field(default_factory=Counter)
    silences: list[tuple[Role, Duration]] = field(default_factory=list)
    verdicts: Counter[tuple[VerdictName, VerdictKind, bool]] = field(default_factory=Counter)
    outcomes: Counter[tuple[Role, Return]] = field(default_factory=Counter)
    proofs: Counter[Role] = field(default_factory=Counter)

    def add(self, event: Mapping[str, Any]) -> None:
        """Add what the client reports (see `client_main`)."""
        match event["event"]:
            case "open":
                self.opened += 1
                if (how := self._last_ending) is not None and how != LEFT:
                    self.back_after[how] += 1
                    self.back_elsewhere[how] += event["process"] != self._process
                self._last_ending = None
                self._process = event["process"]
            case "end":
                how = self._last_ending = event["how"]
                self.endings[how] += 1
                if event["answering"]:
                    self.cut_short[how] += 1
            case "survived":
                self.survived += 1
            case "away":
                self.away, self.away_after = True, self._last_ending
            case "error":
                self.errors.append(event["text"])

    def is_away_after(self, how: str) -> bool:
        """The last connection ended in this way, and there is no next one yet."""
        return self._last_ending == how


class ClientHistories(Observer):
    """The histories of all clients, over restarts. Clients that the demo did not start are not counted."""

    def __init__(self, clients: Iterable[ClientSpec]) -> None:
        self.all = [ClientHistory(client) for client in clients]
        self._by_identity = {(h.client.user, h.client.kind): h for h in self.all}
        self._strangers = ClientHistory(ClientSpec("", Kind.APP, ClientBehaviour.HEALTHY))
        self.failures: list[str] = []

    @property
    def sdk_apps(self) -> list[ClientHistory]:
        """The histories of the apps that connect again as the SDK does."""
        return [h for h in self.all if h.client.behaviour is ClientBehaviour.SDK]

    def total(self, verdict: VerdictName) -> int:
        """How many verdicts of this name there are about all clients."""
        return sum(
            count
            for history in self.all
            for (name, _, _), count in history.verdicts.items()
            if name is verdict
        )

    def _of(self, connection: Connection) -> ClientHistory:
        return self._by_identity.get((connection.user, connection.kind), self._strangers)

    @handles(Decided)
    def decided(self, event: Decided) -> None:
        history = self._of(event.connection)
        history.decided[event.role] += 1
        if event.acted:
            history.acted[event.role] += 1
            history.silences.append((event.role, event.decision.silence))

    @handles(Verdict)
    def verdict(self, event: Verdict) -> None:
        self._of(event.connection).verdicts[event.name, event.kind, event.recovered] += 1

    @handles(Outcome)
    def outcome(self, event: Outcome) -> None:
        self._of(event.connection).outcomes[event.role, event.result] += 1

    @handles(ProofOfLife)
    def proof_of_life(self, event: ProofOfLife) -> None:
        self._of(event.connection).proofs[event.role] += 1

    @handles(MonitorFailure)
    def failure(self, event: MonitorFailure) -> None:
        self.failures.append(f"the {event.role} failed in {event.call}: {event.reason}")


@dataclass(frozen=True, slots=True)
class CodeFigures:
    """What clients did after connections that ended in one way: counted in connections."""

    ended: int
    back: int
    away: int

    @classmethod
    def of(cls, histories: Sequence[ClientHistory], how: str) -> "CodeFigures":
        return cls(
            sum(history.endings[how] for history in histories),
            sum(history.back_after[how] for history in histories),
            sum(history.away_after == how for history in histories),
        )

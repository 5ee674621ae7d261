"""What happened to each client: by its own account, and by the server's."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shim.demo.scenario import Client
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
from shim.router import Decided, GuardChanged, Observer, ProofOfLife, handles

LEFT = "left"
"""How a connection ended: the client left properly, as opposed to a close code in digits, or:"""
ABNORMAL = "1006"
OPEN = "open"
"""It had not ended, although it had every reason to."""


@dataclass(slots=True)
class Story:
    """One client of the fleet."""

    client: Client

    # The client's account.
    opened: int = 0
    back: int = 0
    away: bool = False
    endings: Counter[str] = field(default_factory=Counter)
    survived: int = 0
    errors: list[str] = field(default_factory=list)
    _closed: bool = False

    # The server's account.
    decided: Counter[Role] = field(default_factory=Counter)
    acted: Counter[Role] = field(default_factory=Counter)
    silences: list[tuple[Role, Duration]] = field(default_factory=list)
    verdicts: Counter[tuple[VerdictName, VerdictKind, bool]] = field(default_factory=Counter)
    outcomes: Counter[tuple[Role, Return]] = field(default_factory=Counter)
    proofs: Counter[Role] = field(default_factory=Counter)

    def tell(self, event: Mapping[str, Any]) -> None:
        """What the client reports."""
        match event["event"]:
            case "open":
                self.opened += 1
                self.back += self._closed
                self._closed = False
            case "end":
                self.endings[event["how"]] += 1
                self._closed = event["how"] != LEFT
            case "survived":
                self.survived += 1
            case "away":
                self.away = True
            case "error":
                self.errors.append(event["text"])

    @property
    def closed(self) -> int:
        """Connections that ended, but not by the client's own leaving."""
        return sum(self.endings.values()) - self.endings[LEFT] - self.endings[OPEN]


class Stories(Observer):
    """Everyone's story, with what the server's observers are told."""

    def __init__(self, clients: Iterable[Client]) -> None:
        self.by_client = [Story(client) for client in clients]
        self._of = {(s.client.user, s.client.kind): s for s in self.by_client}
        self.failures: list[str] = []
        self.guarding = False

    def of(self, user: str, kind: Kind) -> Story:
        return self._of[user, kind]

    def _about(self, connection: Connection) -> Story:
        return self._of[connection.user, connection.kind]

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        story = self._about(decided.connection)
        story.decided[decided.role] += 1
        if decided.acted:
            story.acted[decided.role] += 1
            story.silences.append((decided.role, decided.decision.silence))

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        key = (verdict.name, verdict.kind, verdict.recovered)
        self._about(verdict.connection).verdicts[key] += 1

    @handles(Outcome)
    def _outcome(self, outcome: Outcome) -> None:
        self._about(outcome.connection).outcomes[outcome.role, outcome.result] += 1

    @handles(ProofOfLife)
    def _proof_of_life(self, proof: ProofOfLife) -> None:
        self._about(proof.connection).proofs[proof.role] += 1

    @handles(MonitorFailure)
    def _failure(self, failure: MonitorFailure) -> None:
        self.failures.append(f"the {failure.role} failed in {failure.call}: {failure.reason}")

    @handles(GuardChanged)
    def _guard(self, guard: GuardChanged) -> None:
        self.guarding = guard.holding

"""A router in virtual time whose observer is the ledger's, and what its ledger says."""

from shim.ledger.ledger_observer import LedgerObserver
from shim.ledger.protocols import VerdictFilter
from shim.ledger.sqlite.reader import SqliteReader
from shim.ledger.timeline import moments, why
from shim.model import VerdictKind, VerdictName
from tests.ledger.helpers import NOW, S
from tests.router.helpers import World


class Recorded:
    """A router in virtual time whose observer is the ledger's; its second 0 is NOW."""

    def __init__(self, world: World, observer: LedgerObserver, reader: SqliteReader) -> None:
        self.world = world
        self.observer = observer
        self.reader = reader

    def verdicts(self) -> list[tuple[VerdictName, VerdictKind]]:
        rows = self.reader.verdicts(VerdictFilter()).rows
        return [(row.verdict, row.kind) for row in reversed(rows)]

    def story(self, verdict: int = 1) -> list[tuple[float, str]]:
        episode = self.reader.episode(verdict)
        assert episode is not None
        return [((moment.at - NOW) / S, moment.text) for moment in moments(episode)]

    def why(self, verdict: int = 1) -> str:
        episode = self.reader.episode(verdict)
        assert episode is not None
        return why(episode)

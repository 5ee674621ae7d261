"""The ledger of a running shim, read over its API."""

from enum import StrEnum
from typing import Any

from shim.cli.remote import Remote
from shim.ledger import Page, VerdictFilter
from shim.ledger.protocols import Episode
from shim.ledger.rows import VerdictRow
from shim.model import seconds


class RemoteLedger:
    """`EpisodeReader` over the API; the token decides whether users are named."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    @property
    def place(self) -> str:
        return str(self._remote.url)

    def verdicts(
        self, which: VerdictFilter, *, limit: int = 100, cursor: str | None = None
    ) -> Page:
        names = ("user", "package", "connection_kind", "verdict", "kind", "acting")
        filters = {name: _word(getattr(which, name)) for name in names}
        for name in ("since", "until"):
            if (at := getattr(which, name)) is not None:
                filters[name] = str(seconds(at))
        if which.recovered is not None:
            filters["recovered"] = str(which.recovered).lower()
        answer = self._remote.get("/api/verdicts", limit=limit, cursor=cursor, **filters)
        return Page([VerdictRow.from_dict(row) for row in answer["verdicts"]], answer["next"])

    def episode(self, verdict_id: int) -> Episode:
        return Episode.from_dict(self._remote.get(f"/api/verdicts/{verdict_id}"))


def _word(value: Any) -> str | None:
    return value.value if isinstance(value, StrEnum) else value

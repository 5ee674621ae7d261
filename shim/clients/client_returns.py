"""What is known of one client: after which close codes it comes back, and how soon.

The figures are in `measured.yaml`, beside this module. `python -m benchmarks.clients` measures them with the
real clients. docs/clients.md says how, and shows them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, TypeAlias

import yaml

Ending: TypeAlias = str
"""How a connection ended for the client: a close code, `none` (a close frame without a code, which the client
sees as 1005), or `1006` (no close frame: the transport was aborted)."""

ENDINGS: tuple[Ending, ...] = (
    *("1000", "1001", "none", "1006", "1008", "1011", "1012", "1013", "4000"),
)
"""The endings that every client was measured with."""

BREATH = 1.0
"""Seconds; clients whose returns lie closer together than this come back in one breath."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The fast one, where it is: every start of a shim reads the table."""

_FIRST_OF_APPLICATIONS = 3000
_LIKE_APPLICATIONS = "4000"


class Delay(NamedTuple):
    """Seconds from the close to the next connection: the earliest and the latest of ten clients."""

    earliest: float
    latest: float

    @property
    def in_one_breath(self) -> bool:
        """Whether clients that are closed together come back together."""
        return self.latest - self.earliest < BREATH

    def format_delay(self) -> str:
        """In seconds, as `1.0` or, if the clients spread, `0.6–1.4`."""
        earliest, latest = f"{self.earliest:.1f}", f"{self.latest:.1f}"
        return earliest if earliest == latest else f"{earliest}–{latest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientReturns:
    """One client in one version.

    Attributes:
        name: the name in settings and commands; the package's name, where one row is about the package.
        package: the package of the registry `origin` (`npm` or `PyPI`) that has the client.
        how: how the client was set up, if not by its defaults.
        delays: the delay of each measured ending; None: the client did not come back in time.
        final: ranges of application codes (3000 to 4999) after which, by its source, the client stays away.
    """

    name: str
    package: str
    version: str
    origin: str
    how: str | None
    delays: Mapping[Ending, Delay | None]
    final: tuple[tuple[int, int], ...]

    @property
    def reconnects(self) -> bool:
        """Whether the client comes back by itself after any ending at all."""
        return any(self.delays.values())

    def knows(self, ending: Ending) -> bool:
        """Whether `delay` is known for this ending."""
        return ending in self.delays or self._is_application_code(ending)

    def delay(self, ending: Ending) -> Delay | None:
        """The delay after this ending; None: the client stays away.

        An application's code that was not measured is taken for 4000, unless the source says otherwise.
        Raises KeyError for other endings that were not measured.
        """
        if ending not in self.delays and self._is_application_code(ending):
            code = int(ending)
            if any(first <= code <= last for first, last in self.final):
                return None
            return self.delays[_LIKE_APPLICATIONS]
        return self.delays[ending]

    def as_dict(self, endings: Iterable[Ending]) -> dict[str, Any]:
        """As `shim codes --json` prints it: the delays after these endings are pairs of seconds, or null."""
        facts = {
            name: getattr(self, name) for name in ("name", "package", "version", "origin", "how")
        }
        return {**facts, "returns": {ending: self.delay(ending) for ending in endings}}

    @staticmethod
    def _is_application_code(ending: Ending) -> bool:
        return ending.isdecimal() and int(ending) >= _FIRST_OF_APPLICATIONS


@cache
def known_clients() -> Mapping[str, ClientReturns]:
    """All measured clients by name, in the order of the table."""
    text = files("shim.clients").joinpath("measured.yaml").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = yaml.load(text, Loader=_Loader)["clients"]
    return {row["name"]: _read_client(row) for row in rows}


def _read_client(row: dict[str, Any]) -> ClientReturns:
    return ClientReturns(
        name=row["name"],
        package=row.get("package", row["name"]),
        version=row["version"],
        origin=row["origin"],
        how=row.get("how"),
        delays={
            str(ending): None if delay == "never" else Delay(*delay)
            for ending, delay in row.get("returns", {}).items()
        },
        final=tuple((first, last) for first, last in row.get("final", ())),
    )

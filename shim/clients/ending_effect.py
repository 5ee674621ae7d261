"""What one ending does to several kinds of client: who stays away, and how the others come back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from shim.clients.client_returns import ENDINGS, ClientReturns, Delay, Ending

_RECOMMENDED = ("1012", "1013", "4000")
"""The codes to recommend: "service restart", "try again later", and an application's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingEffect:
    """What becomes of the clients after this ending.

    Attributes:
        stay_away: names of clients that do not come back after it, though they do after others.
        delays: how soon the others are back, by name.
    """

    ending: Ending
    stay_away: tuple[str, ...]
    delays: dict[str, Delay]

    @property
    def brings_all_back(self) -> bool:
        """Whether each client that ever comes back by itself comes back after this ending."""
        return not self.stay_away and bool(self.delays)

    @property
    def back_within(self) -> float | None:
        """Seconds until the slowest is back; None: nobody comes back."""
        return max((delay.latest for delay in self.delays.values()), default=None)

    @property
    def in_one_breath(self) -> tuple[str, ...]:
        """Names of clients that come back together if they are closed together: closing has to be paced."""
        return tuple(name for name, delay in self.delays.items() if delay.in_one_breath)

    def as_dict(self) -> dict[str, Any]:
        """As `shim codes --json` prints it; seconds."""
        return {
            "ending": self.ending,
            "brings_all_back": self.brings_all_back,
            "stay_away": list(self.stay_away),
            "back_within": self.back_within,
            "in_one_breath": list(self.in_one_breath),
        }


def effect_of(ending: Ending, clients: Iterable[ClientReturns]) -> EndingEffect:
    """What becomes of these clients. Clients that never come back by themselves are left out."""
    reconnecting = [client for client in clients if client.reconnects]
    delays = {client.name: client.delay(ending) for client in reconnecting}
    return EndingEffect(
        ending=ending,
        stay_away=tuple(name for name, delay in delays.items() if delay is None),
        delays={name: delay for name, delay in delays.items() if delay is not None},
    )


def codes_for_all(clients: Sequence[ClientReturns]) -> tuple[Ending, ...]:
    """The codes that a monitor may close with and that bring all of these clients back.

    Of the measured ones; those that tell the client the truth about a timeout, if there are any.
    """
    good = [
        ending
        for ending in ENDINGS
        if ending.isdecimal() and ending != "1006" and effect_of(ending, clients).brings_all_back
    ]
    return tuple(ending for ending in good if ending in _RECOMMENDED) or tuple(good)

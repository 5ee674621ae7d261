"""The sections of the simulation file about clients: their answers, their troubles, their reconnects.

Times are whole microseconds here and `15s` in the file.
"""

from functools import cached_property
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from shim.model import SECOND, Duration, Kind
from shim.model.time import DAY
from shim.settings.durations import parse_duration
from shim.settings.faults import Fault, Faults
from shim.settings.fields import (
    AnyDuration,
    Count,
    ListOf,
    PositiveDuration,
    Section,
    Share,
    Text,
    read_word,
)

_MILLISECOND: Duration = SECOND // 1000
_Rate = Annotated[float, Field(ge=0, le=10_000)]
Sigma = Annotated[float, Field(ge=0, le=5)]
"""The standard deviation of a logarithm."""


class Durations(Section):
    """How long something lasts: lognormal around a median, or a table of durations and shares."""

    median: PositiveDuration | None = Field(default=None, description="Half of them are shorter.")
    sigma: Sigma = Field(
        default=0.0, description="The standard deviation of their logarithm; 0: all are equal."
    )
    max: PositiveDuration = Field(default=DAY, description="None of them is longer.")
    table: dict[Text, Share] | None = Field(
        default=None, description="Instead: durations, each with its share."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.median is None) == (self.table is None):
            raise ValueError("has either a median or a table")
        if self.table is not None:
            try:
                for text in self.table:
                    parse_duration(text)
            except ValueError as error:
                raise Faults([Fault(("table", text), str(error))]) from None
            if abs(sum(self.table.values()) - 1) > 1e-6:
                raise Faults([Fault(("table",), "the shares must add to 1")])
        return self

    @cached_property
    def shares(self) -> tuple[tuple[Duration, float], ...]:
        """The table, its durations read."""
        return tuple((parse_duration(text), share) for text, share in (self.table or {}).items())


class RoundTrip(Section):
    """The time from a ping to its pong, where nothing is wrong."""

    median: PositiveDuration = Field(default=80 * _MILLISECOND, description="Half are quicker.")
    sigma: Sigma = Field(default=0.5, description="The standard deviation of the logarithm.")
    max: PositiveDuration = Field(default=2 * SECOND, description="None is slower.")


class Again(Section):
    """Troubles that come in bursts."""

    probability: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="That a trouble is followed by another one of its kind."
    )
    after: PositiveDuration = Field(description="So long after its end.")


class TroubleSettings(Section):
    """A trouble that befalls single clients, at random times."""

    per_day: _Rate = Field(description="How often, for each connection and day.")
    duration: Durations = Field(description="How long it lasts.")
    again: Again | None = Field(default=None, description="Bursts; null: none.")


class LossySettings(TroubleSettings):
    """A spell of bad reception: packets are lost and sent again, later and later."""

    loss: Annotated[float, Field(ge=0, lt=1)] = Field(description="The share of packets lost.")


class ReconnectSettings(Section):
    """What a client does when its connection was closed."""

    after: tuple[int, ...] | None = Field(
        default=None, strict=False, description="Close codes; null: any. 1006: without close frame."
    )
    probability: Share = Field(default=1.0, description="That it comes back by itself.")
    delay: AnyDuration = Field(default=SECOND, description="After so long, at least.")
    jitter: AnyDuration = Field(default=0, description="And up to so much longer.")


class ClientSettings(Section):
    """One sort of client; each user has `connections` of them."""

    kind: Annotated[Kind, BeforeValidator(read_word(Kind))] = Field(
        default=Kind.APP, description="What is at the other end."
    )
    connections: Count = Field(default=1, description="Of each user.")
    message_every: PositiveDuration | None = Field(
        default=None, description="The mean time between messages; null: it only answers pings."
    )
    round_trip: RoundTrip = RoundTrip()
    loss: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.0, description="The share of packets lost, and sent again, at all times."
    )
    reconnect: ListOf[ReconnectSettings] = Field(
        default=(ReconnectSettings(),),
        description="What it does after a close: the first entry that names the code. Where there "
        "is none it stays away.",
    )
    away: Durations = Field(
        default={"median": "1h", "sigma": 1.0},
        validate_default=True,
        description="When it does not come back by itself: until somebody starts it again.",
    )
    freezes: TroubleSettings | None = Field(
        default=None, description="The client's process does not run, its connection persists."
    )
    drops: TroubleSettings | None = Field(
        default=None,
        description="The path is gone without a close: half-open for the server. At the end the "
        "client notices, as after code 1006.",
    )
    leaves: TroubleSettings | None = Field(
        default=None, description="The client closes with 1000 and comes back after the duration."
    )
    lossy: LossySettings | None = Field(default=None, description="Spells of bad reception.")

"""The simulation file: a fleet of clients, what happens to it, and the shim's settings.

Read as strictly as the settings themselves; times are whole microseconds here and `15s` in the file.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from shim.flags.targeting import Percentages, Targeting
from shim.model import SECOND, MonitorType, Stage, Time
from shim.model.time import DAY
from shim.settings.document import Document
from shim.settings.faults import Fault, Faults, validate
from shim.settings.fields import (
    AnyDuration,
    Count,
    Day,
    ListOf,
    PositiveDuration,
    Section,
    Share,
    Text,
    Width,
)
from shim.settings.flags_file import StageName, Widths
from shim.settings.monitors import Surroundings
from shim.settings.settings import Settings
from shim.settings.yamlfile import decode, parse, read_bytes
from shim.simulate.behaviour import ClientSettings, Sigma


class _Planned(Section):
    at: AnyDuration = Field(description="So long after the start.")


class Deploy(_Planned):
    """The server restarts: everyone is closed with 1012."""

    downtime: AnyDuration = Field(default=5 * SECOND, description="Until it accepts connections.")


class Pause(_Planned):
    """The server's process does not run."""

    duration: PositiveDuration = Field(description="How long.")


class Cut(_Planned):
    """The server's network is cut for a share of the users; nothing is closed by that."""

    duration: PositiveDuration = Field(description="How long.")
    users: Share = Field(default=1.0, description="The share of users, the same in every cut.")


class ServerEvents(Section):
    """What happens to the server."""

    replaces: bool = Field(
        default=True, description="A client that comes back ends its older connection."
    )
    deploys: ListOf[Deploy] = ()
    pauses: ListOf[Pause] = ()
    cuts: ListOf[Cut] = ()


class Defect(Section):
    """A fault that the candidate has in some silences, or with some users."""

    share: Share = Field(description="The share of silences in which the candidate has it.")
    by_user: bool = Field(
        default=False, description="It is a share of users instead: theirs are all affected."
    )


class EarlyDefect(Defect):
    """The candidate decides too early."""

    by: PositiveDuration = Field(description="So much too early is the decision.")


class CandidateDefects(Section):
    """Known faults of the candidate, beside what it does by itself."""

    early: EarlyDefect | None = Field(default=None, description="It decides too early.")
    miss: Defect | None = Field(default=None, description="It does not decide at all.")
    pings: bool = Field(default=True, description="false: it never pings.")


class RolloutSettings(Section):
    """Who is at which stage; the keys are those of the flags file."""

    salt: Text = Field(default="monitor-rollout", description="`hash.salt` of the flags file.")
    default: StageName = Stage.SHADOW
    holdback: Width = Decimal(5)
    percent: Widths = Percentages(live=50, shadow=50)

    def targeting(self) -> Targeting:
        return Targeting(
            flag="simulation",
            salt=self.salt,
            default=self.default,
            holdback=self.holdback,
            percent=self.percent,
        )


def _check_names(clients: dict[str, ClientSettings]) -> dict[str, ClientSettings]:
    if not clients:
        raise ValueError("names at least one sort of client")
    return clients


class Scenario(Section):
    """Everything that a simulation file can say."""

    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = Field(default=1, description="Of all chance.")
    users: Count = Field(description="How many there are.")
    days: Annotated[float, Field(gt=0, le=3660)] = Field(description="How long it lasts.")
    started: Day = Field(
        default="2026-11-02", validate_default=True, description="The first day, in UTC."
    )
    connect_within: PositiveDuration = Field(
        default=60 * SECOND, description="All users have connected so long after the start."
    )
    frailty: Sigma = Field(
        default=0.0,
        description="How unequal users are: the standard deviation of the logarithm of the factor "
        "that each user's rates of trouble have.",
    )
    clients: Annotated[dict[Text, ClientSettings], AfterValidator(_check_names)] = Field(
        description="The sorts of clients, by name; apps have the package com.example.<name>."
    )
    server: ServerEvents = ServerEvents()
    candidate: CandidateDefects = CandidateDefects()
    brake: bool = Field(
        default=True, description="Whether the brake engages by itself, for the rest of the time."
    )
    rollout: RolloutSettings = RolloutSettings()
    settings: Settings = Field(
        default_factory=dict, validate_default=True, description="The keys of the settings file."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.settings.monitors.control is None:
            path = ("settings", "monitors", "control")
            raise Faults([Fault(path, "a simulation compares two monitors")])
        # The year 10000 is no date of Python, and the gate speaks of times after the end.
        if self.started.year >= 3000:
            raise Faults([Fault(("started",), "must be before the year 3000")])
        stops = sorted(
            [(d.at, d.at + d.downtime, "deploys", n) for n, d in enumerate(self.server.deploys)]
            + [(p.at, p.at + p.duration, "pauses", n) for n, p in enumerate(self.server.pauses)]
        )
        for (_, ends, _, _), (begins, _, name, number) in pairwise(stops):
            if begins <= ends:
                place = ("server", name, number, "at")
                raise Faults([Fault(place, "the server still stands still then")])
        return self

    @property
    def end(self) -> Time:
        return round(self.days * DAY)

    def day(self, now: Time) -> date:
        """The day of a time of the simulation, in UTC."""
        return self.started + timedelta(microseconds=now)

    @property
    def epoch(self) -> Time:
        """The start, in microseconds since 1970."""
        return (self.started - date(1970, 1, 1)) // timedelta(microseconds=1)


def load_scenario(path: Path, types: Mapping[str, MonitorType]) -> Scenario:
    """Read a simulation file. Raises InputError with every problem of it."""
    document = Document(str(path))
    value = parse(decode(read_bytes(path), document), document).plain()
    return validate(Scenario, document, value, Surroundings(types, path.parent))

"""The processes of a fleet, and how far the record of each goes in the store of all of them.

Rules: docs/design.md#r23, docs/design.md#r27.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from shim.ledger.json_record import JsonRecord, Length
from shim.ledger.rows import Wall
from shim.model import Duration


class ProcessState(JsonRecord, frozen=True, kw_only=True):
    """What a process of a fleet says of itself with each sign of life (R27).

    Attributes:
        settings: a digest of the settings that should be the same in every process (`shared_settings_digest`).
        flags: the digest of its flags file; None: it follows no file.
        connections: its open connections, by the word of the stage.
        kinds: the same, by the kind of connection.
        brake: whether the brake is engaged there.
    """

    settings: str
    flags: str | None
    connections: dict[str, int]
    brake: bool
    kinds: dict[str, int] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FleetPlace:
    """What a process of a fleet has of its own (R23, R27).

    Attributes:
        outbox: the file in which it keeps what it has not shipped.
        process: its name; None: the name is in SHIM_PROCESS, or is made of the host's name and a random part.
        fleet: the name of its fleet.
        state: what it says of itself; asked in another thread.
        handed_over_until: up to when it has handed over all rows (None: not known now); asked in another
            thread. Without it: up to now, whenever it is asked.
    """

    outbox: Path
    process: str | None
    fleet: str
    state: Callable[[], ProcessState] | None = None
    handed_over_until: Callable[[], Wall | None] | None = None


class Forgetting(JsonRecord, frozen=True, kw_only=True):
    """Somebody said that a process will not come back (`shim ledger forget`), or its name went to another
    run of it."""

    at: Wall
    who: str
    reason: str


class ProcessRecord(JsonRecord, frozen=True, kw_only=True):
    """A process of a fleet, and how far its record goes (R23, R27); times are by the store's clock.

    Attributes:
        run: the number of its run in the store.
        alive: whether it is listed as alive: it did not say that it ends, and was heard of within a day.
        seen_at: when it was last heard of.
        complete_until: until then all that it found out is in the store; None: nothing is yet.
        clock_offset: the store's clock minus its own.
        waiting: rows that it has not shipped, as it said last.
        settings, flags, connections, kinds, brake: what it said of itself last (`ProcessState`); all are None
            if it has said nothing.
        forgotten: its record counts as ended since then; None: it ended by itself, or goes on.
    """

    name: str
    run: int
    version: str
    host: str
    alive: bool
    seen_at: Wall
    complete_until: Wall | None
    clock_offset: Length | None
    waiting: int
    settings: str | None = None
    flags: str | None = None
    connections: dict[str, int] | None = None
    kinds: dict[str, int] | None = None
    brake: bool | None = None
    forgotten: Forgetting | None = None


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How shipping to the fleet's store goes (R23): `problem` is None while rows reach it.

    `waiting` rows of the outbox are not there yet, and the record there is complete until `complete_until`,
    by the store's clock, which is ahead of the process's by `clock_offset` (None: not known yet).
    """

    problem: str | None
    waiting: int
    complete_until: Wall | None
    clock_offset: Duration | None


class Pushed(NamedTuple):
    """What `shim ledger push` did: how many runs the file has, how many rows of them were new in the store of
    this fleet, and how many rows of an older version have no number and were left out."""

    fleet: str
    runs: int
    rows: int
    unnumbered: int

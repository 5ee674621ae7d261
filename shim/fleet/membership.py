"""A process's membership in its fleet, for as long as the process runs.

Rules: docs/design.md#r24, docs/design.md#r25.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from shim.fleet.fleet_brake import FleetBrake, LocalBrake
from shim.fleet.fleet_link import FleetDuty, FleetLink
from shim.fleet.fleet_memory import FleetMemory
from shim.fleet.merged_brake import MergedBrake
from shim.fleet.outcome_judge import OutcomeJudge
from shim.fleet.stored_flags import StoredFlags
from shim.gate.question import QuestionTimes
from shim.gate.trial import TrialIdentity
from shim.ledger.protocols import LedgerReader
from shim.ledger.rows import BrakeRow
from shim.model import Time
from shim.settings.settings import FlagsInStore, Settings

_STOP = 3.0
_LONGEST = 10.0
_SILENCE = 3.0
"""Seconds, all three: what one duty may take, and how long the store may be silent where a process asks for
orders and flags. The answer to a question about the record may take as long as the duty."""


@dataclass(frozen=True, slots=True)
class Membership:
    """What a process does in its fleet."""

    brake: FleetBrake | None
    judge: MergedBrake | None
    returns: OutcomeJudge
    following: FleetLink
    judging: FleetLink

    @property
    def leads(self) -> bool:
        """Whether this process judges the brake for all processes at present."""
        return self.judge is not None and self.judge.leads and self.judging.problem is None

    @property
    def concluded_age(self) -> float:
        """How long ago the time ends up to which the fleet's outcomes are concluded, in seconds."""
        return self.returns.concluded_age

    @property
    def problem(self) -> str | None:
        """Why the fleet cannot be reached; None: it can."""
        return self.following.problem


@asynccontextmanager
async def fleet_membership(
    settings: Settings,
    brake: LocalBrake,
    reader: LedgerReader,
    teller: FleetDuty,
    *,
    process: str,
    to_wall: Callable[[Time], int],
    identity: Callable[[], TrialIdentity],
    left: BrakeRow | None,
) -> AsyncIterator[Membership]:
    """Follow the fleet's brake, and conclude and judge for all when this process's turn comes.

    `brake` is that of this process, `left` its last change before the start; `reader` reads the store;
    `teller` tells which clients came back to this process; `identity` says what decides about trials in this
    process now. Without a control there is no brake.
    """
    holder = f"{process} {token_hex(8)}"
    fleet_brake = brake_judge = None
    followed: list[FleetDuty] = []
    returns = OutcomeJudge(holder)
    judged: list[FleetDuty] = [teller, returns]
    if settings.monitors.control is not None:
        fleet_brake = FleetBrake(
            brake,
            process,
            FleetMemory(Path(f"{settings.outbox}-fleet")),
            post=asyncio.get_running_loop().call_soon_threadsafe,
            to_wall=to_wall,
            engaged=None if left is None or not left.engaged else (left.reason, left.at),
        )
        gate = settings.gate
        brake_judge = MergedBrake(
            reader,
            settings.brake,
            QuestionTimes(0, gate.period, gate.unit, gate.grain),
            identity,
            holder=holder,
            process=process,
        )
        followed.append(fleet_brake)
        judged.append(brake_judge)
    if isinstance(settings.rollout, FlagsInStore) and settings.flags_path is not None:
        followed.append(StoredFlags(settings.flags_path))
    following = FleetLink(
        settings.ledger,
        followed,
        longest=_LONGEST,
        silence=_SILENCE,
        without="this process goes on with the brake and the flags that it knows",
    )
    judging = FleetLink(
        settings.ledger,
        judged,
        longest=_LONGEST,
        silence=_LONGEST,
        without="this process tells the fleet nothing, and judges nothing for it",
    )
    following.start()
    judging.start()
    try:
        yield Membership(
            brake=fleet_brake,
            judge=brake_judge,
            returns=returns,
            following=following,
            judging=judging,
        )
    finally:
        await asyncio.gather(
            *(asyncio.to_thread(link.stop, _STOP) for link in (following, judging))
        )

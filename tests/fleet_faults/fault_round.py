"""A round: clients come and go, something breaks at a random moment, the brake is engaged meanwhile, and the
fault is mended."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.fleet_faults.faults import Fault
from tests.fleet_faults.troubled_fleet import TroubledFleet, wait_for

_VISITS = 6
_BEFORE = 1.0
"""Seconds within which the fault begins."""


@dataclass
class FaultRound:
    """How long it took after the end of the fault, in seconds, until all processes did as they were told."""

    brake: float
    flags: float
    release: float


async def play_round(
    fleet: TroubledFleet, fault: Fault, chance: random.Random, name: str, seconds: float
) -> FaultRound:
    """Afterwards everything is as before, and the audit may begin."""
    for number in range(_VISITS):
        asyncio.get_running_loop().call_later(
            chance.uniform(0, seconds), _visit, fleet, chance, f"{name}-{number}", number
        )
    await asyncio.sleep(chance.uniform(0, min(seconds, _BEFORE)))
    async with fault.broken(fleet, chance):
        await _pings_go_on(fleet)
        engaged = [member for member in fleet.living if member.answers]
        status = await chance.choice(engaged).order(fleet.http, True, name)
        assert status == 200, f"the brake cannot be engaged: {status}"
        if fault.store_answers:
            await fleet.push_flags()
        await asyncio.sleep(seconds)
    brake = await wait_for(lambda: _all_have(fleet, name), "the brake is engaged everywhere")
    if not fault.store_answers:
        await fleet.push_flags()
    flags = await wait_for(lambda: fleet.all_follow(name), "the flags are in force everywhere")
    release = await release_brake(fleet, chance)
    await _pings_go_on(fleet)
    return FaultRound(brake, flags, release)


async def release_brake(fleet: TroubledFleet, chance: random.Random) -> float:
    """Release the fleet's brake; how many seconds it took from the order until all processes followed."""
    await wait_for(lambda: _is_released(fleet, chance), "the brake can be released")
    return await wait_for(lambda: fleet.all_follow(None), "the brake is released everywhere")


def _visit(fleet: TroubledFleet, chance: random.Random, user: str, number: int) -> None:
    """Two of three come back."""
    member = chance.choice(fleet.living)
    others = [other for other in fleet.members if other is not member]
    chance.shuffle(others)
    fleet.crowd.visit(user, member, [*others, member] if number % 3 else ())


async def _all_have(fleet: TroubledFleet, brake: str | None) -> bool:
    reports = await asyncio.gather(*(member.report() for member in fleet.living))
    others = {report.get("brake") for report in reports} - {brake, None}
    assert not others, f"the brake is engaged for another reason: {others}"
    return all(report and report["brake"] == brake for report in reports)


async def _is_released(fleet: TroubledFleet, chance: random.Random) -> bool:
    """A release is refused while the store does not answer, or if it is known already."""
    status = await chance.choice(fleet.living).order(fleet.http, False, "mended")
    assert status in (200, 409, 503), status
    return status == 200 or await fleet.all_follow(None)


async def _pings_go_on(fleet: TroubledFleet) -> None:
    """Every process that is not frozen itself goes on serving its clients."""
    served: Sequence[tuple[object, int]] = [
        (stay, stay.pings)
        for stay in fleet.crowd.stays
        if stay.member.answers and stay.starts == stay.member.starts
    ]
    await wait_for(
        lambda: all(stay.pings > before or stay.ended for stay, before in served),  # type: ignore[attr-defined]
        "every client that stays was asked for a sign of life",
    )

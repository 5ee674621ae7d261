"""Issue: whatever breaks, no acknowledged row is lost or doubled, no connection disturbed, no return lost.

A short round of each fault, all with one fleet whose processes' clocks are 0.3 s, 3 s and an hour apart; many
long rounds: `python -m benchmarks.fleet_faults`.

Rules: docs/design.md#r23 to docs/design.md#r26.
"""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.fleet_faults.audit import (
    audit_closings,
    audit_orders,
    audit_outcomes,
    audit_rows,
    audit_steps,
    audit_writers,
)
from tests.fleet_faults.fault_round import play_round
from tests.fleet_faults.faults import FAULTS
from tests.fleet_faults.troubled_fleet import STEPPED, TroubledFleet, troubled_fleet, wait_for
from tests.postgres.helpers import look

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet() -> AsyncIterator[TroubledFleet]:
    async with troubled_fleet() as running:
        yield running


_SHORT = {name: fault.short for name, fault in FAULTS.items() if fault.short is not None}


@pytest.mark.parametrize("name", _SHORT)
async def test_a_short_round(fleet: TroubledFleet, name: str) -> None:
    fault = FAULTS[name]
    disks = {"server": fleet.server_disk, "outbox": fleet.members[0].disk}
    if fault.disk is not None and not disks[fault.disk].can_be_filled:
        pytest.skip("a disk that can be filled needs the right to mount")
    await play_round(fleet, fault, random.Random(name), name, _SHORT[name])
    assert await audit_rows(fleet) == []
    assert await audit_orders(fleet) == []
    assert await audit_closings(fleet) == []


async def test_the_outcomes_are_what_the_clients_wrote_down(fleet: TroubledFleet) -> None:
    assert await audit_outcomes(fleet) == []
    assert await audit_writers(fleet) == []


async def test_a_step_of_the_plan_is_taken_once(fleet: TroubledFleet) -> None:
    async def is_taken() -> bool:
        return bool(await asyncio.to_thread(look, fleet.store, f"SELECT 1 FROM {STEPPED}"))

    await wait_for(is_taken, "a process takes the step of the plan")
    assert await audit_steps(fleet) == []

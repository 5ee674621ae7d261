"""Processes that follow the brake of their fleet: driven by hand, and real ones that operators speak to."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from shim.fleet.fleet_brake import FleetBrake
from shim.fleet.fleet_memory import FleetMemory
from shim.ledger.postgres.brake_orders import StoredOrder, give_order
from shim.router import BrakeChanged
from tests.live.servers import ServerProcess
from tests.postgres.helpers import Store, eventually


def order(connection: Store, engaged: bool, reason: str = "r", **facts: Any) -> StoredOrder:
    return give_order(connection, engaged=engaged, reason=reason, process="p", **facts)


class Brake:
    """The brake of a process, and its observers."""

    def __init__(self, reason: str | None = None) -> None:
        self.reason = reason
        self.told: Callable[[BrakeChanged], None] = lambda changed: None

    def engage_brake(self, reason: str, *, by_itself: bool = False) -> None:
        if self.reason is None:
            self.reason = reason
            self.told(BrakeChanged(True, reason, 5, by_itself))

    def release_brake(self, reason: str) -> None:
        if self.reason is not None:
            self.reason = None
            self.told(BrakeChanged(False, reason, 7))


class Member:
    """A process whose event loop runs what is posted at once."""

    def __init__(self, folder: Path, name: str, left: str | None = None) -> None:
        self.brake = Brake(left)
        self.fleet = FleetBrake(
            self.brake,
            name,
            FleetMemory(folder / f"{name}-fleet"),
            post=lambda function: function(),
            to_wall=lambda at: at,
            engaged=None if left is None else (left, 5),
        )
        self.brake.told = self.fleet.on


async def brake_of(process: ServerProcess) -> str | None:
    reason: str | None = (await process.report())["brake"]
    return reason


async def give(process: ServerProcess, engaged: bool, reason: str) -> int:
    token = process.secrets["SHIM_OPERATOR_TOKEN"]
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http,
        http.post(
            f"{process.url}/api/brake", json={"engaged": engaged, "reason": reason}
        ) as answer,
    ):
        return answer.status


async def all_have(processes: list[ServerProcess], reason: str | None) -> None:
    for process in processes:
        await eventually(partial(brake_of, process), (reason,))

"""R25 with real processes and clients: nobody is disconnected by the brake, and no process needs the store."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from shim.model.ledger_url import LedgerUrl
from tests.fleet.brake_scenario import (
    FLAGS,
    SETTINGS,
    brake_by_evidence,
    brake_by_hand,
    bystanders,
    start_without_store,
)
from tests.fleet.real_fleet import ask, real_fleet
from tests.live.servers import ServerProcess
from tests.postgres.helpers import eventually, look
from tests.postgres.server import PostgresServer

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

BYSTANDERS = 30


async def test_all_go_to_shadow_and_nobody_is_disconnected(
    server: PostgresServer, store: LedgerUrl, tmp_path: Path
) -> None:
    async with (
        real_fleet(tmp_path, store, "ab", settings=SETTINGS, flags=FLAGS) as fleet,
        bystanders(fleet, BYSTANDERS) as others,
    ):
        assert (await brake_by_hand(fleet, BYSTANDERS)).reason == "by hand"
        braked = await brake_by_evidence(fleet, store)
        assert braked.reason.startswith("5 of the candidate's 5 decisions within")
        assert await brakes_of(fleet) == {braked.reason}
        # By hand, released, on the merged record: no process has ordered anything by itself.
        assert len(look(store, "SELECT 1 FROM brake_order")) == 3
        assert others.disconnected == []
        # Each order is told once, however many processes follow it.
        history = [braked.reason, "mended", "by hand"]
        await eventually(partial(history_of, fleet[0]), (history,))

        server.stop()
        try:
            killed = fleet[0].process
            killed.kill()
            await killed.wait()
            assert await start_without_store(tmp_path, store, "a") == braked.reason
            assert await brakes_of(fleet[1:]) == {braked.reason}
        finally:
            server.start()


async def brakes_of(processes: Sequence[ServerProcess]) -> set[str | None]:
    return {(await ask(process, "/api/report"))["brake"] for process in processes}


async def history_of(process: ServerProcess) -> list[str]:
    return [order["reason"] for order in (await ask(process, "/api/brake"))["history"]]

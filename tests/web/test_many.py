"""However many connections there are, others have their turns while they are looked through."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from shim.aio import Shim
from shim.console.access.access import Visitor
from shim.console.access.login_sessions import AccessLevel
from shim.console.access.redaction import Names, Pseudonymizer
from shim.console.api.filters import ConnectionsQuery
from shim.console.api.responses import json_page
from shim.console.connection_lists import CHUNK, ConnectionLists
from shim.flags.targeting import everyone_at
from shim.model import Connection, Kind, Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import settings_from
from tests.router.helpers import RecordingPort
from tests.web.servers import SECRETS

T = TypeVar("T")
MANY = 5000


async def turns_during(work: Awaitable[T]) -> tuple[T, int]:
    """What the work answers, and how many turns somebody else had meanwhile."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(other())
    try:
        return await work, turns
    finally:
        task.cancel()


async def test_the_loop_has_its_turns(tmp_path: Path) -> None:
    value = {"rollout": None, "ledger": f"sqlite:///{tmp_path}/ledger.db"}
    settings = settings_from(value, monitor_types(plugin_manager()))
    shim = Shim.open(settings, secrets=SECRETS, targeting=everyone_at(Stage.SHADOW))
    async with shim.running():
        for number in range(MANY):
            connection = Connection(f"c{number}", Kind.GLASSES, f"u{number}", f"u{number}")
            shim.router.open(connection, RecordingPort(shim.clock), shim.clock(), Stage.SHADOW)
        pseudonymizer = Pseudonymizer(str)
        registry = ConnectionLists(shim, pseudonymizer)
        query = ConnectionsQuery(stage="live")
        nothing, turns = await turns_during(registry.connections(query))
        assert nothing == ([], None)
        assert turns >= MANY // CHUNK - 1
        page, _ = await registry.connections(ConnectionsQuery(limit=MANY))
        assert len(page) == MANY
        names = Names(pseudonymizer, Visitor(AccessLevel.OPERATOR, "an operator"))
        answer = registry.connection_answer(names)
        response, turns = await turns_during(json_page("connections", page, answer, None))
        assert turns >= 10
        assert isinstance(response.body, bytes)
        assert response.body.count(b'"connection":') == MANY

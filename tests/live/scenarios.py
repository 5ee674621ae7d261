"""What happens to clients alike, whatever the library of the service."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from shim.model import Cause, Closing, Outcome, Return, Role
from shim.router import Observer, handles
from shim.runtime.tally import Tally
from tests.live.moved_clock import MovedClock
from tests.waiting import until


@dataclass
class Told(Observer):
    closings: list[Closing] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    @handles(Closing)
    def _closed(self, closing: Closing) -> None:
        self.closings.append(closing)

    @handles(Outcome)
    def _outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


class EchoService(Protocol):
    """A service that says what it was told, until it is told `bye`; each user is a path below the address."""

    shim: Any
    tally: Tally
    told: Told

    @property
    def url(self) -> str: ...


async def serves_and_watches_and_ends(it: EchoService, clock: MovedClock) -> None:
    """At `live`."""
    async with connect(f"{it.url}u") as client:
        await client.send("hello")
        assert await client.recv() == "you said 'hello'"
        await clock.move(it.shim, 2)  # longer than the timeout: it answers pings
        assert [t.acting for t in it.shim.router.connections()] == [Role.CANDIDATE]
        await client.send("bye")
        await client.wait_closed()
        assert client.close_code == 1000
    await until(lambda: it.told.closings)
    (closing,) = it.told.closings
    assert (closing.cause, closing.intended, closing.observed) == (Cause.APPLICATION, 1000, 1000)
    async with connect(f"{it.url}u"):
        pass
    await until(lambda: len(it.told.closings) == 2)
    assert (it.told.closings[1].cause, it.told.closings[1].intended) == (Cause.PEER, None)
    assert not it.shim.sessions
    assert not it.tally.decisions


async def closes_a_silent_client(it: EchoService, intended: int | None, role: Role) -> None:
    """As this monitor wants, with this code (None: it terminates)."""
    async with aiohttp.ClientSession() as http:
        client = await http.ws_connect(f"{it.url}u", autoping=False)
        await until(lambda: it.tally.decisions[role, True] == 1)
        again = await http.ws_connect(f"{it.url}u")
        await until(lambda: it.told.outcomes)
        assert [outcome.result for outcome in it.told.outcomes] == [Return.RETURNED]
        messages = [message.type async for message in client]
        assert aiohttp.WSMsgType.TEXT not in messages
        assert client.close_code == (intended or 1006)
        await until(lambda: it.told.closings)
        (closing,) = it.told.closings
        assert (closing.cause, closing.intended) == (Cause(role.value), intended)
        assert it.tally.proofs_of_life[role] == (1 if intended else 0)
        assert {c.connection.id for c in it.shim.router.connections()} == {"c2"}
        await again.close()


async def replaces_the_older_connection(it: EchoService) -> None:
    """At `live`."""
    async with connect(f"{it.url}u") as older, connect(f"{it.url}u") as newer:
        with pytest.raises(ConnectionClosed):
            await older.recv()
        assert (older.close_code, older.close_reason) == (1000, "replaced by a newer connection")
        await newer.send("hello")
        assert await newer.recv() == "you said 'hello'"
        (session,) = it.shim.sessions.values()
        assert [live.connection.id for live in session.members()] == ["c2"]

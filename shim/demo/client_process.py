"""The process that runs the clients: start it, hear its reports, and see that it ends."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import jwt

from shim.demo.client_history import ClientHistory
from shim.demo.demo_clients import ClientSpec
from shim.model import Kind

_STOP_TIMEOUT = 8.0


class ClientProcess:
    """A process with clients, which report to their histories (see `client_process`)."""

    def __init__(self, process: Process, histories: Sequence[ClientHistory]) -> None:
        self._process = process
        self._histories = histories
        self.lag = 0.0
        """The longest time for which the process did not run, in seconds."""

    async def died(self) -> None:
        """Return when the process has ended."""
        await self._process.wait()

    async def tell(self, line: str) -> None:
        """Raises ConnectionError if the process has ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def hear_reports(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            event: dict[str, Any] = json.loads(line)
            if (number := event.get("client")) is not None:
                self._histories[number].add(event)
            else:
                self.lag = event["seconds"]

    async def stop(self) -> None:
        """End the process, in order if possible."""
        with suppress(ConnectionError, TimeoutError):
            await self.tell("stop")
            async with asyncio.timeout(_STOP_TIMEOUT):
                await self.died()
        if self._process.returncode is None:
            self._process.kill()
        await self.died()
        assert self._process.stdin is not None
        self._process.stdin.close()


@asynccontextmanager
async def client_process(
    histories: Sequence[ClientHistory], *, urls: Sequence[str], factor: float, jwt_secret: str
) -> AsyncIterator[ClientProcess]:
    """Inside the context the clients of these histories run, after it there are none.

    `urls` are the addresses of the service, one for each of its processes.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shim.demo.client_main"),
        stdin=PIPE,
        stdout=PIPE,
        # Ctrl-C reaches the demo alone, which then ends the clients in order.
        start_new_session=True,
    )
    plan = {
        "urls": urls,
        "factor": factor,
        "clients": [_plan(history.client, jwt_secret) for history in histories],
    }
    clients = ClientProcess(process, histories)
    hearing = asyncio.create_task(clients.hear_reports())
    try:
        await clients.tell(json.dumps(plan))
        yield clients
    finally:
        try:
            await clients.stop()
        finally:
            hearing.cancel()


def _plan(client: ClientSpec, secret: str) -> dict[str, Any]:
    """Glasses bring a token; apps say who they are in their first message."""
    token = None
    if client.kind is Kind.GLASSES:
        claims = {"email": client.user, "exp": int(time.time()) + 86_400}
        token = jwt.encode(claims, secret, algorithm="HS256")
    return {
        "user": client.user,
        "kind": client.kind.value,
        "behaviour": client.behaviour.value,
        "token": token,
        "home": client.home,
    }

"""The process that runs the clients: start it, hear its reports, and see that it ends."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import jwt

from shim.demo.client_history import ClientHistory
from shim.demo.demo_clients import ClientSpec
from shim.model import Kind

_STOP_TIMEOUT = 8.0


class ClientsEnded(ConnectionError):
    """The clients' process ended before it was told to."""


class ClientProcess:
    """An async context: inside it the clients run, and report to their histories; after it there are none."""

    def __init__(
        self,
        histories: Sequence[ClientHistory],
        *,
        url: str,
        factor: float,
        jwt_secret: str,
    ) -> None:
        self._plan = {
            "url": url,
            "factor": factor,
            "clients": [
                {
                    "user": client.user,
                    "kind": client.kind.value,
                    "behaviour": client.behaviour.value,
                    "token": _token(client, jwt_secret),
                }
                for client in (history.client for history in histories)
            ],
        }
        self.histories = histories
        self._process: asyncio.subprocess.Process
        self._hearing: asyncio.Task[None]
        self.lag = 0.0
        """The longest time for which the clients' process did not run, in seconds."""

    async def __aenter__(self) -> "ClientProcess":
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "shim.demo.client_main",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C reaches the demo alone, which then ends the clients in order.
            start_new_session=True,
        )
        self._hearing = asyncio.create_task(self._hear_reports())
        try:
            await self._tell(json.dumps(self._plan))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._tell("stop")
            async with asyncio.timeout(_STOP_TIMEOUT):
                await self._process.wait()
        except (TimeoutError, ClientsEnded):
            pass
        finally:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
            self._hearing.cancel()
            if self._process.stdin is not None:
                self._process.stdin.close()

    async def died(self) -> None:
        """Return when the process has ended."""
        await self._process.wait()

    async def _tell(self, line: str) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(line.encode() + b"\n")
            await stdin.drain()
        except ConnectionError:
            raise ClientsEnded from None

    async def _hear_reports(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        async for line in stdout:
            event: dict[str, Any] = json.loads(line)
            if (number := event.get("client")) is not None:
                self.histories[number].add(event)
            else:
                self.lag = event["seconds"]


def _token(client: ClientSpec, secret: str) -> str | None:
    """Glasses bring a token; apps say who they are in their first message."""
    if client.kind is not Kind.GLASSES:
        return None
    claims = {"email": client.user, "exp": int(time.time()) + 86_400}
    return jwt.encode(claims, secret, algorithm="HS256")

"""The parent's side of the fleet: start the process, hear its reports, and see that it ends."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import jwt

from shim.demo.scenario import Client
from shim.demo.story import Story
from shim.model import Kind

_THAW_TIMEOUT = 10.0
_STOP_TIMEOUT = 8.0


class FleetDied(ConnectionError):
    """The fleet's process ended before it was told to."""


class Crew:
    """An async context: inside it the fleet runs, after it there is none."""

    def __init__(
        self,
        stories: Sequence[Story],
        *,
        host: str,
        port: int,
        factor: float,
        jwt_secret: str,
    ) -> None:
        self._plan = {
            "host": host,
            "port": port,
            "factor": factor,
            "clients": [
                {
                    "user": client.user,
                    "kind": client.kind.value,
                    "behaviour": client.behaviour.value,
                    "token": _token(client, jwt_secret),
                }
                for client in (story.client for story in stories)
            ],
        }
        self.stories = stories
        self._thawed = asyncio.Event()
        self._process: asyncio.subprocess.Process
        self._hearing: asyncio.Task[None]
        self.lag = 0.0
        """The longest time for which the fleet's process did not run, in seconds."""

    async def __aenter__(self) -> "Crew":
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "shim.demo.fleet",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C reaches the demo alone, which then ends the fleet in order.
            start_new_session=True,
        )
        self._hearing = asyncio.create_task(self._hear())
        try:
            await self._say(json.dumps(self._plan))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._say("stop")
            async with asyncio.timeout(_STOP_TIMEOUT):
                await self._process.wait()
        except (TimeoutError, FleetDied):
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

    async def thaw(self) -> None:
        """Wake the frozen clients, so that they report what they find."""
        await self._say("thaw")
        async with asyncio.timeout(_THAW_TIMEOUT):
            await self._thawed.wait()

    async def _say(self, line: str) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(line.encode() + b"\n")
            await stdin.drain()
        except ConnectionError:
            raise FleetDied from None

    async def _hear(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        async for line in stdout:
            event: dict[str, Any] = json.loads(line)
            if (number := event.get("client")) is not None:
                self.stories[number].tell(event)
            elif event["event"] == "lag":
                self.lag = event["seconds"]
            elif event["event"] == "thawed":
                self._thawed.set()


def _token(client: Client, secret: str) -> str | None:
    """Glasses bring a token; apps say who they are in their first message."""
    if client.kind is not Kind.GLASSES:
        return None
    claims = {"email": client.user, "exp": int(time.time()) + 86_400}
    return jwt.encode(claims, secret, algorithm="HS256")

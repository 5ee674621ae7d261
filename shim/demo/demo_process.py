"""One `shim serve` of the demo's fleet: a process of its own, which can be started anew."""

import asyncio
import os
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from shim.model import InputError

_START_TAKES = 120.0
_STOP_TAKES = 30.0
_ERROR = re.compile(r"^.*? (?:ERROR|CRITICAL) +(.*)$", re.M)


class DemoProcess:
    """A process of the fleet.

    Args:
        name: its name in the fleet.
        folder: it has its settings, its outbox and its log there.
        port: it listens there.
        environment: the secrets.
    """

    def __init__(self, name: str, folder: Path, port: int, environment: Mapping[str, str]) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        """Without a slash at the end."""
        self.settings = folder / f"{name}.yaml"
        self.login_link = ""
        """Logs one operator in to the console, once; another one after each start."""
        self._outbox = folder / f"{name}-outbox.db"
        self._log = folder / f"{name}.log"
        self._port = port
        self._environment = environment
        self._process: Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self, settings: Mapping[str, Any]) -> None:
        """Start with these settings, and wait until it listens. Raises InputError if it does not start."""
        own = {**settings, "process": self.name, "outbox": str(self._outbox)}
        self.settings.write_text(yaml.safe_dump(own, sort_keys=False))
        options = (f"--config={self.settings}", f"--port={self._port}", "--dev")
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "shim", "serve", *options),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=log,
                env={**os.environ, **self._environment, "PYTHONUNBUFFERED": "1"},
                # Ctrl-C reaches the demo alone, which then ends its processes in order.
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(_START_TAKES):
                said = await self._hear_link(self._process)
        except TimeoutError:
            said = ""
        if not said:
            raise InputError(f"{self.name} does not start: {self._log.read_text()[-2000:]}")
        self.login_link = said

    async def _hear_link(self, process: Process) -> str:
        """The link that the process prints when it listens; empty: the process has ended."""
        assert process.stdout is not None
        async for line in process.stdout:
            if found := re.search(r"http://\S+/login\?code=\S+", line.decode()):
                return found[0]
        return ""

    async def stop(self) -> None:
        """End the process, in order if possible."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_TAKES):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._process = None

    def errors(self) -> list[str]:
        """The errors in its log, oldest first."""
        return [f"{self.name}: {text}" for text in _ERROR.findall(self._log.read_text())]

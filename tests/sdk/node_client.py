"""A client in Node as a subprocess: each thing that happens to it is one JSON line that it prints."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the client: what happened, and when by this machine's `time.monotonic()`."""

    name: str
    at: float
    fields: dict[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.fields[key]


class ClientGone(Exception):
    """The client process ended while an event of it was awaited."""


@dataclass
class NodeClient:
    """One client. Entering starts the process; leaving always kills it.

    `script` prints the events; `options` are its arguments, as `--name=value`.
    """

    script: Path
    options: dict[str, str]

    events: list[Event] = field(default_factory=list, init=False)
    _fresh: asyncio.Queue[Event | None] = field(default_factory=asyncio.Queue, init=False)
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)
    _readers: list[asyncio.Task[None]] = field(default_factory=list, init=False)
    _complaints: deque[str] = field(default_factory=lambda: deque(maxlen=20), init=False)

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            "node",
            str(self.script),
            *(f"--{name}={value}" for name, value in self.options.items()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
        )
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None
        assert stderr is not None
        self._readers = [
            asyncio.create_task(self._read_events(stdout)),
            asyncio.create_task(self._read_complaints(stderr)),
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._signal(signal.SIGKILL)  # ends a stopped process, too
        if self._process is not None:
            await self._process.wait()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def next(self, event_name: str, timeout: float) -> Event:
        """The next event of that name; those before it count as seen. Raises TimeoutError."""
        try:
            async with asyncio.timeout(timeout):
                while (event := await self._fresh.get()) is not None:
                    if event.name == event_name:
                        return event
        except TimeoutError:
            raise TimeoutError(f"no {event_name!r} in {timeout} s: {self._story()}") from None
        self._fresh.put_nowait(None)  # the end stays the end, for the next call too
        raise ClientGone(f"no {event_name!r}: {self._story()}")

    def pause(self) -> None:
        """Freeze the process: a client that is there, and silent."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    async def say(self, line: str) -> None:
        """Give the script one line of input."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _read_events(self, stream: asyncio.StreamReader) -> None:
        try:
            async for line in stream:
                event = _parse(line)
                if event is not None:
                    self.events.append(event)
                    self._fresh.put_nowait(event)
        finally:
            self._fresh.put_nowait(None)

    async def _read_complaints(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            self._complaints.append(line.decode(errors="replace").rstrip())

    def _story(self) -> str:
        seen = ", ".join(event.name for event in self.events) or "nothing"
        return "\n".join([f"seen: {seen}", *self._complaints])


def _environment() -> dict[str, str]:
    """Without the variable that makes the SDK send its logs away."""
    return {name: value for name, value in os.environ.items() if name != "BETTERSTACK_SOURCE_TOKEN"}


def _parse(line: bytes) -> Event | None:
    """None for a line that is not ours: libraries of the SDK may print to stdout, too."""
    try:
        fields = json.loads(line)
        return Event(name=fields.pop("event"), at=float(fields.pop("at")), fields=fields)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None

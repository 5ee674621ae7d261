"""The real app client, `@mentra/sdk`, as a subprocess: installed once, driven by `client.mjs`."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

VERSION = "2.1.29"
PACKAGE = f"@mentra/sdk@{VERSION}"
CLIENT = Path(__file__).with_name("client.mjs")
INSTALL_TIMEOUT = 300.0


class SdkUnavailable(Exception):
    """The SDK cannot be had here; the text says why (to skip a test with)."""


def find_or_install() -> Path:
    """The folder that holds the SDK: `SHIM_SDK_DIR`, or one below the temp folder, by version."""
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        raise SdkUnavailable(f"not on this machine: {', '.join(missing)}")
    default = Path(tempfile.gettempdir()) / f"shim-sdk-{VERSION}-{os.getuid()}"
    folder = Path(os.environ.get("SHIM_SDK_DIR") or default).absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(folder / ".lock"):
            # Written last: what an interrupted install left behind is not taken for the whole.
            done = folder / f".installed-{VERSION}"
            if not done.exists():
                _install(folder)
                done.touch()
    except OSError as error:
        raise SdkUnavailable(f"cannot use {folder}: {error}") from error
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Parallel test runs share the folder; the second waits for the first one's install."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(folder: Path) -> None:
    manifest = folder / "package.json"  # without one, npm would install into a parent that has one
    if not manifest.exists():
        manifest.write_text(json.dumps({"name": "shim-sdk", "private": True}))
    command = ["npm", "install", PACKAGE, "--save-exact", "--ignore-scripts"]
    quiet = ["--no-audit", "--no-fund", "--no-progress", "--loglevel=error"]
    try:
        done = subprocess.run(
            [*command, *quiet],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SdkUnavailable(f"npm install took over {INSTALL_TIMEOUT:.0f} s") from error
    if done.returncode != 0:
        raise SdkUnavailable(
            f"npm install failed ({done.returncode}): {done.stderr.strip()[-500:]}"
        )


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
class AppClient:
    """One app of one user. Entering starts the process; leaving always kills it.

    Events: `connecting`, `connected` (acknowledged by the server), `disconnected` (code, reason,
    clean, permanent, session_ended), `reconnect` (another attempt begins), `error`, `refused`
    (the first attempt was not acknowledged in time), `button_press`, `left`, `crash`.
    """

    url: str
    user: str
    package: str = "com.example.app1"
    api_key: str = "dev"
    session: str | None = None  # the protocol's "<user>-<package>" unless given
    sdk: Path | None = None

    events: list[Event] = field(default_factory=list, init=False)
    _fresh: asyncio.Queue[Event | None] = field(default_factory=asyncio.Queue, init=False)
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)
    _readers: list[asyncio.Task[None]] = field(default_factory=list, init=False)
    _complaints: deque[str] = field(default_factory=lambda: deque(maxlen=20), init=False)

    async def __aenter__(self) -> Self:
        folder = self.sdk or await asyncio.to_thread(find_or_install)
        options = {
            "sdk": str(folder),
            "url": self.url,
            "session": self.session or f"{self.user}-{self.package}",
            "package": self.package,
            "user": self.user,
            "api-key": self.api_key,
        }
        self._process = await asyncio.create_subprocess_exec(
            "node",
            str(CLIENT),
            *(f"--{name}={value}" for name, value in options.items()),
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

    def kill(self) -> None:
        """The machine of the client is gone; the kernel closes its socket."""
        self._signal(signal.SIGKILL)

    async def disconnect(self) -> None:
        """Let the app leave by itself; `left` follows."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(b"disconnect\n")
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

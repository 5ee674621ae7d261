"""A real browser, driven over the DevTools protocol by what is installed anyway."""

import asyncio
import base64
import itertools
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support import skip
from tests.waiting import until

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_PATIENCE = 30


class Browser:
    """One page. `faults` are the errors that its console shows, refused requests included."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._loaded = asyncio.Event()
        self.faults: list[str] = []
        self.requests: list[str] = []

    async def listen(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            else:
                self._note(told["method"], told["params"])

    def _note(self, event: str, facts: dict[str, Any]) -> None:
        if event == "Page.loadEventFired":
            self._loaded.set()
        elif event == "Network.requestWillBeSent":
            self.requests.append(facts["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.faults.append(str(facts["exceptionDetails"]))
        elif event == "Log.entryAdded" and facts["entry"]["level"] == "error":
            self.faults.append(f"{facts['entry']['text']} {facts['entry'].get('url', '')}")
        elif event == "Runtime.consoleAPICalled" and facts["type"] in ("error", "assert"):
            self.faults.append(str(facts["args"]))

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        told = await asyncio.wait_for(answer, _PATIENCE)
        assert "error" not in told, told
        result: dict[str, Any] = told["result"]
        return result

    def begin(self) -> None:
        """Say this before something that leads to another page; then wait for `loaded`."""
        self._loaded.clear()

    async def loaded(self) -> None:
        await asyncio.wait_for(self._loaded.wait(), _PATIENCE)

    async def open(self, url: str) -> None:
        self.begin()
        await self.call("Page.navigate", url=url)
        await self.loaded()

    async def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        told = await self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait until an expression is true in the page."""
        await until(lambda: self.run(f"Boolean({condition})"), _PATIENCE, pause=0.1)

    async def text(self, selector: str = "main") -> str:
        text: str = await self.run(f"document.querySelector({json.dumps(selector)}).innerText")
        return text

    async def press(self, key: str) -> None:
        code = {"Tab": 9, "Enter": 13}[key]
        facts = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        if key == "Enter":
            facts["text"] = "\r"
        await self.call("Input.dispatchKeyEvent", type="keyDown", **facts)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    async def type(self, text: str) -> None:
        await self.call("Input.insertText", text=text)

    async def look_like(self, width: int, theme: str = "light") -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        await self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": theme}],
        )

    async def screenshot(self) -> bytes:
        """The whole page as PNG."""
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])


@asynccontextmanager
async def browser(profile: Path) -> AsyncIterator[Browser]:
    """A headless Chromium of its own."""
    program = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if program is None:
        skip("there is no Chromium on this machine")
    process = await asyncio.create_subprocess_exec(
        program,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "about:blank",
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        env={**os.environ, "HOME": str(profile)},
        start_new_session=True,
    )
    try:
        address = await asyncio.wait_for(_address(process), 60)
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://{address}/json/list") as answer:
                page = next(page for page in await answer.json() if page["type"] == "page")
            async with http.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                it = Browser(socket)
                listening = asyncio.create_task(it.listen())
                try:
                    for domain in ("Page", "Runtime", "Log", "Network"):
                        await it.call(f"{domain}.enable")
                    yield it
                finally:
                    listening.cancel()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    said = b""
    while line := await process.stderr.readline():
        said += line
        if found := re.search(rb"DevTools listening on ws://([^/]+)/", line):
            return found[1].decode()
    raise AssertionError(said.decode(errors="replace"))

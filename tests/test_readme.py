"""The README's example is run as it stands there."""

import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.real
async def test_the_integration_example_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(
        r"```python\n(from aiohttp import web\n.*?)```", README.read_text(), re.DOTALL
    )
    assert found is not None
    apps: list[web.Application] = []
    monkeypatch.setattr(web, "run_app", apps.append)
    names: dict[str, Any] = {}
    exec(found[1], names)
    async with TestServer(apps[0]) as server, aiohttp.ClientSession() as http:
        websocket = await http.ws_connect(server.make_url("/app"))
        await websocket.send_str("hello")
        assert await websocket.receive_str(timeout=10) == "you said hello"
        (tracked,) = names["shim"].router.connections()
        assert tracked.connection.package == "com.example"
        await websocket.close()

"""The README's example is run as it stands there."""

import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "aiohttp_service.py"


def example() -> str:
    text = (ROOT / "README.md").read_text()
    found = re.search(r"```python\n(from aiohttp import web\n.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_integration_example_is_the_core_of_the_service_in_the_examples() -> None:
    core, _, last = example().rpartition("web.run_app(app)")
    assert core in EXAMPLE.read_text()
    assert last == "\n"


@pytest.mark.real
async def test_the_integration_example_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    for name in ("shim.yaml", "rollout.yaml"):
        (tmp_path / "config" / name).write_bytes((ROOT / "config" / name).read_bytes())
    monkeypatch.setenv("SHIM_OPERATOR_TOKEN", "operator's token")
    monkeypatch.setenv("SHIM_HASH_KEY", "key of pseudonyms")
    apps: list[web.Application] = []
    monkeypatch.setattr(web, "run_app", apps.append)
    names: dict[str, Any] = {}
    exec(example(), names)
    async with TestServer(apps[0]) as server, aiohttp.ClientSession() as http:
        websocket = await http.ws_connect(server.make_url("/app?user=alice&package=com.example"))
        await websocket.send_str("hello")
        assert await websocket.receive_str(timeout=60) == "you said hello"
        (tracked,) = names["shim"].router.connections()
        assert tracked.connection.package == "com.example"
        headers = {"Authorization": "Bearer operator's token"}
        async with http.get(server.make_url("/shim/api/report"), headers=headers) as answer:
            assert (await answer.json())["connections"]["open"] == 1
        await websocket.close()

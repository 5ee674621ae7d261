"""Frameworks that make the WebSocket themselves, with their real clients: the examples as they stand there."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.live.test_embedding import EXAMPLES, Service, configure, running
from tests.sdk.node_client import NodeClient
from tests.sdk.packages import PackagesUnavailable, npm_folder
from tests.support import skip
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

SCRIPTS = Path(__file__).parents[1] / "sdk"
GRAPHQL, SOCKETIO = "graphql_service.py", "socketio_service.py"


@pytest.fixture(scope="module")
def packages() -> Path:
    try:
        return npm_folder("graphql-ws@6.4.2", "graphql@16", "ws@8.23.0", "socket.io-client@4.8.4")
    except PackagesUnavailable as error:
        skip(str(error))


def client_of(service: Service, example: str, packages: Path, user: str) -> NodeClient:
    if example == GRAPHQL:
        url = f"{service.url.replace('http', 'ws')}/graphql?user={user}"
        return NodeClient(SCRIPTS / "graphql.mjs", {"packages": str(packages), "url": url})
    options = {"packages": str(packages), "url": service.url, "user": user}
    return NodeClient(SCRIPTS / "socketio.mjs", options)


def test_the_examples_are_those_of_the_document() -> None:
    document = (EXAMPLES.parent / "docs" / "embedding.md").read_text()
    blocks = re.findall(r"```python\n(class Watched.*?)```", document, re.DOTALL)
    assert len(blocks) == 2
    for block, example in zip(blocks, (GRAPHQL, SOCKETIO), strict=True):
        text = (EXAMPLES / example).read_text()
        assert all(line in text for line in block.splitlines())


@asynccontextmanager
async def served(folder: Path, example: str, stage: str) -> AsyncIterator[Service]:
    configure(folder, example, stage=stage)
    async with running(folder, example) as service:
        yield service


@pytest.mark.parametrize("stage", ["shadow", "complete"])
@pytest.mark.parametrize("example", [GRAPHQL, SOCKETIO])
async def test_idle_clients_stay_and_a_frozen_one_is_closed_and_comes_back(
    tmp_path: Path, packages: Path, example: str, stage: str
) -> None:
    acting = "candidate" if stage == "complete" else "control"
    async with (
        served(tmp_path, example, stage) as service,
        aiohttp.ClientSession() as http,
        client_of(service, example, packages, "idle") as idle,
        client_of(service, example, packages, "frozen") as frozen,
    ):
        await idle.next("connected", 30)
        await frozen.next("connected", 30)
        frozen.pause()

        async def has_acted() -> bool:
            report = await service.get(http, "/api/report")
            acted = bool(report["decisions"][acting]["acted"])
            assert acted or report["connections"]["open"] == 2
            return acted

        await until(has_acted)
        frozen.resume()
        assert (await frozen.next("disconnected", 30))["code"] == (
            1001 if acting == "candidate" else 1006
        )
        await frozen.next("connected", 30)
        report = await service.get(http, "/api/report")
        assert report["outcomes"][acting]["returned"] == 1
        assert report["connections"]["open"] == 2
        assert {event.name for event in idle.events} <= {"connected", "news"}
        # At the end everyone is sent away.
        assert await service.stop()
        assert (await idle.next("disconnected", 30))["code"] == 1012

"""What the real client does after each monitor's closing: the finding the project is built around."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.servers import server_process
from tests.sdk.packages import PackagesUnavailable
from tests.sdk.sdk import AppClient, find_or_install
from tests.support import skip
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

# The SDK answers at most 60 pings at once after a pause, so the pauses here are short in heartbeats.


@pytest.fixture(scope="module")
def sdk() -> Iterator[Path]:
    try:
        yield find_or_install()
    except PackagesUnavailable as error:
        skip(str(error))


@pytest.mark.parametrize(
    ("stage", "code", "returns"),
    [
        ("off", 1006, True),
        ("shadow", 1006, True),
        ("live", 1001, False),
        ("complete", 1001, False),
    ],
)
async def test_the_close_decides_whether_the_client_comes_back(
    tmp_path: Path, sdk: Path, stage: str, code: int, returns: bool
) -> None:
    async with server_process(tmp_path, stage) as server:
        url = server.url.replace("http", "ws") + "/app-ws"
        async with AppClient(url, "alice@example.com", sdk=sdk) as client:
            await client.next("connected", 20)
            client.pause()
            acting = "candidate" if stage in ("live", "complete") else "control"

            async def has_acted() -> bool:
                report = await server.report()
                acted = bool(report["decisions"][acting]["acted"])
                assert acted or report["connections"]["open"] == 1
                return acted

            await until(has_acted)
            client.resume()
            gone = await client.next("disconnected", 10)
            assert gone["code"] == code
            if returns:
                await client.next("connected", 10)
            else:
                with pytest.raises(TimeoutError):
                    await client.next("reconnect", 3)
            outcomes = (await server.report())["outcomes"][acting]
            assert outcomes["returned"] == int(returns)

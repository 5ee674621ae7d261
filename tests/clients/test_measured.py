"""Three of the real clients, closed once in each way: the table says what they do."""

import pytest

from benchmarks.clients.measuring import measure
from benchmarks.clients.picture import PICTURE, draw_clients
from shim.clients.client_returns import ENDINGS, known_clients
from tests.sdk.packages import PackagesUnavailable
from tests.support import skip

MEASURED = ("@mentra/sdk", "rxjs", "websockets")
WAIT = 6.0
"""Seconds; these clients are back within two, if they come back."""


@pytest.mark.timeout(300)
async def test_the_table_says_what_real_clients_do() -> None:
    clients = [known_clients()[name] for name in MEASURED]
    try:
        delays = await measure(clients, ENDINGS, processes=1, wait=WAIT)
    except PackagesUnavailable as error:
        skip(str(error))
    came_back = {key: delay is not None for key, (delay,) in delays.items()}
    assert came_back == {
        (client.name, ending): client.delay(ending) is not None
        for client in clients
        for ending in ENDINGS
    }


def test_the_picture_shows_the_table() -> None:
    assert PICTURE.read_text(encoding="utf-8") == draw_clients()

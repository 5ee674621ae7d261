"""Bad HTTP is a client's mistake: an answer, one line of the log, and no socket that is held for ever."""

import asyncio
import logging
from pathlib import Path

import pytest

from shim.console import listener
from shim.console.api import bodies
from tests.waiting import LONGEST, until
from tests.web.servers import OPERATOR, console

pytestmark = pytest.mark.real

HEAD = b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\n"
FORM = HEAD + b"Content-Type: application/x-www-form-urlencoded\r\n"
ORDER = (
    b"POST /api/brake HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Authorization: " + OPERATOR["Authorization"].encode() + b"\r\n"
)
GZIP = b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"


async def connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def said(url: str, request: bytes) -> bytes:
    """What is answered to these bytes, until the server hangs up."""
    reader, writer = await connected(url)
    writer.write(request)
    try:
        async with asyncio.timeout(LONGEST):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    "request_",
    [
        HEAD + b"Authorization: Bearer " + b"secret" * 2000 + b"\r\n\r\n",
        HEAD + b"X-Secret: a\x00b\r\n\r\n",
        HEAD + b"Content-Length: secret\r\n\r\n",
        FORM + b"Transfer-Encoding: chunked\r\n\r\nsecret\r\n",
        FORM + GZIP,
        ORDER + GZIP,
    ],
)
async def test_bad_http_is_400_and_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, request_: bytes
) -> None:
    async with console(tmp_path) as it:
        assert b" 400 " in (await said(it.url, request_)).split(b"\r\n")[0]
    (record,) = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert record.levelno == logging.WARNING
    assert "bad HTTP" in record.getMessage()
    assert record.exc_info is None
    assert "secret" not in caplog.text.lower()


async def test_errors_of_the_server_keep_their_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with console(tmp_path):
        try:
            raise ValueError("a fault of ours")
        except ValueError:
            logging.getLogger("aiohttp.server").exception("Error handling request")
    (record,) = [r for r in caplog.records if r.name == "aiohttp.server"]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None


@pytest.mark.parametrize("head", [FORM, ORDER])
async def test_a_body_that_does_not_come_is_not_waited_for_for_ever(
    tmp_path: Path, head: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bodies, "_TIMEOUT", 0.3)
    async with console(tmp_path) as it:
        reader, writer = await connected(it.url)
        writer.write(head + b"Content-Length: 9\r\n\r\n1234")
        async with asyncio.timeout(LONGEST):
            assert b" 408 " in await reader.readline()
        writer.close()
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


@pytest.mark.parametrize("head", [FORM, ORDER])
async def test_a_client_that_hangs_up_before_its_body_is_no_error(
    tmp_path: Path, head: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with console(tmp_path) as it:
        before = asyncio.all_tasks()
        reader, writer = await connected(it.url)
        writer.write(head + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n1234")
        # So the server says that it begins to read the body.
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert asyncio.all_tasks() > before
        writer.close()
        await until(lambda: asyncio.all_tasks() <= before)
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("length", [b"Content-Length: 20000\r\n\r\n", b""])
async def test_a_long_form_is_413(tmp_path: Path, length: bytes) -> None:
    body = b"token=" + b"x" * 19_994
    if not length:
        length, body = b"Transfer-Encoding: chunked\r\n\r\n", b"4e20\r\n" + body + b"\r\n0\r\n\r\n"
    async with console(tmp_path) as it:
        answer = await said(it.url, FORM + b"Connection: close\r\n" + length + body)
        assert b" 413 " in answer.split(b"\r\n")[0]


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"])
async def test_no_listener_waits_for_a_request_for_ever(
    tmp_path: Path, begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "KEEPALIVE", 0.3)
    async with console(tmp_path, apart=True) as it:
        assert await said(it.admin, begun) == b""
        assert await said(it.url, begun) == b""

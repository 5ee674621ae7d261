"""`--url` with an address that is none, and of something that is no shim: words, and exit code 2."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from click.testing import CliRunner, Result

from shim.cli import main

TOKEN = "the operator's token"
COMMANDS = [
    ["status"],
    ["status", "--json"],
    ["gate"],
    ["gate", "--json"],
    ["verdicts"],
    ["verdicts", "7"],
    ["connections"],
    ["connections", "--json"],
    ["brake", "status"],
    ["brake", "engage", "--reason", "a test"],
    ["report"],
    ["report", "--json"],
    ["retire"],
    ["retire", "--force", "--reason", "x"],
    ["rollout", "status"],
    ["rollout", "advance", "--json"],
    ["flags", "log"],
    ["flags", "pull"],
]


def run(*arguments: str, token: str = TOKEN) -> Result:
    runner = CliRunner(env={"SHIM_OPERATOR_TOKEN": token})
    return runner.invoke(main, arguments)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://alice:secret@host/shim", "write the address without a user and a password"),
        ("http://:secret@host", "write the address without a user and a password"),
        ("http://alice:secret@host:port", "--url: must be like http://127.0.0.1:8080"),
        ("http://host?token=x", "must end with the path of the console"),
        ("http://host/shim#there", "must end with the path of the console"),
        ("http://host:99999", "must be like"),
        ("http://[::1", "must be like"),
        ("http://", "must be like"),
        ("host:8080", "must be like"),
        ("/shim", "must be like"),
        ("", "must be like"),
        ("file:///etc/passwd", "must be like"),
        ("http://\x1b[31m\n", "must be like"),
        (f"http://{'a' * 70}.example", "cannot be reached"),
    ],
)
@pytest.mark.parametrize("command", [["status"], ["gate"], ["verdicts"]])
def test_addresses(url: str, words: str, command: list[str]) -> None:
    result = run(*command, "--url", url)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert "secret" not in result.output
    assert result.output.count("\n") == 1


def test_a_token_that_no_header_can_carry() -> None:
    result = run("status", "--url", "http://127.0.0.1:1", token="two\nlines")
    assert (result.exit_code, result.stderr) == (
        2,
        "error: SHIM_OPERATOR_TOKEN: a token is one line of visible characters\n",
    )


@asynccontextmanager
async def answering(content: bytes) -> AsyncIterator[str]:
    """The address of a server that gives this answer to everything."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(content)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def ok(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.mark.real
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\xff" * 1000,
        ok(b""),
        ok(b"<html>It works!</html>", "Content-Type: text/html"),
        ok(b"\xff\xfe"),
        ok(b"not gzip", "Content-Encoding: gzip"),
        ok(b"null"),
        ok(b"7"),
        ok(b'"text"'),
        ok(b"[]"),
        ok(b"{}"),
        ok(b"[" * 100_000),
        ok(b'{"connections": 7, "next": [], "verdicts": {}, "verdict": null, "engaged": "no"}'),
        ok(b'{"connections": [{}], "verdicts": [7], "conditions": [{"eta": "x"}], "answer": 1}'),
        b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: ftp://x/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\n[{}]",
        b'HTTP/1.1 404 No\r\nContent-Length: 27\r\n\r\n{"detail": {"a": "\\u001b["}}',
    ],
    ids=range(19),
)
async def test_what_is_no_shim(content: bytes) -> None:
    async with answering(content) as url:
        for command in COMMANDS:
            result = await asyncio.to_thread(run, *command, "--url", url)
            assert result.exit_code == 2, (command, result.output)
            assert result.stdout == ""
            assert result.stderr.startswith(f"error: {url}")
            assert all(line.isprintable() for line in result.stderr.splitlines())

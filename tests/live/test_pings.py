"""Pings of a client that fetches nothing: the latest is answered, later (RFC 6455 section 5.5.3)."""

import asyncio
from asyncio import StreamReader, StreamWriter
from pathlib import Path

import pytest

from shim.model import SECOND
from tests.live.servers import PATIENT
from tests.live.test_slow_readers import SIZE, Scenario, Service, client, everywhere
from tests.waiting import until

pytestmark = pytest.mark.real

PINGS = 8000
HEADER = 10
"""Bytes before the payload of a long message."""


def frame(opcode: int, payload: bytes) -> bytes:
    """As a client sends it, with a mask that changes nothing."""
    return bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload


async def flood(it: Service, writer: StreamWriter, last: bytes) -> int:
    """Send many pings, and answer how many bytes wait in the service once it has read all of them."""
    await until(lambda: it.lives)
    (live,) = it.lives
    signs = live.tracked.signs
    for number in range(PINGS):
        writer.write(frame(9, number.to_bytes(4, "big")))
    writer.write(frame(9, last) + frame(1, b"hello"))
    await until(lambda: live.tracked.signs > signs)
    assert live.transport is not None
    return live.transport.get_write_buffer_size()


async def read_frames(reader: StreamReader, until_seen: bytes) -> list[bytes]:
    """Control frames of the service, up to one with this payload."""
    frames: list[bytes] = []
    while not frames or not frames[-1].endswith(until_seen):
        head = await reader.readexactly(2)
        frames.append(head + await reader.readexactly(head[1]))
    return frames


async def fetches_late(it: Service, encrypted: bool) -> None:
    async with client(it, encrypted) as (reader, writer):
        first = await flood(it, writer, b"early")
        assert first <= SIZE + HEADER
        # Some of it is fetched, and the flood goes on.
        assert len(await reader.readexactly(SIZE // 3)) == SIZE // 3
        assert await flood(it, writer, b"last") <= first + 1024
        await reader.readexactly(SIZE + HEADER - SIZE // 3)
        frames = await read_frames(reader, b"last")
        pongs = [frame for frame in frames if frame[0] == 0x8A]
        # The rest are pings of the monitor. With TLS as many are answered as fit in the limit.
        assert len(pongs) <= (PINGS if encrypted else 2)


async def is_closed(it: Service, encrypted: bool) -> None:
    """The close frame goes through, and nothing is answered after it."""
    async with client(it, encrypted) as (reader, writer):
        await flood(it, writer, b"unanswered")
        it.lives[0].begin_close(4000, "bye", 10 * SECOND)
        await reader.readexactly(SIZE + HEADER)
        frames = await read_frames(reader, b"bye")
        assert frames[-1] == b"\x88\x05\x0f\xa0bye"
        writer.write(frame(9, b"late") + frame(8, b"\x0f\xa0"))
        rest = await reader.read()
        assert rest in (b"", b"\x8a\x04late")


async def goes_away(it: Service, encrypted: bool) -> None:
    """Nothing is left of a client that hangs up with an unanswered ping."""
    async with client(it, encrypted) as (_, writer):
        await flood(it, writer, b"unanswered")
    await until(lambda: it.lives[0].ended)
    await asyncio.sleep(0)


@pytest.mark.parametrize("scenario", [fetches_late, is_closed, goes_away])
async def test_what_answers_pings_needs_is_bounded(tmp_path: Path, scenario: Scenario) -> None:
    await everywhere(tmp_path, scenario, PATIENT)

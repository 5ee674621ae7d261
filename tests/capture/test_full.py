"""A disk that is slow, full or gone: the loop does not wait, the file ends honestly, another begins."""

import logging
import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from shim.capture.format import End, Open, OpenLine
from shim.capture.recorder import Limits
from shim.model import SECOND, Role
from tests.capture.bench import Bench
from tests.capture.files import captures, read
from tests.capture.test_round_trip import replay
from tests.waiting import wait_for

BUFFER = 20_000


def chatter(bench: Bench, name: str, seconds: int) -> None:
    """A hundred messages a second, about 5 kB."""
    for _ in range(seconds):
        for _ in range(100):
            bench.message(name)
        bench.wait(SECOND)


def settle(bench: Bench) -> None:
    """Let the thread do what it was given."""
    wait_for(lambda: bench.recorder._sink.idle)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """What is written beyond fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path / "capture.jsonl")
    name = bench.open()
    with largest_file(50_000):
        for _ in range(15):
            chatter(bench, name, 1)
            settle(bench)
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert "File too large" in caplog.text
        (first,) = captures(tmp_path)
        assert first.stat().st_size < 50_000
        *events, end = read(first)
        assert isinstance(end, End)
        assert len(events) == 1 + (round(end.t) + 1) * 100  # whole seconds, and none is missing
        assert end.t > 5
        spoke = bench.now - SECOND
    bench.wait(20 * SECOND)
    chatter(bench, name, 1)
    bench.wait(100 * SECOND)
    bench.stop()
    first, second = captures(tmp_path)
    reopened = msgspec.json.decode(second.read_text().splitlines()[1], type=OpenLine)
    assert reopened.reopened
    assert bench.zeros[1] + round(reopened.t * 1e6) == spoke
    assert replay(first, Role.CONTROL) == []
    assert [verdict.kind for verdict in replay(second, Role.CONTROL)] == ["both"]


def test_a_pipe_that_nobody_reads(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipe = tmp_path / "capture.jsonl"
    os.mkfifo(pipe)
    bench = Bench(pipe, Limits(buffer=BUFFER))
    name = bench.open()
    most = 0
    for _ in range(20):
        chatter(bench, name, 1)
        most = max(most, bench.recorder._sink.pending + bench.recorder._journal.held)
    assert BUFFER // 2 < most <= BUFFER
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "more slowly" in caplog.text
    with ThreadPoolExecutor() as pool:
        first = tmp_path / "first.jsonl"
        first.write_bytes(pool.submit(pipe.read_bytes).result(30))
        settle(bench)
        reader = pool.submit(pipe.read_bytes)
        chatter(bench, name, 3)
        bench.stop()
        second = tmp_path / "second.jsonl"
        second.write_bytes(reader.result(30))
    *events, end = read(first)
    assert isinstance(end, End)
    assert len(events) == 1 + (round(end.t) + 1) * 100
    opened, *events, end = read(second)
    assert isinstance(opened, Open)
    assert isinstance(end, End)
    assert len(events) == 200  # it was noticed a second later that there is room again


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_device_that_takes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is tried again and again, and told each time; the shim itself goes on."""
    bench = Bench(Path("/dev/full"))
    name = bench.open()
    for _ in range(30):
        settle(bench)
        bench.wait(SECOND)
    settle(bench)
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert "No space left" in caplog.text
    assert 2 <= len(caplog.records) <= 4
    bench.wait(100 * SECOND)
    bench.stop()
    assert [(v.connection.id, v.kind) for v in bench.live.all] == [(name, "both")]

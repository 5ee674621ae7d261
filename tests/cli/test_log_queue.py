"""The log of `shim serve`: one line for each event, and a log that nobody reads stops nothing."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.cli.log_queue import LineFormatter, LogQueue

log = logging.Logger("test", logging.DEBUG)


def line_of(message: object, *values: object, error: Exception | None = None) -> str:
    raised = (type(error), error, error.__traceback__) if error is not None else None
    record = logging.LogRecord("test", logging.ERROR, "", 0, message, values, raised)
    return LineFormatter().format(record)


def failure(message: str) -> Exception:
    try:
        raise ValueError(message)
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    ("message", "values", "end"),
    [
        (
            "[User: %s] registered",
            ("alice@example.com",),
            "ERROR    [User: alice@example.com] registered",
        ),
        ("brake: %s", ("x [User: bob] y",), r"ERROR    brake: x \x5bUser: bob] y"),
        ("[User: %s] failed: %s", ("a", "[User: b]"), r"[User: a] failed: \x5bUser: b]"),
        ("two\nlines %s", ("\x1b[31m\u202e",), r"two\nlines \x1b[31m\u202e"),
        (ValueError("an\nerror"), (), r"an\nerror"),
        ("%d of %.3s", (7, "abcdef"), "7 of abc"),
    ],
)
def test_messages(message: object, values: tuple[object, ...], end: str) -> None:
    assert line_of(message, *values).endswith(end)


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_every_event_is_one_line_and_its_traceback_is_told_from_events(text: str) -> None:
    first, *others = line_of("it failed: %s", text, error=failure(text)).split("\n")
    assert first.isprintable()
    assert others
    assert all(line.startswith("    | ") and line.isprintable() for line in others)
    assert "[User:" not in first


@contextmanager
def small_pipe() -> Iterator[tuple[int, int, int]]:
    """The reading end, the writing end, and the size of a pipe."""
    reads, writes = os.pipe()
    size = fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, 4096)
    yield reads, writes, size
    os.close(reads)
    os.close(writes)


def test_what_nobody_reads_is_dropped_and_counted() -> None:
    with small_pipe() as (reads, writes, size):
        queue = LogQueue(writes, capacity=2 * size)
        log.handlers = [queue]
        for number in range(1000):
            log.info("line %d %s", number, "x" * 100)
        text = b""
        while b"dropped" not in text:
            text += os.read(reads, size)
        queue.close()
    *lines, last = text.decode().splitlines()
    numbers = [int(line.split(" line ")[1].split()[0]) for line in lines]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 0
    assert 2 * size // 150 < len(lines) < 1000
    lost = 1000 - len(lines)
    assert last.endswith(f"{lost} lines of the log were dropped: they could not be written")


def test_at_the_end_a_log_that_nobody_reads_is_left() -> None:
    with small_pipe() as (reads, writes, size):
        queue = LogQueue(writes)
        log.handlers = [queue]
        for _ in range(size // 50):
            log.info("x" * 100)
        queue.close()
        assert size - 150 < len(os.read(reads, 2 * size)) <= size


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        queue = LogQueue(full.fileno())
        log.handlers = [queue]
        log.info("a line")
        log.info("%d", "no number")
        queue.close()


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    with small_pipe() as (reads, writes, size):
        os.set_blocking(writes, False)
        queue = LogQueue(writes)
        log.handlers = [queue]
        for number in range(200):
            log.info("line %d %s", number, "x" * 100)
        text = b""
        while b"line 199 " not in text:
            text += os.read(reads, size)
        queue.close()
    assert text.count(b"\n") >= 199

"""Where nothing may be skipped, as in CI, nothing is left to chance either: always the same examples.

No example has a time limit: a busy machine is no fault. If pytest reports the coverage, the lines that a test
runs in its first moments are counted. What it does later runs the same lines, in two thirds of the time.
"""

import gc
import os
import signal
from collections import Counter
from collections.abc import Generator

import pytest
from coverage import Coverage
from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("patient")
if os.environ.get("SHIM_TESTS_NO_SKIP"):
    settings.load_profile("ci")


COUNTED, COUNTED_RUNS = 0.1, 6
"""Lines are counted in so many seconds (of CPU time) of a test, and in so many of the runs that a test has
with different parameters. To count them takes two thirds of the time, and later runs hardly run other lines."""
GARBAGE = 10_000
"""New objects after which Python looks for garbage. Its 700 cost a fifth of the time of all tests."""

gc.set_threshold(GARBAGE)


def pytest_collection_finish() -> None:
    """What is imported by now stays to the end: no search for garbage needs to look at that."""
    gc.collect()
    gc.freeze()


_runs = Counter[str]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    coverage = _counting(item)
    test, _, _ = item.nodeid.partition("[")
    _runs[test] += 1
    if coverage is None or _runs[test] <= COUNTED_RUNS:
        return (yield)
    coverage.stop()
    try:
        return (yield)
    finally:
        coverage.start()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    coverage = _counting(item)
    if coverage is None:
        return (yield)
    before = signal.signal(signal.SIGVTALRM, lambda *_: coverage.stop())
    signal.setitimer(signal.ITIMER_VIRTUAL, COUNTED)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        if Coverage.current() is None:
            coverage.start()


def _counting(item: pytest.Item) -> Coverage | None:
    """What counts the lines now, if lines are counted."""
    return Coverage.current() if item.config.getoption("cov_source", None) else None

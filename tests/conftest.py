"""Where nothing may be skipped, as in CI, nothing is left to chance either: always the same examples.

No example has a time limit: a busy machine is no fault. If pytest reports the coverage, the lines that a test
runs in its first moments are counted. What it does later runs the same lines, in two thirds of the time.
"""

import gc
import os
import signal
from collections.abc import Generator

import pytest
from coverage import Coverage
from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("patient")
if os.environ.get("SHIM_TESTS_NO_SKIP"):
    settings.load_profile("ci")


COUNTED = 0.1
"""Seconds of CPU time of a test in which its lines are counted."""
GARBAGE = 10_000
"""New objects after which Python looks for garbage. Its 700 cost a fifth of the time of all tests."""

gc.set_threshold(GARBAGE)


def pytest_collection_finish() -> None:
    """What is imported by now stays to the end: no search for garbage needs to look at that."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    coverage = Coverage.current() if item.config.getoption("cov_source", None) else None
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

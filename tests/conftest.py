"""Where nothing may be skipped, as in CI, nothing is left to chance either: always the same examples.

No example has a time limit: a busy machine is no fault. If pytest reports the coverage, the lines of a test's
first examples are counted. The many others run the same lines, in a third of the time.
"""

import os
from collections.abc import Callable, Generator
from itertools import count
from typing import Any

import pytest
from coverage import Coverage
from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("patient")
if os.environ.get("SHIM_TESTS_NO_SKIP"):
    settings.load_profile("ci")

COUNTED_EXAMPLES = 30


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    coverage = Coverage.current() if item.config.getoption("cov_source", None) else None
    test = getattr(getattr(item, "obj", None), "hypothesis", None)
    if coverage is None or test is None:
        return (yield)
    complete = test.inner_test
    test.inner_test = _counted(complete, coverage)
    try:
        return (yield)
    finally:
        test.inner_test = complete
        if Coverage.current() is None:
            coverage.start()


def _counted(example: Callable[..., Any], coverage: Coverage) -> Callable[..., Any]:
    """The function that runs an example; from some number on no lines are counted."""
    numbers = count()

    def run(*arguments: Any, **named: Any) -> Any:
        if next(numbers) == COUNTED_EXAMPLES:
            coverage.stop()
        return example(*arguments, **named)

    return run

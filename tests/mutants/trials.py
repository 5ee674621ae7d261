"""Trying mutations: each in a process of its own, two at a time, with the tests that execute it."""

import importlib
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest

from tests.mutants.coverage_map import PYTEST, CoverageMap, settle_examples
from tests.mutants.loading import MutatedFinder
from tests.mutants.mutation import Mutation

_HEAVY = (
    "hypothesis",
    "numpy",
    "scipy.stats",
    "aiohttp",
    "msgspec",
    "pydantic",
    "pytest_asyncio.plugin",
)
"""What the tests import besides the shim: imported once, before the processes are forked."""

_MEMORY = 2 << 30
"""Bytes of address space beyond what is in use; an endless list ends there."""


class _Chosen:
    """Runs these tests in this order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._order = {test: number for number, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._order),
            key=lambda item: self._order[item.nodeid],
        )


def tried(
    mutations: Sequence[Mutation], tests: CoverageMap, processes: int
) -> Iterator[tuple[Mutation, bool]]:
    """Each mutation with whether a test noticed, in the order in which they end."""
    for name in _HEAVY:
        with suppress(ImportError):
            importlib.import_module(name)
    _check_tests_pass(tests)
    waiting = list(reversed(mutations))
    running: dict[int, Mutation] = {}
    while waiting or running:
        while waiting and len(running) < processes:
            mutation = waiting.pop()
            if chosen := tests.tests_of(mutation):
                running[_start(mutation, chosen, tests)] = mutation
            else:
                yield mutation, False
        if running:
            child, status = os.wait()
            yield running.pop(child), _failed(status)


def _check_tests_pass(tests: CoverageMap) -> None:
    """Nothing is noticed where nothing is changed; else all that follows would mean nothing."""
    shortest = sorted(tests.seconds, key=lambda test: tests.seconds[test])
    _, status = os.waitpid(_start(None, shortest[: len(shortest) // 2], tests), 0)
    if _failed(status):
        raise RuntimeError("tests fail without any mutation")


def _failed(status: int) -> bool:
    """How a child ended: killed by a limit, tests failed, or a module could not be imported."""
    if os.WIFSIGNALED(status):
        return True
    code = os.waitstatus_to_exitcode(status)
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
        raise RuntimeError(f"a trial ended with {code}")
    return code != pytest.ExitCode.OK


def _start(mutation: Mutation | None, tests: Sequence[str], times: CoverageMap) -> int:
    limit = int(10 + 3 * sum(times.seconds[test] for test in tests))
    if (child := os.fork()) == 0:
        _try(mutation, tests, limit)
    return child


def _try(mutation: Mutation | None, tests: Sequence[str], seconds: int) -> None:
    """In the child: end with 0 if all tests pass. Too much CPU time or memory ends it, too."""
    code = 99
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, used + _MEMORY))
        settle_examples()
        if mutation is not None:
            sys.meta_path.insert(0, MutatedFinder(mutation.module, mutation.code()))
        files = sorted({test.partition("::")[0] for test in tests})
        code = pytest.main(["-x", *PYTEST, *files], plugins=[_Chosen(tests)])
    finally:
        os._exit(code)

"""Trying mutations: each in a process of its own, two at a time, with the tests that execute it.

Most mutations change a function that nothing calls while modules are imported. For those the tests are
collected once: each process is forked from the one that has collected them, puts the function's new code in
place, and runs its tests at once. For the others each process imports everything anew.
"""

import gc
import importlib
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial

import pytest

from tests.mutants.coverage_map import PYTEST, CoverageMap, fast_folders, settle_examples
from tests.mutants.loading import Functions, MutatedFinder, changed_functions, live_functions
from tests.mutants.mutation import Mutation, path_of

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

Tell = Callable[[Mutation, bool], None]
"""Is told of each mutation whether a test noticed."""


class _Chosen:
    """Runs these tests in this order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._order = {test: number for number, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._order),
            key=lambda item: self._order[item.nodeid],
        )


class _Collected:
    """Runs the trials in place of the tests, each in a process that is forked with the tests collected."""

    def __init__(
        self,
        changes: Sequence[tuple[Mutation, Functions]],
        tests: CoverageMap,
        processes: int,
        tell: Tell,
    ) -> None:
        self._changes = changes
        self._tests = tests
        self._processes = processes
        self._tell = tell
        self.has_run = False

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        live = live_functions({path_of(mutation.module) for mutation, _ in self._changes})
        if self._changes and not any(live.values()):
            raise RuntimeError("none of the functions that change is in memory")
        # Collecting garbage would copy the memory that the processes share.
        gc.collect()
        gc.freeze()

        def run(functions: Functions, tests: Sequence[str]) -> int:
            for key, code in functions.items():
                for function in live[key]:
                    function.__code__ = code
            return _run_until_one_fails([items[test] for test in tests], self._tests)

        if missing := self._tests.seconds.keys() - items:
            raise RuntimeError(f"these tests have other names in each run: {sorted(missing)}")
        _check_tests_pass(self._tests, partial(run, {}))
        trials = [
            (mutation, partial(run, functions, self._tests.tests_of(mutation)))
            for mutation, functions in self._changes
        ]
        _try_all(trials, self._tests, self._processes, self._tell)
        self.has_run = True
        return True


def try_all(mutations: Iterable[Mutation], tests: CoverageMap, processes: int, tell: Tell) -> None:
    """Tries each mutation; they are told in the order in which they end."""
    imported, called = [], []
    for mutation in mutations:
        if not tests.tests_of(mutation):
            tell(mutation, False)
        elif not tests.is_imported(mutation) and (functions := changed_functions(mutation)):
            called.append((mutation, functions))
        else:
            imported.append(mutation)
    settle_examples()
    if imported:
        for name in _HEAVY:
            with suppress(ImportError):
                importlib.import_module(name)
        _check_tests_pass(tests, partial(_run_anew, None))
        trials = [(one, partial(_run_anew, one, tests.tests_of(one))) for one in imported]
        _try_all(trials, tests, processes, tell)
    if called:
        collected = _Collected(called, tests, processes, tell)
        pytest.main(["-s", *PYTEST, *fast_folders()], plugins=[collected])
        if not collected.has_run:
            raise RuntimeError("the tests could not be collected")


def _run_anew(mutation: Mutation | None, tests: Sequence[str]) -> int:
    """Run these tests with all modules imported anew; how pytest ended."""
    if mutation is not None:
        sys.meta_path.insert(0, MutatedFinder(mutation.module, mutation.code()))
    files = sorted({test.partition("::")[0] for test in tests})
    return pytest.main(["-x", *PYTEST, *files], plugins=[_Chosen(tests)])


def _run_until_one_fails(items: Sequence[pytest.Item], tests: CoverageMap) -> int:
    """Run these tests, which are collected; how pytest would have ended."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        _limit_seconds(3 + 3 * tests.seconds[item.nodeid])
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        except KeyboardInterrupt:
            # A monitor that is called without end (`Runaway`).
            return pytest.ExitCode.INTERRUPTED
        if item.session.testsfailed:
            return pytest.ExitCode.TESTS_FAILED
    return pytest.ExitCode.OK


def _try_all(
    trials: Sequence[tuple[Mutation, Callable[[], int]]],
    tests: CoverageMap,
    processes: int,
    tell: Tell,
) -> None:
    waiting = list(reversed(trials))
    running: dict[int, Mutation] = {}
    while waiting or running:
        while waiting and len(running) < processes:
            mutation, run = waiting.pop()
            running[_start(run, sum(map(tests.seconds.__getitem__, tests.tests_of(mutation))))] = (
                mutation
            )
        child, status = os.wait()
        tell(running.pop(child), _failed(status))


def _check_tests_pass(tests: CoverageMap, run: Callable[[Sequence[str]], int]) -> None:
    """Nothing is noticed where nothing is changed; else all that follows would mean nothing."""
    shortest = sorted(tests.seconds, key=lambda test: tests.seconds[test])
    chosen = shortest[: len(shortest) // 2]
    _, status = os.waitpid(_start(partial(run, chosen), sum(tests.seconds.values())), 0)
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


def _start(run: Callable[[], int], seconds: float) -> int:
    """Fork a process that ends as `run` says; `seconds`: how much CPU time that may take."""
    if (child := os.fork()) == 0:
        code = 99
        try:
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            _limit_seconds(10 + 3 * seconds)
            with open("/proc/self/statm") as statm:
                used = int(statm.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, used + _MEMORY))
            code = run()
        finally:
            os._exit(code)
    return child


def _limit_seconds(more: float) -> None:
    """End this process when it has used so much more CPU time: whole seconds, rounded down."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + more), most))

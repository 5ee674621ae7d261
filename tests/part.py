"""A part of the tests, run by a pytest in a process of its own, and what came of its tests."""

import atexit
import json
import multiprocessing
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

LONGEST: float = 40 * 60
"""Seconds after which a part that hangs is killed. Each test has a timeout of its own, which is shorter."""

_SUMMARY = re.compile(r"^=* ?(no tests ran|\d+ \w+(?:, \d+ \w+)*) in [\d.]+s\b.*$", re.MULTILINE)
"""The last line of a pytest that came to its end."""

_LIBRARIES = [
    "aiohttp.web",
    "click",
    "coverage",
    "grpc",
    "hypothesis.strategies",
    "jinja2",
    "jwt",
    "msgspec.json",
    "numpy",
    "opentelemetry.sdk.trace",
    "prometheus_client",
    "psycopg",
    "pydantic.root_model",
    "pytest",
    "pytest_asyncio",
    "pytest_cov",
    "pytest_timeout",
    "rich.console",
    "websockets",
    "yaml",
]
"""What most parts import. One process imports this and forks the parts, which saves each of them a second. The
shim is not among them: its lines that run at the import have to be counted."""

_TESTS_FAILED, _NO_TESTS = 1, 5
"""Exit codes of pytest. No tests are right where an option such as `-k` chooses the tests of other parts."""

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(_LIBRARIES)
_UNUSED = tuple(f"-pno:{plugin}" for plugin in ("anyio", "inline_snapshot", "schemathesis"))
"""Plugins that pytest would find and import, which takes a second, and that no test here needs."""
_PRELOADED = ("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning")
"""Assertions of plugins are not rewritten; none of them is about the shim."""
_AGAIN = ("--last-failed", "--last-failed-no-failures=none")


class Part:
    """The tests that `arguments` name to pytest; the part's log, cache and coverage are in `folder`.

    Its processes give way, by `nice` as of nice(1). `passed`, `failed`, `skipped`: the numbers of tests. A part
    that dies has one failed test more.
    `unsteady`: the tests that failed beside the other parts and passed alone.
    """

    def __init__(self, name: str, arguments: list[str], folder: Path, nice: int = 0) -> None:
        self.passed = self.failed = self.skipped = 0
        self.unsteady: list[str] = []
        self.arguments = arguments
        self._path = folder / name
        self._nice = nice
        self._died = False

    @property
    def gives_way(self) -> bool:
        """To the parts whose tests wait."""
        return self._nice > 0

    @property
    def can_run_again(self) -> bool:
        """Some tests have failed, and pytest came to its end."""
        return bool(self._failures()) and not self._died

    def run(self, longest: float = LONGEST) -> str:
        """Run the tests, at most so many seconds; what pytest said."""
        said = self._run("first", longest)
        counts = _counts(said)
        self.passed = counts["passed"]
        self.skipped = counts["skipped"] + counts["xfailed"]
        return said

    def run_again(self, longest: float = LONGEST) -> str:
        """Run the failed tests once more; what pytest said."""
        before = self._failures()
        said = self._run("again", longest, *_AGAIN)
        self.unsteady = sorted(before - self._failures())
        self.passed += len(self.unsteady)
        return said

    def _run(self, name: str, longest: float, *options: str) -> str:
        cache, data = (
            f"{self._path}.cache",
            self._path.with_name(f".coverage.{self._path.name}.{name}"),
        )
        log = self._path.with_suffix(f".{name}.log")
        arguments = [*_UNUSED, *_PRELOADED, "-o", f"cache_dir={cache}", *self.arguments, *options]
        process = _PROCESSES.Process(
            target=_run_pytest, args=(arguments, log, _environment(data), self._nice)
        )
        # The process may be killed before it writes.
        log.touch()
        process.start()
        process.join(longest)
        if process.exitcode is None:
            process.kill()
            process.join()
        code = process.exitcode
        said = log.read_text(errors="replace")
        complete = code in (0, _NO_TESTS) or (code == _TESTS_FAILED and bool(self._failures()))
        self._died = not (complete and _SUMMARY.search(said))
        self.failed = len(self._failures()) + self._died
        if self._died:
            said += f"\nthis part died: exit code {code}\n"
        return said

    def _failures(self) -> set[str]:
        """The names of the tests that failed when they ran last; pytest keeps them."""
        path = Path(f"{self._path}.cache/v/cache/lastfailed")
        return set(json.loads(path.read_text())) if path.exists() else set()


def _run_pytest(arguments: list[str], log: Path, environment: Mapping[str, str], nice: int) -> None:
    """What the process of a part does; what pytest says goes to the log."""
    os.environ.clear()
    os.environ.update(environment)
    sys.dont_write_bytecode = False
    os.nice(nice)
    with log.open("wb") as output:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(output.fileno(), stream.fileno())
    code = pytest.main(arguments)
    # Before Python 3.14 a process of `multiprocessing` leaves this out.
    atexit._run_exitfuncs()
    sys.exit(code)


def _environment(coverage_data: Path) -> dict[str, str]:
    """The environment of a part.

    Python may keep what it compiled. Otherwise each of the hundreds of processes that the tests start
    would compile the whole package first, which takes longer than all else before its first line.
    """
    environment = {**os.environ, "COVERAGE_FILE": str(coverage_data)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def _counts(said: str) -> Counter[str]:
    """The numbers in the last line of pytest: passed, failed, skipped, …"""
    summaries = _SUMMARY.findall(said)
    words = summaries[-1].split(", ") if summaries else []
    return Counter({word.split()[1]: int(word.split()[0]) for word in words if word[0].isdigit()})

"""Which fast test executes which line, and how long it takes."""

import hashlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import pytest

from tests.mutants.mutation import ROOT, Mutation, modules_of, path_of

PACKAGES = (
    "shim.model",
    "shim.plugin",
    "shim.flags",
    "shim.compare",
    "shim.gate",
    "shim.router",
    "shim_legacy_global",
    "shim_per_session",
)
"""What is mutated: the pure wing and the plugins."""

FAST_TESTS = (
    "tests/model",
    "tests/plugin",
    "tests/flags",
    "tests/compare",
    "tests/gate",
    "tests/router",
    "tests/monitors",
)
"""The tests that must notice: those of the same folders, without sockets and processes."""


@dataclass(frozen=True)
class CoverageMap:
    """`seconds`: CPU time of each test; `lines`: the tests that execute a line, by module and line."""

    seconds: dict[str, float]
    lines: dict[str, dict[str, list[str]]]

    def tests_of(self, mutation: Mutation) -> list[str]:
        """The tests that execute the mutated statement, the shortest first.

        What runs at import is executed for all tests that use the module. Lines do not say which tests use
        what the module declares: the tests of its folder are among them.
        """
        lines = self.lines.get(mutation.module, {})
        tests = {test for line in mutation.lines for test in lines.get(str(line), ())}
        if "" in tests:
            tests = {test for of_line in lines.values() for test in of_line}
            tests = tests - {""} or set(self.seconds)
            package = mutation.module.partition(".")[2].partition(".")[0]
            tests |= {test for test in self.seconds if test.startswith(f"tests/{package}/")}
        return sorted(tests, key=lambda test: (self.seconds[test], test))

    def is_imported(self, mutation: Mutation) -> bool:
        """Whether the mutated statement is executed while modules are imported."""
        lines = self.lines.get(mutation.module, {})
        return any("" in lines.get(str(number), ()) for number in mutation.lines)


class _Recorder:
    def __init__(self, coverage: Any) -> None:
        self._coverage = coverage
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._coverage.switch_context(item.nodeid)
        start = time.process_time()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.process_time() - start
            self._coverage.switch_context("")


def coverage_map(cache: Path, processes: int) -> CoverageMap:
    """The map of the code as it is; for the folders of tests that `cache` does not have, it is made anew."""
    cache.mkdir(exist_ok=True)
    paths = {folder: cache / f"{_digest(folder)}.json" for folder in fast_folders()}
    for old in {*cache.glob("*.json")} - {*paths.values()}:
        old.unlink()
    missing = [folder for folder, path in paths.items() if not path.exists()]
    if missing:
        print(
            f"running {' '.join(missing)} once, to see which test executes which line", flush=True
        )
        with Pool(processes, maxtasksperchild=1) as pool:
            codes = pool.starmap(_record, [(one, paths[one]) for one in missing], chunksize=1)
        if any(codes):
            sys.exit("the tests must pass before the code is mutated")
    seconds: dict[str, float] = {}
    lines: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path in paths.values():
        part = json.loads(path.read_text())
        seconds |= part["seconds"]
        for module, tests_of in part["lines"].items():
            for line, tests in tests_of.items():
                lines[module][line] += tests
    return CoverageMap(seconds, {module: {**tests_of} for module, tests_of in lines.items()})


def _record(folder: str, path: Path) -> int:
    from coverage import Coverage

    files = [str(path_of(module)) for module in modules_of(*PACKAGES)]
    coverage = Coverage(data_file=None, branch=False, include=files, config_file=False)
    recorder = _Recorder(coverage)
    settle_examples()
    coverage.start()
    code = pytest.main([*PYTEST, folder], plugins=[recorder])
    coverage.stop()
    data = coverage.get_data()
    lines = {
        module: {str(line): tests for line, tests in data.contexts_by_lineno(file).items()}
        for module, file in zip(modules_of(*PACKAGES), files, strict=True)
    }
    if not code:
        path.write_text(json.dumps({"seconds": recorder.seconds, "lines": lines}))
    return int(code)


def settle_examples() -> None:
    """The same examples each time, and no search for the smallest one that fails."""
    from hypothesis import Phase, settings

    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutants", derandomize=True, database=None, phases=phases)
    settings.load_profile("mutants")


PYTEST = (
    "-q",
    "--no-header",
    "-p",
    "no:cacheprovider",
    "--override-ini=addopts=",
    f"--rootdir={ROOT}",
    # For what is imported before pytest starts.
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)


def fast_folders() -> list[str]:
    """The folders of the fast tests."""
    return [folder for folder in FAST_TESTS if (ROOT / folder).exists()]


def _digest(folder: str) -> str:
    """Of the code, of what the tests share, and of the tests in this folder."""
    digest = hashlib.sha256(folder.encode())
    for part in ("shim", "plugins", *FAST_TESTS):
        for path in sorted((ROOT / part).rglob("*.py")):
            if part in ("shim", "plugins", folder) or not path.name.startswith("test_"):
                digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]

"""`python -m tests`: all tests, in seven processes beside each other.

Most of them wait for sockets and other processes, some compute: so on two cores no core is left alone. The
tests are cut into more parts than there are processes, and the long ones begin. Arguments go to each of
them. The coverage of all together is reported at the end. To count the lines doubles the CPU time of a
test at least, so no lines are counted in the parts whose lines other parts run as well.

Tests that failed are run once more, when all processes are through and nothing runs beside them. The
machine is shared, with the other six processes and often with strangers, and many tests use real sockets,
processes and clocks: a machine that stands still for a second must not look like a fault of the shim. A
test that fails alone, too, has failed. A test that passes alone has passed, and the end names it: the next
reader asks why it needs a quiet machine.
"""

import compileall
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.part import Part

TESTS = Path(__file__).parent
SOURCES = tuple(TESTS.parent / folder for folder in ("shim", "plugins"))
AT_ONCE = 7
UNMEASURED = (("simulate",), ("fleet",), ("fleet_faults",), ("peers", "test_wheel.py"))
"""Parts of which no coverage is measured: they compute, or nearly all of them runs in other processes."""
PARTS = (
    ("postgres",),
    ("simulate",),
    ("demo",),
    ("fleet_faults",),
    ("live/test_[a-f]*.py",),
    ("peers", "test_wheel.py"),
    ("web",),
    ("live/test_[q-z]*.py",),
    ("cli", "gate", "replay"),
    ("fleet",),
    ("asgi",),
    ("live/test_[g-p]*.py",),
    ("ledger",),
    ("boards", "capture", "clients", "telemetry"),
)
"""Folders and files, the long parts first. Before them begins the part with all other tests."""
COVERAGE = [sys.executable, "-m", "coverage"]
_COVERED = ("--cov", "--cov-report=")


def main(options: list[str]) -> int:
    named = {names: paths for names in PARTS if (paths := [*_paths(names)])}
    others = [f"--ignore={path}" for paths in named.values() for path in paths]
    chosen = [[*_COVERED, *others]]
    chosen += [
        paths if names in UNMEASURED else [*_COVERED, *paths] for names, paths in named.items()
    ]
    print("all tests, which takes some minutes; what each part says comes when it ends", flush=True)
    for source in SOURCES:
        # Once, and not by each of the processes that begin together.
        compileall.compile_dir(source, quiet=1)
    with tempfile.TemporaryDirectory() as folder:
        parts = [
            Part(f"part{number}", [*names, *options], Path(folder))
            for number, names in enumerate(chosen)
        ]
        run(parts)
        subprocess.run([*COVERAGE, "combine", "--quiet", folder], check=False)
    subprocess.run([*COVERAGE, "report", "--skip-covered"], check=False)
    return summarize(parts)


def run(parts: Sequence[Part]) -> None:
    """Run the parts beside each other, and then what failed in them one after another."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for running in as_completed([pool.submit(part.run) for part in parts]):
            print(running.result(), flush=True)
    for part in parts:
        if part.can_run_again:
            print("what failed in a part, once more and alone:", flush=True)
            print(part.run_again(), flush=True)


def summarize(parts: Sequence[Part]) -> int:
    """Print what came of all tests; the exit code."""
    for part in parts:
        for test in part.unsteady:
            print(f"failed beside the others, passed alone: {test}")
    passed, failed, skipped = (
        sum(getattr(part, count) for part in parts) for count in ("passed", "failed", "skipped")
    )
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 0 if passed and not failed else 1


def _paths(names: Iterable[str]) -> Iterator[str]:
    """Folders and files; a name may be a glob."""
    for name in names:
        yield from map(str, sorted(TESTS.glob(name)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

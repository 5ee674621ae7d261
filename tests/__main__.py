"""`python -m tests`: all tests, in seven processes beside each other.

Five of them mostly wait for sockets and other processes, two compute: on two cores neither a core nor a
process is left alone at the end. Arguments go to each of them. With `--cov` the coverage of all together is
reported at the end; to count the lines makes a simulation four times slower.

Tests that failed are run once more, when all processes are through and nothing runs beside them. The
machine is shared, with the other six processes and often with strangers, and many tests use real sockets,
processes and clocks: a machine that stands still for a second must not look like a fault of the shim. A
test that fails alone, too, has failed. A test that passes alone has passed, and the end names it: the next
reader asks why it needs a quiet machine.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.part import Part

TESTS = Path(__file__).parent
WAITING = (
    ("live/test_[a-p]*.py",),
    ("live/test_[q-z]*.py", "demo"),
    ("boards", "capture", "telemetry", "web"),
    ("ledger", "postgres"),
    ("asgi", "clients", "peers", "test_wheel.py"),
)
COMPUTING = ("replay", "simulate")
"""About half of what is to be computed; the last process runs all other tests."""
COVERAGE = [sys.executable, "-m", "coverage"]


def main(options: list[str]) -> int:
    chosen = [[*_paths(names)] for names in (*WAITING, COMPUTING)]
    chosen.append([f"--ignore={path}" for paths in chosen for path in paths])
    if covered := "--cov" in options:
        options = [*options, "--cov-report="]
    print("all tests, which takes some minutes; what each part says comes when it ends", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        parts = [
            Part(f"part{number}", [*names, *options], Path(folder))
            for number, names in enumerate(chosen)
        ]
        run(parts)
        if covered:
            subprocess.run([*COVERAGE, "combine", "--quiet", folder], check=False)
            subprocess.run([*COVERAGE, "report", "--skip-covered"], check=False)
    return summarize(parts)


def run(parts: Sequence[Part]) -> None:
    """Run the parts beside each other, and then what failed in them one after another."""
    for part in parts:
        part.start()
    for part in parts:
        print(part.finish(), flush=True)
    for part in parts:
        if part.can_run_again:
            print("what failed in this part, once more and alone:", flush=True)
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

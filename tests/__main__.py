"""`python -m tests`: all tests, in eight processes beside each other.

Most of them wait for sockets and other processes, some compute: so on two cores no core is left alone. The
tests are cut into more parts than there are processes, and the long ones begin. What only computes gives way
to what waits: nobody is late because of it, and it takes the time that is left. Arguments go to each of
them. The coverage of all together is reported at the end. To count the lines doubles the CPU time of a
test at least, so no lines are counted in the parts whose lines other parts run as well.

Tests that failed are run once more, when all processes are through and nothing runs beside them. The
machine is shared, with the other seven processes and often with strangers, and many tests use real sockets,
processes and clocks: a machine that stands still for a second must not look like a fault of the shim. A
test that fails alone, too, has failed. A test that passes alone has passed, and the end names it: the next
reader asks why it needs a quiet machine.
"""

import compileall
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from tests.part import Part

TESTS = Path(__file__).parent
SOURCES = tuple(TESTS.parent / folder for folder in ("shim", "plugins"))
AT_ONCE = 8


class Share(NamedTuple):
    """Folders and files that one process tests; a name may be a glob.

    `counts` the lines that run: not where other parts run the same lines, or other processes most of them.
    `waits`, as most tests do; what only computes gives way to that.
    """

    names: tuple[str, ...]
    counts: bool = True
    waits: bool = True

    def paths(self) -> list[str]:
        return [str(path) for name in self.names for path in sorted(TESTS.glob(name))]


SHARES = (
    Share(("fleet_faults",), counts=False),
    Share(("fleet",), counts=False),
    Share(("postgres/test_f*.py",)),
    Share(("demo/test_fl*.py",)),
    Share(("simulate/test_examples.py",), counts=False, waits=False),
    Share(("live/test_[a-f]*.py",)),
    Share(("live/test_[q-z]*.py",)),
    Share(("compare", "monitors", "oracle", "router", "test_mutations.py"), waits=False),
    Share(("gate", "replay"), waits=False),
    Share(("postgres/test_[!f]*.py",)),
    Share(("peers", "test_wheel.py"), counts=False),
    Share(("live/test_[g-p]*.py",)),
    Share(("web",)),
    Share(("simulate/test_[!e]*.py",), counts=False, waits=False),
    Share(("asgi",)),
    Share(("demo/test_[!f]*.py", "demo/test_fa*.py")),
    Share(("ledger",)),
    Share(("boards", "capture", "clients")),
    Share(("cli", "telemetry")),
)
"""The long ones first. Before them begins the part with all other tests."""
COVERAGE = [sys.executable, "-m", "coverage"]
_COVERED = ("--cov", "--cov-report=")
_GIVES_WAY = 10


def main(options: list[str]) -> int:
    print("all tests, which takes some minutes; what each part says comes when it ends", flush=True)
    for source in SOURCES:
        # Once, and not by each of the processes that begin together.
        compileall.compile_dir(source, quiet=1)
    with tempfile.TemporaryDirectory() as folder:
        parts = list(_parts(options, Path(folder)))
        run(parts)
        subprocess.run([*COVERAGE, "combine", "--quiet", folder], check=False)
    subprocess.run([*COVERAGE, "report", "--skip-covered"], check=False)
    return summarize(parts)


def _parts(options: Sequence[str], folder: Path) -> Iterator[Part]:
    shares = [(share, share.paths()) for share in SHARES]
    others = [f"--ignore={path}" for _, paths in shares for path in paths]
    yield Part("others", [*_COVERED, *others, *options], folder)
    for number, (share, paths) in enumerate(shares):
        # Without a path pytest would run all tests.
        if paths:
            arguments = [*(_COVERED if share.counts else ()), *paths, *options]
            yield Part(f"part{number}", arguments, folder, nice=0 if share.waits else _GIVES_WAY)


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

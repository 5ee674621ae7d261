"""`python -m tests`: all tests, in nine processes beside each other.

Most tests wait for sockets and other processes: seven processes run these tests, which leaves time on two
cores. Two more processes, one for each core, run the tests that only compute. They give way to the other
seven: no test that waits is late because of them, and they take the time that is left, to the end. The tests
are cut into more parts than there are processes, and the longest parts begin. Arguments go to each part. The
coverage of all together is reported at the end. To count the lines makes a test slower, so no lines are
counted in the parts whose lines other parts run as well.

Tests that failed are run once more, when all processes are through and nothing runs beside them. The
machine is shared, with the other eight processes and often with strangers, and many tests use real sockets,
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
from typing import NamedTuple

from tests.part import Part

TESTS = Path(__file__).parent
SOURCES = tuple(TESTS.parent / folder for folder in ("shim", "plugins"))
WAITING, COMPUTING = 7, 2
"""How many parts run beside each other."""


class Share(NamedTuple):
    """Folders and files that one process tests; a name may be a glob.

    `counts` the lines that run: not where other parts run the same lines, or other processes most of them.
    `waits`, as most tests do; what only computes gives way to that.
    """

    names: tuple[str, ...]
    counts: bool = True
    waits: bool = True

    def paths(self) -> list[Path]:
        return [path for name in self.names for path in sorted(TESTS.glob(name))]


SHARES = (
    Share(("live/test_[a-f]*.py",)),
    Share(("fleet_faults",), counts=False),
    Share(("live/test_[q-z]*.py",)),
    Share(("postgres",)),
    Share(("postgres/test_f*.py",)),
    Share(("live",)),
    Share(("web",)),
    Share(("cli", "telemetry")),
    Share(("ledger",)),
    Share(("peers", "test_wheel.py"), counts=False),
    Share(("fleet",), counts=False),
    Share(("asgi",)),
    Share(("demo",)),
    Share(("demo/test_fl*.py",)),
    Share(("boards", "capture", "clients")),
    Share(("simulate/test_examples.py",), counts=False, waits=False),
    Share(
        ("simulate", "gate/test_fleets.py", "gate/test_statistics.py", "test_mutations.py"),
        counts=False,
        waits=False,
    ),
    Share(("gate", "replay"), waits=False),
    Share(("compare", "monitors", "oracle", "router"), waits=False),
)
"""The long ones first, of those that wait and of those that compute. Before them begins the part with all other
tests. A file in a folder of another share belongs to the share that names the file."""
COVERAGE = [sys.executable, "-m", "coverage"]
_COVERED = ("--cov", "--cov-report=")
_GIVES_WAY = 10


def main(options: list[str]) -> int:
    print("all tests, which takes some minutes; what each part says comes when it ends", flush=True)
    for source in SOURCES:
        # Once, and not by each of the processes that begin together.
        compileall.compile_dir(source, quiet=1)
    with tempfile.TemporaryDirectory() as folder:
        parts = list(parts_in(Path(folder), options))
        run(parts)
        subprocess.run([*COVERAGE, "combine", "--quiet", folder], check=False)
    subprocess.run([*COVERAGE, "report", "--skip-covered"], check=False)
    return summarize(parts)


def parts_in(folder: Path, options: Sequence[str]) -> Iterator[Part]:
    """All parts, which keep their files in this folder; each file of tests is in one part."""
    named = [path for share in SHARES for path in share.paths()]
    yield Part("others", [*_COVERED, *_left_out(named), *options], folder)
    for number, share in enumerate(SHARES):
        paths = share.paths()
        # Without a path pytest would run all tests.
        if paths:
            inside = [path for path in named if not {*paths}.isdisjoint(path.parents)]
            arguments = [*(_COVERED if share.counts else ()), *map(str, paths), *_left_out(inside)]
            nice = 0 if share.waits else _GIVES_WAY
            yield Part(f"part{number}", [*arguments, *options], folder, nice=nice)


def _left_out(paths: Iterable[Path]) -> Iterator[str]:
    return (f"--ignore={path}" for path in paths)


def run(parts: Sequence[Part]) -> None:
    """Run the parts beside each other, and then what failed in them one after another."""
    with ThreadPoolExecutor(WAITING) as waiting, ThreadPoolExecutor(COMPUTING) as computing:
        runs = [(computing if part.gives_way else waiting).submit(part.run) for part in parts]
        for running in as_completed(runs):
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

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
from collections.abc import Iterable, Iterator, Sequence
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

    def paths(self) -> list[Path]:
        return [path for name in self.names for path in sorted(TESTS.glob(name))]


SHARES = (
    Share(("fleet_faults",), counts=False),
    Share(("fleet",), counts=False),
    Share(("postgres/test_f*.py",)),
    Share(("demo/test_fl*.py",)),
    Share(("simulate/test_examples.py",), counts=False, waits=False),
    Share(("live/test_[a-f]*.py",)),
    Share(("live/test_[q-z]*.py",)),
    Share(("gate", "replay"), waits=False),
    Share(("postgres",)),
    Share(("peers", "test_wheel.py"), counts=False),
    Share(("live",)),
    Share(("web",)),
    Share(("compare", "monitors", "oracle", "router"), waits=False),
    Share(("asgi",)),
    Share(
        ("simulate", "gate/test_fleets.py", "gate/test_statistics.py", "test_mutations.py"),
        counts=False,
        waits=False,
    ),
    Share(("demo",)),
    Share(("ledger",)),
    Share(("boards", "capture", "clients")),
    Share(("cli", "telemetry")),
)
"""The long ones first. Before them begins the part with all other tests. A file in a folder of another share
belongs to the share that names the file."""
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

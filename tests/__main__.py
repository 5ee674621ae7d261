"""`python -m tests`: all tests, in seven processes beside each other, with the coverage of all together.

Five of them mostly wait for sockets and other processes, two compute: on two cores neither a core nor a
process is left alone at the end. Arguments go to each of them.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

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
    parts = [[*_paths(names)] for names in (*WAITING, COMPUTING)]
    parts.append([f"--ignore={path}" for part in parts for path in part])
    print("all tests, which takes some minutes; what each part says comes when it ends", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / f"part{number}.log" for number in range(len(parts))]
        started = [
            _start(part + options, log, Path(folder) / f".coverage.{log.stem}")
            for part, log in zip(parts, logs, strict=True)
        ]
        codes = []
        for process, log in zip(started, logs, strict=True):
            codes.append(process.wait())
            print(log.read_text(errors="replace"), flush=True)
        subprocess.run([*COVERAGE, "combine", "--quiet", folder], check=False)
    subprocess.run([*COVERAGE, "report", "--skip-covered"], check=False)
    return 1 if any(codes) else 0


def _paths(names: Iterable[str]) -> Iterator[str]:
    """Folders and files; a name may be a glob."""
    for name in names:
        yield from map(str, sorted(TESTS.glob(name)))


def _start(arguments: list[str], log: Path, data: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "--cov", "--cov-report=", *arguments],
            env={**os.environ, "COVERAGE_FILE": str(data)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

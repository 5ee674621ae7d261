"""`python -m tests`: all tests, in two processes at a time, with the coverage of both together.

One half waits for sockets and other processes, the other computes; beside each other they take hardly
longer than one alone. Its arguments go to both.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parent
WAITING = ("boards", "capture", "demo", "ledger", "live", "telemetry", "web")
COVERAGE = [sys.executable, "-m", "coverage"]


def main(options: list[str]) -> int:
    waiting = [str(TESTS / name) for name in WAITING]
    halves = {"waiting": waiting, "computing": [f"--ignore={path}" for path in waiting]}
    with tempfile.TemporaryDirectory() as folder:
        logs = {name: Path(folder) / name for name in halves}
        started = {
            name: _start(arguments + options, logs[name], Path(folder) / f".coverage.{name}")
            for name, arguments in halves.items()
        }
        codes = []
        for name, process in started.items():
            codes.append(process.wait())
            print(f"--- tests that are {name} ---\n{logs[name].read_text(errors='replace')}")
        subprocess.run([*COVERAGE, "combine", "--quiet", folder], check=False)
    subprocess.run([*COVERAGE, "report", "--skip-covered"], check=False)
    return max(codes)


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

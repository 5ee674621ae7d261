"""The test suites of peers, from their source distributions, run with the shim in place of the peer's part."""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.sdk.packages import locked
from tests.support import skip

PLUGINS = Path(__file__).with_name("plugins")
ROOT = Path(__file__).parents[2]
DOWNLOAD_TIMEOUT = 300
SUITE_TIMEOUT = 300


def sdist(name: str) -> Path:
    """The unpacked source distribution of the installed version, fetched once for all test runs."""
    release = f"{name}-{version(name)}"
    folder = Path(tempfile.gettempdir()) / f"shim-sdist-{release}-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with locked(folder / ".lock"):
        # Written last: what an interrupted download left behind is not taken for the whole.
        done = folder / ".unpacked"
        if not done.exists():
            _download(name, folder)
            (archive,) = folder.glob("*.tar.gz")
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
            done.touch()
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    return unpacked


def _download(name: str, folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    wanted = ["--no-deps", "--no-binary", ":all:", "--dest", str(folder)]
    try:
        done = subprocess.run(
            [*pip, *wanted, f"{name}=={version(name)}"],
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        skip(f"{name}: the download took over {DOWNLOAD_TIMEOUT} s")
    if done.returncode != 0:
        skip(f"{name}: cannot be downloaded: {done.stderr.strip()[-500:]}")


@dataclass(frozen=True)
class SuiteRun:
    """How many tests passed, and the names of those that failed, without the parameters."""

    passed: int
    failed: set[str]
    output: str


def run_suite(folder: Path, plugin: str, *arguments: str, **environment: str) -> SuiteRun:
    """Run tests of a peer in a process of its own, with a plugin from the folder `plugins`."""
    options = [
        "-o",
        "addopts=",
        "-o",
        "filterwarnings=",
        "--timeout=30",
        "-rfE",
        "-q",
        "--no-header",
    ]
    without = ["-p", "no:asyncio", "-p", "no:cacheprovider", "-p", "no:cov"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *without, "-p", plugin, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{PLUGINS}:{ROOT}:{folder}", **environment},
        capture_output=True,
        text=True,
        timeout=SUITE_TIMEOUT,
        check=False,
    )
    output = done.stdout + done.stderr
    summary = re.search(r"(\d+) passed", output)
    failed = re.findall(r"^(?:FAILED|ERROR) \S*::(\w+)", output, re.MULTILINE)
    return SuiteRun(int(summary[1]) if summary else 0, set(failed), output)

"""The test suites of peers, from their sources, run with the shim in place of the peer's part."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
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
    """The unpacked source distribution of the installed version."""

    def fetch(folder: Path) -> None:
        release = f"{name}=={version(name)}"
        _pip("download", "--no-binary", name, "--dest", str(folder), release)

    return _unpacked(f"sdist-{name}-{version(name)}", fetch)


def distribution(name: str, version: str) -> Path:
    """A folder with this distribution, for the search path; it is installed nowhere else."""

    def fetch(folder: Path) -> None:
        _pip("install", "--only-binary", ":all:", "--target", str(folder), f"{name}=={version}")

    return _fetched(f"{name}-{version}", fetch)


def debian_source(name: str, version: str, codename: str) -> Path:
    """The unpacked upstream sources of a package of Debian, from where this machine has its packages."""

    def fetch(folder: Path) -> None:
        if shutil.which("apt-get") is None:
            skip(f"{name}: only Debian has these sources")
        sites = ["apt-get", "indextargets", "--format", "$(SITE)", "Origin: Debian"]
        site, *_ = _output(sites).split() or ["no site"]
        (folder / "lists/partial").mkdir(parents=True)
        key = "/usr/share/keyrings/debian-archive-keyring.gpg"
        (folder / "sources.list").write_text(f"deb-src [signed-by={key}] {site} {codename} main\n")
        where = {
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": folder / "lists",
            "Dir::Cache": folder,
            "APT::Sandbox::User": "",
        }
        options = [f"-o{key}={value}" for key, value in where.items()]
        _output(["apt-get", "-qq", *options, "update"])
        source = ["source", "--download-only", "--tar-only", f"{name}={version}"]
        _output(["apt-get", "-qq", *options, *source], folder)
        shutil.rmtree(folder / "lists")

    return _unpacked(f"debian-{name}-{version}", fetch)


def _unpacked(name: str, fetch: Callable[[Path], None]) -> Path:
    def fetch_and_unpack(folder: Path) -> None:
        fetch(folder)
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")

    folder = _fetched(name, fetch_and_unpack)
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    return unpacked


def _fetched(name: str, fetch: Callable[[Path], None]) -> Path:
    """What is fetched is kept, for all test runs on this machine."""
    folder = Path(tempfile.gettempdir()) / f"shim-{name}-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with locked(folder / ".lock"):
        # Written last: what an interrupted download left behind is not taken for the whole.
        done = folder / ".done"
        if not done.exists():
            fetch(folder)
            done.touch()
    return folder


def _pip(command: str, *arguments: str) -> None:
    options = ["--quiet", "--disable-pip-version-check", "--no-deps"]
    _output([sys.executable, "-m", "pip", command, *options, *arguments])


def _output(command: list[str], folder: Path | None = None) -> str:
    """The output of a command that fetches; without it tests are skipped."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        skip(f"{command[-1]}: the download took over {DOWNLOAD_TIMEOUT} s")
    if done.returncode != 0:
        skip(f"{command[-1]}: cannot be downloaded: {done.stderr.strip()[-500:]}")
    return done.stdout


@dataclass(frozen=True)
class SuiteRun:
    """How many tests passed, and the names of those that failed, without the parameters."""

    passed: int
    failed: set[str]
    output: str


MODES: dict[str, dict[str, str]] = {"unregistered": {}, "registered": {"SHIM_REGISTERS": "1"}}
"""The environment of a suite whose connections the shim watches, or does not."""

Runs = Mapping[str, Future[SuiteRun]]


@contextmanager
def at_once(suites: Mapping[str, Callable[[], SuiteRun]]) -> Iterator[Runs]:
    """Run all of these suites beside each other: they mostly wait."""
    with ThreadPoolExecutor(len(suites)) as pool:
        yield {name: pool.submit(run) for name, run in suites.items()}


def run_suite(
    folder: Path,
    plugin: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    libraries: Sequence[Path] = (),
) -> SuiteRun:
    """Run tests of a peer in a process of its own, with a plugin from the folder `plugins`.

    `libraries` are folders in which modules are looked for before all others.
    """
    path = ":".join(map(str, (*libraries, PLUGINS, ROOT, folder)))
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
    unused = (
        "asyncio",
        "cacheprovider",
        "hypothesispytest",
        "inline_snapshot",
        "pytest_cov",
        "schemathesis",
    )
    without = [f"-pno:{name}" for name in unused]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *without, "-p", plugin, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=SUITE_TIMEOUT,
        check=False,
    )
    output = done.stdout + done.stderr
    summary = re.search(r"(\d+) passed", output)
    failed = re.findall(r"^(?:FAILED|ERROR) \S*::(\w+)", output, re.MULTILINE)
    return SuiteRun(int(summary[1]) if summary else 0, set(failed), output)

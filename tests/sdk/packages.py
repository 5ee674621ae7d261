"""Packages from npm, installed once for all test runs of this machine."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INSTALL_TIMEOUT = 300.0


class PackagesUnavailable(Exception):
    """The packages cannot be had here; the text says why (to skip a test with)."""


def npm_folder(*packages: str, folder: Path | None = None) -> Path:
    """The folder that holds these packages (`name@version`): this one, or one below the temp folder."""
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        raise PackagesUnavailable(f"not on this machine: {', '.join(missing)}")
    digest = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12]
    default = Path(tempfile.gettempdir()) / f"shim-npm-{digest}-{os.getuid()}"
    folder = (folder or default).absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(folder / ".lock"):
            # Written last: what an interrupted install left behind is not taken for the whole.
            done = folder / f".installed-{digest}"
            if not done.exists():
                _install(folder, packages)
                done.touch()
    except OSError as error:
        raise PackagesUnavailable(f"cannot use {folder}: {error}") from error
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Parallel test runs share the folder; the second waits for the first one's install."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(folder: Path, packages: tuple[str, ...]) -> None:
    manifest = folder / "package.json"  # without one, npm would install into a parent that has one
    if not manifest.exists():
        manifest.write_text(json.dumps({"name": "shim-npm", "private": True}))
    command = ["npm", "install", *packages, "--save-exact", "--ignore-scripts"]
    quiet = ["--no-audit", "--no-fund", "--no-progress", "--loglevel=error"]
    try:
        done = subprocess.run(
            [*command, *quiet],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PackagesUnavailable(f"npm install took over {INSTALL_TIMEOUT:.0f} s") from error
    if done.returncode != 0:
        raise PackagesUnavailable(
            f"npm install failed ({done.returncode}): {done.stderr.strip()[-500:]}"
        )

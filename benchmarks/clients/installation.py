"""Where the real clients are installed: a folder for npm and an environment for PyPI, made once."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from shim.clients.client_returns import ClientReturns
from tests.sdk.packages import PackagesUnavailable, npm_folder

HERE = Path(__file__).parent
_LONGEST = 600
"""Seconds for one installation."""

_POLYFILL = "ws@8.23.0"
"""Node's stand-in for a browser's WebSocket, which most of these libraries look for."""

_BESIDE = {"graphql-ws": ("graphql@16",)}
"""What a package from npm wants installed beside it."""

_EXTRAS = {"python-socketio": "[asyncio_client]", "gql": "[websockets]"}


def install_from_npm(clients: Iterable[ClientReturns]) -> list[str]:
    """The command that runs these clients. Raises PackagesUnavailable."""
    wanted = {_POLYFILL}
    for client in clients:
        alias = client.name.removeprefix("@") if client.name != client.package else ""
        wanted.add(f"{alias}{'@npm:' if alias else ''}{client.package}@{client.version}")
        wanted.update(_BESIDE.get(client.name, ()))
    folder = npm_folder(*sorted(wanted))
    shutil.copy(HERE / "node_clients.mjs", folder)
    return ["node", str(folder / "node_clients.mjs")]


def install_from_pypi(clients: Iterable[ClientReturns]) -> list[str]:
    """The command that runs these clients. Raises PackagesUnavailable."""
    folder = Path(tempfile.gettempdir()) / f"shim-clients-pypi-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    python = folder / "bin" / "python"
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(folder)], folder)
    wanted = {
        f"{client.package}{_EXTRAS.get(client.package, '')}=={client.version}" for client in clients
    }
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _install_once(folder, wanted, pip)
    return [str(python), str(HERE / "python_clients.py")]


def _install_once(folder: Path, wanted: set[str], command: Sequence[str]) -> None:
    """Install what is missing of it; the note of what is there is written last."""
    note = folder / "installed.json"
    there = set(json.loads(note.read_text())) if note.exists() else set()
    if missing := sorted(wanted - there):
        _run([*command, *missing], folder)
        note.write_text(json.dumps(sorted(there | wanted)))


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True, timeout=_LONGEST
        )
    except subprocess.CalledProcessError as error:
        raise PackagesUnavailable(f"{' '.join(command)}: {error.stderr.strip()[-500:]}") from None
    except subprocess.TimeoutExpired as error:
        raise PackagesUnavailable(str(error)) from None

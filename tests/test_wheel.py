"""What a user gets: the wheel in an empty environment, without this checkout."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support import skip

pytestmark = pytest.mark.real

ROOT = Path(__file__).parent.parent
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the commands of an environment that has the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("wheel")
    environment = folder / "environment"
    python = environment / "bin" / "python"
    # Most of what is installed is never imported here: Python compiles what is.
    install = ("install", "--no-compile", "--constraint", str(ROOT / "constraints.txt"))
    for command in (
        (sys.executable, *PIP, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)),
        (sys.executable, "-m", "venv", "--without-pip", str(environment)),
        (sys.executable, *PIP, "--python", str(python), *install, "{wheel}"),
    ):
        wheel = next(map(str, folder.glob("*.whl")), "")
        words = [wheel if word == "{wheel}" else word for word in command]
        done = subprocess.run(words, capture_output=True, text=True, cwd=folder, check=False)
        if done.returncode:
            skip(f"{' '.join(words)}: {done.stderr.strip()[-500:]}")
    return python.parent


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(installed / "shim"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.timeout(300)
def test_the_first_five_minutes(installed: Path, tmp_path: Path) -> None:
    codes = run(installed, tmp_path, "codes", "--client", "@mentra/sdk")
    assert codes.returncode == 0, codes.stderr
    assert "1012, 1013, 4000" in codes.stdout
    assert run(installed, tmp_path, "init").returncode == 0
    doctor = run(installed, tmp_path, "doctor", "--config", "shim.yaml")
    assert doctor.returncode == 1
    assert "SHIM_OPERATOR_TOKEN is not set" in doctor.stdout
    serve = [str(installed / "shim"), "serve", "--dev", "--port", "0", "--config", "shim.yaml"]
    with subprocess.Popen(
        serve,
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as server:
        assert server.stdout is not None
        address = next(
            line.split()[-1] for line in server.stdout if line.startswith("listening on ")
        )
        # The page is made from a template, which has to be in the wheel.
        for path in ("healthz", "login"):
            with urllib.request.urlopen(f"{address}/{path}", timeout=30) as answer:
                assert answer.status == 200
        server.send_signal(signal.SIGTERM)
        _, errors = server.communicate(timeout=30)
    assert server.returncode == 0, errors

"""The plugin of docs/plugins.md is installed, tested and replayed as it stands there."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs" / "plugins.md").read_text()
FILES = dict(re.findall(r"`(\w+\.\w+)`[^`]*:\n\n```\w+\n(.*?)```", DOCUMENT, re.DOTALL))
COMMANDS = re.findall(r"```console\n\$ shim (.*?)\n…\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Every file of the document; the plugin is in `site`, as pip would have installed it."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    project = tomllib.loads(FILES["pyproject.toml"])
    name, version = project["project"]["name"], project["project"]["version"]
    information = tmp_path / "site" / f"{name.replace('-', '_')}-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    )
    points = project["project"]["entry-points"]["shim"].items()
    lines = ["[shim]", *(f"{point} = {module}" for point, module in points)]
    (information / "entry_points.txt").write_text("\n".join(lines))
    for module in project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]:
        (tmp_path / module).rename(tmp_path / "site" / module)
    return tmp_path


def python(folder: Path, *arguments: str) -> str:
    """What it prints, with the plugin installed; spaces at the end of lines do not count."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(folder / "site"),
            "COLUMNS": "80",
            # The example needs no plugin of pytest's, and to import those of this project takes a second.
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()) + "\n"


def test_the_replays_answer_what_the_document_says(folder: Path) -> None:
    assert len(COMMANDS) == 2
    for command, answer in COMMANDS:
        assert answer in python(folder, "-m", "shim", *command.split())


def test_its_own_tests_pass(folder: Path) -> None:
    arguments = ("-q", "-p", "no:cacheprovider", "-c", os.devnull, "test_ask_first.py")
    assert "3 passed" in python(folder, "-m", "pytest", *arguments)


def test_it_is_in_our_style(folder: Path) -> None:
    config = ("--config", str(ROOT / "pyproject.toml"))
    python(folder, "-m", "ruff", "check", *config, ".")
    python(folder, "-m", "ruff", "format", "--check", *config, ".")

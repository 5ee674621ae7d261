"""A start with what cannot be used: told with its place in the settings, and nothing is half done."""

import asyncio
import os
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from shim.aio import Shim
from shim.cli import main
from shim.model import InputError
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.runtime.secrets import Secrets
from shim.settings.settings import load_settings

SECRETS = Secrets("j" * 32, "operator", "hash-key", dev=True)


def refused(config: Path, text: str, capture: Path | None = None) -> str:
    """What is said of these settings, of which nothing must be left behind."""
    config.write_text(text)
    before = contents(config.parent)
    settings = load_settings(config, monitor_types(plugin_manager()))

    async def start() -> None:
        async with Shim.open(settings, secrets=SECRETS, capture=capture).running():
            raise AssertionError("it started")

    with pytest.raises(InputError) as caught:
        asyncio.run(start())
    assert contents(config.parent) == before
    return str(caught.value)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "shim.yaml"


def test_flags_that_are_not_there(config: Path) -> None:
    ledger = f"ledger: sqlite:///{config.parent}/shim.db"
    missing = config.parent / "nosuch.yaml"
    told = refused(config, f"{ledger}\nrollout: nosuch.yaml\n")
    assert told == f"{config}:2:1: rollout: {missing}: no such file"


def test_flags_that_are_not_there_where_nothing_names_them(config: Path) -> None:
    missing = config.parent / "rollout.yaml"
    told = refused(config, f"ledger: sqlite:///{config.parent}/shim.db\n")
    assert told == f"{config}: rollout: {missing}: no such file"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("kind", [os.mkfifo, os.mkdir])
@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize(
    "command", [["serve", "--dev", "--port", "0"], ["rollout", "status"], ["rollout", "advance"]]
)
def test_flags_that_are_a_pipe_or_a_folder(
    config: Path, kind: Callable[[Path], None], linked: bool, command: list[str]
) -> None:
    """Reading a pipe would wait for ever."""
    flags = config.parent / "rollout.yaml"
    kind(config.parent / "other" if linked else flags)
    if linked:
        flags.symlink_to(config.parent / "other")
    plan = "promotion: {steps: [{percent: {shadow: 100}}]}"
    config.write_text(f"{plan}\nledger: sqlite:///{config.parent}/shim.db\nrollout: rollout.yaml\n")
    answer = CliRunner().invoke(main, [*command, "--config", str(config)])
    told = f"error: {config}:3:1: rollout: {flags}: is no regular file"
    assert (answer.exit_code, answer.stderr.splitlines()[-1]) == (2, told)
    assert not (config.parent / "shim.db").exists()


def test_a_mistake_in_the_flags_is_told_with_its_own_place(config: Path) -> None:
    flags = config.parent / "rollout.yaml"
    flags.write_text("version: 2\n...\n")
    told = refused(config, f"ledger: sqlite:///{config.parent}/shim.db\n")
    assert f"{flags}:1:1: version: must be 1" in told
    assert str(config) not in told


def test_a_ledger_that_is_none(config: Path) -> None:
    path = config.parent / "shim.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE recipes (name)")
    database.close()
    told = refused(config, f"rollout: null\nledger: sqlite:///{path}\n")
    assert told == f"{config}:2:1: ledger: {path} is the database of another program"


def test_a_ledger_that_cannot_be_written(config: Path) -> None:
    path = config.parent / "none" / "shim.db"
    told = refused(config, f"rollout: null\nledger: sqlite:///{path}\n")
    assert told.startswith(f"{config}:2:1: ledger: {path} cannot be written: No such file")


def test_captures_without_a_folder(config: Path) -> None:
    good = f"rollout: null\nledger: sqlite:///{config.parent}/shim.db\n"
    file = config.parent / "none" / "capture.jsonl"
    reason = f"{file}: there is no folder for the captures"
    told = refused(config, f"{good}capture:\n  file: {file}\n")
    assert told == f"{config}:4:3: capture.file: {reason}"
    assert refused(config, good, file) == reason


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("server: {{port: {port}}}", "2:1: server"),
        ("server: {{port: 0, admin: {{port: {port}}}}}", "2:19: server.admin"),
    ],
    ids=["connections", "console"],
)
def test_a_port_that_another_program_has(config: Path, section: str, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config.write_text(f"rollout: null\n{section.format(port=port)}\n")
        answer = CliRunner().invoke(main, ["serve", "--dev", "--config", str(config)])
        again = CliRunner().invoke(
            main, ["serve", "--dev", "--config", str(config), "--port", str(port)]
        )
    assert (answer.exit_code, again.exit_code) == (2, 2)
    reason = f"cannot listen on 127.0.0.1:{port}: Address already in use"
    assert answer.stderr.splitlines()[-1] == f"error: {config}:{key}: {reason}"
    assert again.stderr == f"error: {reason}\n"
    assert contents(config.parent).keys() == {"shim.yaml"}

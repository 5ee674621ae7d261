"""`shim init` and `shim doctor`: the first five minutes."""

import json
import os
import resource
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from shim.cli import checkup, main
from shim.ledger.rows import BrakeRow, CoverageRow
from shim.ledger.run_row import begin_run, wall_clock
from shim.ledger.stores import open_ledger
from shim.model import SECOND, Kind
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import load_flags, load_settings

CONFIG = Path(__file__).parents[2] / "config"
DAY = 86_400 * SECOND


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: int) -> Path:
    """An empty folder, with secrets in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("OTEL_", "SHIM_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SHIM_OPERATOR_TOKEN", "o" * 32)
    monkeypatch.setenv("SHIM_HASH_KEY", "h" * 32)
    (tmp_path / "shim.yaml").write_text(f"server: {{port: {free_port}}}\nrollout: rollout.yaml\n")
    (tmp_path / "rollout.yaml").write_bytes((CONFIG / "rollout.yaml").read_bytes())
    return tmp_path


def findings(code: int = 0) -> dict[str, list[tuple[str, str]]]:
    """Health and words by subject."""
    result = run("doctor", "--config", "shim.yaml", "--json")
    assert result.exit_code == code, result.output
    found: dict[str, list[tuple[str, str]]] = {}
    for each in json.loads(result.stdout):
        found.setdefault(each["about"], []).append((each["health"], each["words"]))
    return found


# -- init -----------------------------------------------------------------------------------------


def test_init_writes_what_a_shim_can_run_with(tmp_path: Path) -> None:
    result = run("init", str(tmp_path))
    assert result.exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rollout.yaml", "shim.yaml"]
    assert "shim serve --dev" in result.stdout
    settings = load_settings(tmp_path / "shim.yaml", monitor_types(plugin_manager()))
    assert settings.rollout == tmp_path / "rollout.yaml"
    assert load_flags(settings) is not None
    for name in ("shim.yaml", "rollout.yaml"):
        assert (tmp_path / name).read_bytes() == (CONFIG / name).read_bytes()


def test_the_next_commands_are_those_of_a_shell(tmp_path: Path) -> None:
    folder = tmp_path / "my shim"
    folder.mkdir()
    assert f"shim doctor --config '{folder}/shim.yaml' " in run("init", str(folder)).stdout


@pytest.mark.parametrize("name", ["shim.yaml", "rollout.yaml"])
def test_init_overwrites_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    result = run("init", str(tmp_path))
    assert result.exit_code == 2
    assert name in result.stderr
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]


def test_init_makes_the_folder(tmp_path: Path) -> None:
    assert run("init", str(tmp_path / "new" / "config")).exit_code == 0
    assert len(list((tmp_path / "new" / "config").iterdir())) == 2


def test_init_needs_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, reason in (("file", "File exists"), ("file/config", "Not a directory")):
        result = run("init", str(tmp_path / path))
        assert result.exit_code == 2
        assert result.stderr == f"error: {tmp_path / path} cannot be made: {reason}\n"


# -- doctor ---------------------------------------------------------------------------------------


def test_nothing_is_wrong(folder: Path) -> None:
    found = findings()
    assert "bad" not in {health for each in found.values() for health, _ in each}
    assert set(found) == {"settings", *checkup._CHECKS}
    assert found["ledger"] == [("good", "shim.db is not there yet: the first shim makes it")]
    assert sorted(path.name for path in folder.iterdir()) == ["rollout.yaml", "shim.yaml"]
    assert "✓  flags" in run("doctor", "--config", "shim.yaml").stdout


def test_settings_that_are_wrong(folder: Path) -> None:
    (folder / "shim.yaml").write_text("brake: {widow: 5m}\n")
    (finding,) = findings(code=1)["settings"]
    assert finding[0] == "bad"
    assert finding[1].startswith("shim.yaml:1:9: brake.widow: ")
    assert "did you mean 'window'?" in finding[1]


def test_flags_that_are_wrong(folder: Path) -> None:
    (folder / "rollout.yaml").write_text("version: 1\n")
    assert {health for health, _ in findings(code=1)["flags"]} == {"bad"}
    (folder / "rollout.yaml").unlink()
    ((health, words),) = findings(code=1)["flags"]
    assert health == "bad"
    assert "rollout" in words


def test_flags_that_are_odd(folder: Path) -> None:
    file = folder / "rollout.yaml"
    text = file.read_text().replace("kill_switch: false", "kill_switch: true")
    file.write_text(text.replace("live: 0", "live: 5"))
    (_, *odd) = findings()["flags"]
    assert [health for health, _ in odd] == ["odd"] * len(odd)
    assert any("kill switch" in words for _, words in odd)


def test_flags_that_have_not_come_from_the_store(folder: Path) -> None:
    store = "postgresql://nobody@127.0.0.1:1/none"
    (folder / "shim.yaml").write_text(f"ledger: {store}\noutbox: outbox.db\nrollout: ledger\n")
    ((health, words),) = findings(code=1)["flags"]
    assert health == "odd"
    assert "everybody is at `off` until then" in words


@pytest.mark.parametrize("control", ["{}", "null"])
def test_pauses_that_are_taken_for_silence(folder: Path, control: str) -> None:
    monitors = f"{{control: {control}, candidate: {{heartbeat_interval: 1s, timeout: 4s}}}}"
    (folder / "shim.yaml").write_text(f"monitors: {monitors}\n")
    (health, words), *_ = findings()["flags"]
    assert health == "odd"
    assert "takes pauses of the server of up to 5s for silence" in words


def test_a_rule_that_has_expired(folder: Path) -> None:
    rule = "{name: old, reason: r, until: 2020-01-31}"
    with (folder / "shim.yaml").open("a") as file:
        file.write(f"comparison: {{expected: [{rule}]}}\n")
    assert findings()["expected"][0] == ("odd", "the rule 'old' has expired on 2020-01-31")


def test_secrets_that_are_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHIM_HASH_KEY")
    ((health, words),) = findings(code=1)["secrets"]
    assert health == "bad"
    assert words.startswith("SHIM_HASH_KEY is not set")


@pytest.fixture
def ledger(folder: Path) -> Path:
    settings = load_settings(folder / "shim.yaml", monitor_types(plugin_manager()))
    writer = open_ledger(settings.ledger, begin_run(settings, wall_clock()))
    writer.append(BrakeRow(True, "a test", wall_clock()))
    ahead = wall_clock() + DAY
    writer.append(
        CoverageRow(
            connection_kind=Kind.APP,
            since=ahead - 60 * SECOND,
            at=ahead,
            connected=0,
            control_acted=0,
            candidate_acted=0,
            watched=0,
            pings=0,
            heartbeat_interval=None,
            control_users=0,
            candidate_users=0,
        )
    )
    assert writer.close(10)
    return folder / "shim.db"


def test_a_ledger_from_the_future_with_an_engaged_brake(ledger: Path) -> None:
    (good, future, brake) = findings(code=1)["ledger"]
    assert good[0] == "good"
    assert future[0] == "bad"
    assert "from the future" in future[1]
    assert brake == ("odd", "the brake is engaged: a test")


def test_a_ledger_that_is_none(folder: Path) -> None:
    (folder / "shim.db").write_text("no database")
    ((health, words),) = findings(code=1)["ledger"]
    assert health == "bad"
    assert "shim.db" in words
    (folder / "shim.db").unlink()
    with closing(sqlite3.connect(folder / "shim.db")) as database:
        database.execute("create table other (x)")
    assert findings(code=1)["ledger"][0][0] == "bad"


def test_a_ledger_without_a_folder(folder: Path) -> None:
    with (folder / "shim.yaml").open("a") as file:
        file.write("ledger: sqlite:///missing/shim.db\n")
    ((health, words),) = findings(code=1)["ledger"]
    assert (health, words) == ("bad", f"{folder / 'missing'} is no folder")


def test_a_collector_that_nobody_runs(folder: Path, free_port: int) -> None:
    with (folder / "shim.yaml").open("a") as file:
        file.write(f"telemetry: {{endpoint: 'http://127.0.0.1:{free_port}'}}\n")
    ((health, words),) = findings(code=1)["collector"]
    assert health == "bad"
    assert words.startswith(f"nobody answers at 127.0.0.1:{free_port}: ")
    with socket.create_server(("127.0.0.1", free_port)):
        assert findings()["collector"][0][0] == "good"


def test_a_port_that_is_taken(folder: Path, free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)):
        ((health, words),) = findings()["ports"]
    assert health == "odd"
    assert f"127.0.0.1:{free_port}" in words


def test_few_open_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 4096))
    ((health, words),) = findings()["files"]
    assert health == "odd"
    assert "256 files" in words
    assert "4,096" in words


def test_a_capture_without_a_folder(folder: Path) -> None:
    with (folder / "shim.yaml").open("a") as file:
        file.write("capture: {file: missing/capture.jsonl}\n")
    assert findings(code=1)["capture"][0][0] == "bad"


@pytest.mark.parametrize(("state", "health"), [(0, "good"), (5, "odd"), (-1, "good")])
def test_a_clock_that_follows_nobody(
    folder: Path, monkeypatch: pytest.MonkeyPatch, state: int, health: str
) -> None:
    monkeypatch.setattr(checkup, "_clock_state", lambda: state)
    assert findings()["clock"][0][0] == health

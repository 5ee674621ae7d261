"""`shim rollout`: real files, a real ledger, exit codes and words."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from shim.cli.rollout import rollout
from shim.ledger.rows import BrakeRow, FailureRow, FlagsRow
from shim.model import Role
from shim.rollout.changes import find_change
from shim.runtime.machine_start import machine_start
from shim.settings.flags_file import load_flags_file
from tests.ledger.helpers import DAY, S, coverage, ledger
from tests.ledger.helpers import run as run_row
from tests.rollout.files import flags

PLAN = """\
promotion:
  steps:
    - {percent: {shadow: 10}, soak: 1d, require: []}
    - {percent: {live: 5, shadow: 50}, soak: 0s, require: [agreement]}
    - {percent: {complete: 100}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "rollout.yaml").write_text(flags("shadow", comment="kept"))
    path = tmp_path / "shim.yaml"
    path.write_text(f"ledger: sqlite:///{tmp_path}/shim.db\n{PLAN}")
    return path


@pytest.fixture
def file(config: Path) -> Path:
    return config.with_name("rollout.yaml")


def run(command: str, config: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(rollout, [command, "--config", str(config), *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def taken_up(file: Path, ago: int, brake: str | None = None, **machine: Any) -> None:
    """A shim has had this file in force for so long, and has watched all the time."""
    now = time.time_ns() // 1000
    begun = run_row(now - ago, monitors="monitors", comparison="comparison")
    begun = replace(begun, **machine)
    with ledger(file.with_name("shim.db"), begun) as writer:
        # What was watched in the last minute may still be on its way to the disk.
        until = now - 61 * S
        for since in range(now - ago, until, 600 * S):
            writer.append(coverage(since=since, at=min(since + 600 * S, until)))
        digest = load_flags_file(file).digest
        writer.append(
            FlagsRow(at=now - ago, file=str(file), digest=digest, before=None, problem=None)
        )
        if brake:
            writer.append(BrakeRow(True, brake, now - 1))
        assert writer.flush(30)


def step_one(file: Path) -> None:
    file.write_text(file.read_text().replace("shadow: 0}", "shadow: 10}"))


def test_status(config: Path, file: Path) -> None:
    taken_up(file, DAY)
    result = run("status", config)
    assert result.exit_code == 0
    for words in (
        "before the first step of 3: {complete: 0, live: 0, shadow: 0}",
        "the next step: {complete: 0, live: 0, shadow: 10}",
        "✓ brake",
        "everyone else",
        "10 %",
        "-percent: {complete: 0, live: 0, shadow: 0}\n+percent: {complete: 0, live: 0, shadow: 10}",
    ):
        assert words in result.stdout
    answer = json.loads(run("status", config, "--json").stdout)
    assert (answer["step"], answer["steps"], answer["standing"]) == (None, 3, "met")
    assert answer["next"] == {"complete": 0, "live": 0, "shadow": 10}
    assert answer["moves"]["groups"][0]["moved_percent"] == 10


def test_a_step_that_may_be_taken(config: Path, file: Path) -> None:
    taken_up(file, DAY)
    before = file.read_text()
    result = run("advance", config, "--dry-run")
    assert (result.exit_code, file.read_text()) == (0, before)
    assert "nothing is changed (dry run)" in result.stdout
    result = run("advance", config, "--reason", "Monday")
    assert result.exit_code == 0
    assert "is replaced" in result.stdout
    assert file.read_text() == before.replace("shadow: 0}", "shadow: 10}")
    change = find_change(file, load_flags_file(file).digest)
    assert change is not None
    assert change.reason.startswith("step 1 of 3 by plan (")
    assert change.reason.endswith(": Monday")


@pytest.mark.parametrize(
    ("ago", "brake", "code", "words"),
    [
        (DAY // 2, None, 3, "… soak: watched for 12h"),
        (2 * DAY, "false kills", 1, "✗ brake: the brake is engaged: false kills"),
        (2 * DAY, None, 0, "✓ soak"),
    ],
)
def test_conditions(
    config: Path, file: Path, ago: int, brake: str | None, code: int, words: str
) -> None:
    step_one(file)
    taken_up(file, ago + DAY // 1000, brake)
    before = file.read_text()
    result = run("advance", config)
    assert result.exit_code == code
    assert words in result.stdout
    assert (file.read_text() == before) is (code != 0)
    # Clients of the seed's SDK stay away after the close code of the defaults.
    assert "stay away" in result.stderr


def test_evidence_that_is_not_there(config: Path, file: Path) -> None:
    file.write_text(file.read_text().replace("live: 0, shadow: 0}", "live: 5, shadow: 50}"))
    taken_up(file, DAY)
    result = run("advance", config, "--json")
    assert result.exit_code == 3
    answer = json.loads(result.stdout)
    assert (answer["step"], answer["standing"], answer["change"]) == (2, "open", None)
    checks = {check["name"]: (check["standing"], check["words"]) for check in answer["checks"]}
    assert checks["agreement"] == ("open", "app: no user's observation is final yet")
    assert checks["ready"] == ("open", "the gate has to say ready before anybody is at complete")


def test_by_force(config: Path, file: Path) -> None:
    step_one(file)
    taken_up(file, 0, "false kills")
    assert run("advance", config, "--force").exit_code == 2
    assert run("advance", config, "--force", "--reason", " ").exit_code == 2
    result = run("advance", config, "--force", "--reason", "we know better", "--json")
    assert result.exit_code == 0
    change = json.loads(result.stdout)["change"]
    assert change["reason"] == "by force: we know better"
    assert change["after"] == load_flags_file(file).digest


def test_without_a_ledger(config: Path, file: Path) -> None:
    for command in ("status", "advance"):
        result = run(command, config)
        assert result.exit_code == 2
        assert "shim.db" in result.stderr
    result = run("advance", config, "--force", "--reason", "a new machine")
    assert result.exit_code == 0
    assert "warning" in result.stderr
    assert load_flags_file(file).targeting.percent.shadow == 10


def test_the_end_of_the_plan(config: Path, file: Path) -> None:
    file.write_text(file.read_text().replace("complete: 0, live: 0", "complete: 100, live: 0"))
    taken_up(file, DAY)
    result = run("advance", config)
    assert (result.exit_code, "the plan is done" in result.stdout) == (0, True)
    answer = json.loads(run("status", config, "--json").stdout)
    assert (answer["step"], answer["next"]) == (3, None)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("rollout: null\n" + PLAN, "name no flags file"),
        ("monitors: {control: null}\n" + PLAN, "retired"),
        ("# nothing\n", "there is no plan"),
        (PLAN.replace("steps", "stepps"), "did you mean 'steps'"),
    ],
)
def test_settings_to_go_on_with(config: Path, settings: str, words: str) -> None:
    config.write_text(settings)
    result = run("status", config)
    assert result.exit_code == 2
    assert words in result.stderr


def test_input_errors(config: Path, file: Path) -> None:
    taken_up(file, 0)
    file.write_text("version: 1\n")
    assert run("status", config).exit_code == 2
    assert run("advance", config, "--force", "--reason", "x").exit_code == 2
    assert run("status", config.with_name("none.yaml")).exit_code == 2


@pytest.mark.parametrize("wrong", [-3600 * S, -400 * DAY, 3600 * S, 400 * DAY])
def test_the_wall_clock_of_the_operator_hides_nothing_and_hastens_nothing(
    config: Path, file: Path, monkeypatch: pytest.MonkeyPatch, wrong: int
) -> None:
    """By a clock that is behind, the failures of the last hour would be in the future."""
    step_one(file)
    taken_up(file, 2 * DAY)
    now = time.time_ns() // 1000
    monkeypatch.setattr("shim.runtime.machine_start.wall_clock", lambda: now + wrong)
    failed = run_row(now, monitors="monitors", comparison="comparison")
    with ledger(file.with_name("shim.db"), failed) as writer:
        digest = load_flags_file(file).digest
        writer.append(FlagsRow(at=now, file=str(file), digest=digest, before=None, problem=None))
        for second in range(100, 200):
            at = now - second * S
            writer.append(FailureRow(role=Role.CANDIDATE, call="message", reason="", at=at))
        assert writer.flush(30)
    before = file.read_bytes()
    assert run("advance", config).exit_code in (1, 3)
    assert file.read_bytes() == before


@pytest.mark.parametrize("wrong", [-400 * DAY, 0, 400 * DAY])
def test_on_the_machine_of_the_shim_the_time_is_the_shims(
    config: Path, file: Path, monkeypatch: pytest.MonkeyPatch, wrong: int
) -> None:
    """Whichever of the two wall clocks is wrong: what was watched is enough, or it is not."""
    step_one(file)
    boot, uptime = machine_start()
    assert uptime is not None
    for watched, code in ((DAY // 2, 3), (DAY + 60 * S, 0)):
        taken_up(file, watched, boot=boot, uptime=uptime - watched)
        now = time.time_ns() // 1000 + wrong
        monkeypatch.setattr("shim.runtime.machine_start.wall_clock", lambda now=now: now)
        assert run("advance", config).exit_code == code
        for path in file.parent.glob("shim.db*"):
            path.unlink()

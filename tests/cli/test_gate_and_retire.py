"""`shim gate` and `shim retire`: exit codes, and a report that can be checked."""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from shim.cli import main
from shim.ledger.rows import BrakeRow
from shim.ledger.run_row import begin_run, wall_clock
from shim.ledger.stores import open_ledger, read_ledger
from shim.model.ledger_url import LedgerUrl
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import load_settings

FLAGS = Path(__file__).parents[2] / "config" / "rollout.yaml"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place with settings, flags and a ledger in which nothing has happened yet."""
    (tmp_path / "rollout.yaml").write_bytes(FLAGS.read_bytes())
    (tmp_path / "shim.yaml").write_text("ledger: sqlite:///shim.db\n")
    monkeypatch.chdir(tmp_path)
    settings = load_settings(Path("shim.yaml"), monitor_types(plugin_manager()))
    ledger = open_ledger(settings.ledger, begin_run(settings, wall_clock()))
    ledger.append(BrakeRow(True, "a test", wall_clock()))
    assert ledger.close(10)
    return tmp_path


def shim(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--config", "shim.yaml"])


def test_r16_no_data_is_insufficient(folder: Path) -> None:
    answer = shim("gate", "--json")
    assert answer.exit_code == 3
    assert json.loads(answer.output)["answer"] == "insufficient"
    output = shim("gate").output
    assert "there were no connections" in output
    assert "the brake is engaged" in output
    # Which trial, what began it, which attempt it is, and what would end it.
    assert ": the first process started." in output
    assert "It is attempt 1 within 90 days" in output
    assert "The trial would end by another version or other settings of a monitor" in output


def test_the_gate_is_asked_about_an_earlier_time(folder: Path) -> None:
    now = json.loads(shim("gate", "--json").output)["inputs"]
    begun = now["trial"]["since"]
    # Not in the future, which would be answered as of now.
    moment = round((begun + now["now"]) / 2, 6)
    iso = datetime.fromtimestamp(moment, UTC).isoformat()
    for then in (iso, str(moment)):
        inputs = json.loads(shim("gate", "--json", "--at", then).output)["inputs"]
        assert inputs["now"] == pytest.approx(moment, abs=2e-6)
        assert inputs["trial"] == now["trial"]
    inputs = json.loads(shim("gate", "--json", "--at", str(begun - 1)).output)["inputs"]
    assert inputs["trial"] is None
    assert "There is no trial" in shim("gate", "--at", str(begun - 1)).output


@pytest.mark.parametrize("text", ["yesterday", "-1", "1e99", "nan", "inf", "2026-13-01"])
def test_what_is_no_time_is_refused(folder: Path, text: str) -> None:
    answer = shim("gate", "--at", text)
    assert answer.exit_code == 2
    assert "is not a time" in answer.output


@pytest.mark.parametrize("command", ["gate", "retire", "verdicts", "rollout status"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "there is no ledger at shim.db"), (b"a letter", "shim.db is no ledger")],
    ids=["none", "another"],
)
def test_a_ledger_that_cannot_be_used_is_blamed_on_its_key(
    folder: Path, command: str, content: bytes | None, reason: str
) -> None:
    Path("shim.db").unlink()
    if content is not None:
        Path("shim.db").write_bytes(content)
    Path("shim.yaml").write_text(
        "rollout: rollout.yaml\nledger: sqlite:///shim.db\npromotion: {steps: [{percent: {live: 5}}]}\n"
    )
    answer = shim(*command.split())
    assert answer.exit_code == 2
    assert answer.stderr.startswith(f"error: shim.yaml:2:1: ledger: {reason}"), answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("kind", ["app", "glasses"])
def test_the_gate_shows_one_kind(folder: Path, kind: str) -> None:
    answer = shim("gate", "--kind", kind, "--json")
    assert answer.exit_code == 3, answer.output
    assert {c["kind"] for c in json.loads(answer.output)["conditions"]} <= {None, kind}


def test_retire_writes_nothing_before_the_gate_says_so(folder: Path) -> None:
    answer = shim("retire")
    assert answer.exit_code == 3
    assert "insufficient evidence" in answer.output
    assert not (folder / "retirement").exists()
    assert shim("retire", "--force").exit_code == 2
    assert shim("retire", "--force", "--reason", " ").exit_code == 2


def test_the_report_can_be_checked_against_ledger_and_flags(folder: Path) -> None:
    answer = shim("retire", "--force", "--reason", "a drill")
    assert answer.exit_code == 0, answer.output
    assert "monitors.control: null" in answer.output
    report = json.loads((folder / "retirement" / "report.json").read_text())
    assert report["reason"] == "a drill"
    assert report["gate"]["answer"] == "insufficient"
    assert report["flags"]["sha256"] == hashlib.sha256(FLAGS.read_bytes()).hexdigest()
    assert report["ledger"]["rows"] == 2
    assert (
        report["ledger"]["sha256_of_rows"]
        == read_ledger(LedgerUrl.of_file(folder / "shim.db")).digest()[0]
    )
    text = (folder / "retirement" / "report.md").read_text()
    for figure in (report["ledger"]["sha256_of_rows"], "Forced: a drill", "| open |"):
        assert figure in text


def test_the_digest_is_of_every_row(folder: Path) -> None:
    before, rows = read_ledger(LedgerUrl.of_file(folder / "shim.db")).digest()
    assert (before, rows) == read_ledger(LedgerUrl.of_file(folder / "shim.db")).digest()
    settings = load_settings(None, monitor_types(plugin_manager()))
    ledger = open_ledger(LedgerUrl.of_file(folder / "shim.db"), begin_run(settings, wall_clock()))
    assert ledger.close(10)
    assert read_ledger(LedgerUrl.of_file(folder / "shim.db")).digest()[0] != before


def test_bad_input(folder: Path) -> None:
    (folder / "shim.yaml").write_text("monitors: {control: null}\n")
    answer = shim("retire")
    assert (answer.exit_code, "retired already" in answer.output) == (2, True)
    (folder / "shim.yaml").write_text("ledger: sqlite:///nothing.db\n")
    assert shim("gate").exit_code == 2
    assert shim("retire").exit_code == 2
    (folder / "shim.yaml").write_text("ledger: sqlite:///shim.db\n")
    (folder / "retirement").write_text("in the way")
    answer = shim("retire", "--force", "--reason", "a drill")
    assert answer.exit_code == 2
    assert os.path.isfile("retirement")

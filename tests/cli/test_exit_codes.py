"""How a command ends when something fails: never with 1, which means that the answer is no."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from shim.cli import main
from shim.cli.remote import Remote

CAPTURE = (
    '{"capture": 1}\n{"t": 0.5, "event": "open", "connection": "c1", "user": "u1", "session": "s1", '
    '"kind": "glasses"}\n{"t": 600.0, "event": "end"}\n'
)


NO_SPACE = "error: the output cannot be written: No space left on device\n"


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(self: Remote, path: str, read: object, **query: object) -> None:
        raise error

    monkeypatch.setattr(Remote, "get", fail)


def test_an_error_that_nobody_expected_is_one_line_and_says_where_the_traceback_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fail_with(monkeypatch, KeyError("no \x1b such\nkey"))
    result = CliRunner().invoke(main, ["connections"])
    assert result.exit_code == 70
    (file,) = tmp_path.iterdir()
    assert result.stdout == ""
    assert result.stderr == (
        r"error: this is a fault of the shim (KeyError: 'no \x1b such\nkey'); "
        f"the traceback is in {file}\n"
    )
    assert "in fail\n    raise error" in file.read_text()


def test_without_a_place_for_files_the_traceback_is_on_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    fail_with(monkeypatch, RecursionError())
    result = CliRunner().invoke(main, ["connections"])
    assert result.exit_code == 70
    assert "raise error" in result.stderr
    assert result.stderr.endswith("(RecursionError); the traceback is above\n")


def test_an_interrupted_command(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    assert CliRunner().invoke(main, ["connections"]).exit_code == 130


@pytest.fixture
def capture(tmp_path: Path) -> str:
    file = tmp_path / "capture.jsonl"
    file.write_text(CAPTURE)
    return str(file)


@pytest.mark.parametrize(
    ("redirection", "option", "code", "told"),
    [
        (">/dev/full", "--acting=control", 70, NO_SPACE),
        (">/dev/full", "--json", 70, NO_SPACE),
        (">/dev/full", "--help", 70, NO_SPACE),
        (">/dev/full 2>/dev/full", "--json", 70, ""),
        ("|", "--acting=control", 141, ""),
        ("|", "--json", 141, ""),
        (">&-", "--acting=control", 0, ""),
        (">&- 2>&-", "--json", 0, ""),
    ],
)
def test_an_output_that_cannot_be_written(
    capture: str, redirection: str, option: str, code: int, told: str
) -> None:
    command = [sys.executable, "-m", "shim", "replay", capture, option]
    if redirection == "|":
        # The reader has gone before the first line is written.
        reads, writes = os.pipe()
        os.close(reads)
        done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, check=False)
        os.close(writes)
    else:
        shell = ["sh", "-c", f'"$@" {redirection}', "sh", *command]
        done = subprocess.run(shell, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr.decode()) == (code, told)


def test_a_usage_error_whose_text_cannot_be_written(capture: str) -> None:
    shell = ["sh", "-c", '"$@" 2>/dev/full', "sh", sys.executable, "-m", "shim", "replay"]
    assert subprocess.run(shell, check=False).returncode not in (0, 1)

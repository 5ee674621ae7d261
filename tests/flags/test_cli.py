"""`shim flags`: exit codes, words and JSON."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from shim.cli.flags import flags

GOOD = """\
version: 1
flag: monitor-rollout
hash: {algorithm: blake2b-v1, salt: monitor-rollout}
kill_switch: false
default: off
holdback: 0
overrides: {alice@example.com: complete}
rules: []
percent: {live: 60}
...
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "rollout.yaml"
    file.write_text(GOOD)
    return file


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(flags, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def test_check_of_a_good_file(file: Path) -> None:
    assert run("check", file).exit_code == 0
    result = run("check", file, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["valid"] is True


def test_check_of_a_bad_file_names_every_problem(file: Path) -> None:
    file.write_text(GOOD.replace("live: 60", "live: 160").replace("holdback", "holdbak"))
    result = run("check", file)
    assert result.exit_code == 1
    assert "percent.live" in result.stderr
    assert "holdbak" in result.stderr
    answer = json.loads(run("check", file, "--json").stdout)
    assert answer["valid"] is False
    assert {"percent.live", "holdbak", "holdback"} <= {p["path"] for p in answer["problems"]}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.yaml"):
        for arguments in (["check", path], ["explain", "bob", path]):
            result = run(*arguments)
            assert result.exit_code == 2
            assert str(path) in result.stderr


def test_explain(file: Path) -> None:
    assert "bob@example.com is at live" in run("explain", "bob@example.com", file).stdout
    answer = json.loads(run("explain", "alice@example.com", file, "--json").stdout)
    assert (answer["stage"], answer["reason"], answer["bucket"]) == ("complete", "override", 83282)


def test_explain_by_a_bad_file_is_an_input_error(file: Path) -> None:
    file.write_text("version: 1\n")
    result = run("explain", "bob@example.com", file)
    assert (result.exit_code, result.stdout) == (2, "")


def test_bucket() -> None:
    assert run("bucket", "alice@example.com").stdout.split() == ["83282"]
    answer = json.loads(
        run("bucket", "alice@example.com", "--salt", "monitor-rollout-2026", "--json").stdout
    )
    assert answer["bucket"] == 44442


def test_usage_errors() -> None:
    assert run("bucket").exit_code == 2
    assert run("explain").exit_code == 2
    assert run("nonsense").exit_code == 2

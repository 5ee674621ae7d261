"""`shim flags`: exit codes, words and JSON."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from shim.cli.flags import flags
from shim.settings.flags_file import flags_schema

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
        for arguments in (["check", str(path)], ["explain", "bob", str(path)]):
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


def test_explain_under_the_brake(file: Path) -> None:
    result = run("explain", "alice@example.com", file, "--brake")
    assert "is at shadow" in result.stdout
    assert "brake" in result.stdout


def test_the_schema() -> None:
    assert json.loads(run("schema").stdout) == flags_schema()


# -- With a settings file --------------------------------------------------------------------------


def config(file: Path, close_code: int = 1001) -> Path:
    path = file.with_name("shim.yaml")
    candidate = f"{{plugin: per-session, close_code: {close_code}}}"
    path.write_text(f"monitors: {{candidate: {candidate}}}\nrollout: {file.name}\n")
    return path


@pytest.mark.parametrize("code", [1000, 1001, 1008])
def test_check_warns_of_clients_that_stay_away(file: Path, code: int) -> None:
    result = run("check", "--config", config(file, code))
    assert result.exit_code == 0
    assert f"closes with {code}" in result.stderr
    assert "overrides.alice@example.com, percent.live" in result.stderr
    (warning,) = json.loads(run("check", "--config", config(file), "--json").stdout)["warnings"]
    assert "stay away" in warning


@pytest.mark.parametrize(
    ("timeout", "threshold", "warns"),
    [("4999ms", "5s", True), ("5s", "5s", False), ("45s", "1m", True), ("45s", "0s", False)],
)
def test_check_warns_of_pauses_that_are_taken_for_silence(
    file: Path, timeout: str, threshold: str, warns: bool
) -> None:
    path = config(file, 4000)
    times = f"heartbeat_interval: 1s, timeout: {timeout}, stall_threshold: {threshold}"
    path.write_text(path.read_text().replace("close_code", f"{times}, close_code"))
    result = run("check", "--config", path)
    assert result.exit_code == 0
    assert (f"a silence of {timeout} (monitors.candidate.timeout)" in result.stderr) is warns
    assert (f"up to {threshold} for silence" in result.stderr) is warns
    warnings = json.loads(run("check", "--config", path, "--json").stdout)["warnings"]
    assert len(warnings) == warns


@pytest.mark.parametrize("monitor", ["control", "candidate"])
@pytest.mark.parametrize(("timeout", "warns"), [("14s", True), ("15s", True), ("15001ms", False)])
def test_check_warns_of_timeouts_that_are_no_longer_than_the_time_between_two_pings(
    file: Path, monitor: str, timeout: str, warns: bool
) -> None:
    path = config(file, 4000)
    text = path.read_text().replace("candidate:", "control: {}, candidate:")
    if monitor == "control":
        text = text.replace("{}", f"{{timeout: {timeout}}}")
    else:
        text = text.replace("close_code", f"timeout: {timeout}, close_code")
    path.write_text(text)
    warned = run("check", "--config", path).stderr
    assert (f"a silence of {timeout} (monitors.{monitor}.timeout)" in warned) is warns
    assert (f"pings each 15s (monitors.{monitor}.heartbeat_interval)" in warned) is warns


def test_check_warns_of_nothing_else(file: Path) -> None:
    assert run("check", "--config", config(file, 4000)).stderr == ""
    file.write_text(GOOD.replace("complete", "shadow").replace("live: 60", "shadow: 60"))
    assert run("check", "--config", config(file)).stderr == ""
    # Another plugin's settings have no `stall_threshold`.
    path = config(file)
    times = "heartbeat_interval: 500ms, timeout: 1s"
    monitors = f"{{control: {{{times}}}, candidate: {{plugin: legacy-global, {times}}}}}"
    path.write_text(f"monitors: {monitors}\nrollout: {file.name}\n")
    assert run("check", "--config", path).stderr == ""


def test_the_file_of_the_settings(file: Path) -> None:
    path = config(file)
    answer = json.loads(run("check", "--config", path, "--json").stdout)
    assert answer["file"] == str(file)
    assert "at complete" in run("explain", "alice@example.com", "--config", path).stdout
    path.write_text("rollout: null\n")
    result = run("check", "--config", path)
    assert result.exit_code == 2
    assert "name no flags file" in result.stderr
    path.write_text("rolout: x\n")
    assert run("check", "--config", path).exit_code == 2


# -- diff ------------------------------------------------------------------------------------------


@pytest.fixture
def later(file: Path) -> Path:
    later = file.with_name("later.yaml")
    rules = '[{name: beta, users: ["*@beta"], stage: shadow}]'
    text = GOOD.replace("live: 60", "live: 70").replace("rules: []", f"rules: {rules}")
    later.write_text(text.replace("alice@example.com: complete", "bob@example.com: 'off'"))
    return later


def test_diff_by_buckets(file: Path, later: Path) -> None:
    answer = json.loads(run("diff", file, later, "--json").stdout)
    assert answer["new"]["file"] == str(later)
    everyone_else, beta = answer["groups"]
    assert everyone_else == {
        "globs": None,
        "moved_percent": 10.0,
        "demoted_percent": 0.0,
        "moves": [{"from": "off", "to": "live", "percent": 10.0}],
    }
    assert (beta["globs"], beta["moved_percent"], beta["demoted_percent"]) == (["*@beta"], 100, 60)
    assert answer["named"]["users"] == [
        {"user": "alice@example.com", "from": "complete", "to": "off"},
        {"user": "bob@example.com", "from": "live", "to": "off"},
    ]
    words = run("diff", file, later).stdout
    for said in (
        "everyone else",
        "*@beta",
        "10 %",
        "live → shadow   back  60 %",
        "alice@example.com",
    ):
        assert said in words
    assert run("diff", file, file).stdout == "no user moves\n"


def test_diff_by_users(file: Path, later: Path) -> None:
    users = file.with_name("users.txt")
    users.write_text("alice@example.com\r\nbob@example.com\n\nx@beta\nZoë@example.com\n")
    result = run("diff", file, later, "--users", users, "--json")
    counts = json.loads(result.stdout)["users"]
    assert (counts["total"], counts["moved"], counts["demoted"]) == (4, 3, 2)
    assert "3 of 4 users move, 2 of them back" in run("diff", file, later, "--users", users).stdout


def test_users_from_standard_input(file: Path, later: Path) -> None:
    arguments = ["diff", str(file), str(later), "--users", "-", "--json"]
    users = "\ufeffalice@example.com\n spaced \n".encode()
    result = CliRunner().invoke(flags, arguments, input=users)
    assert json.loads(result.stdout)["users"]["total"] == 2
    assert json.loads(result.stdout)["users"]["moves"] == [
        {"from": "complete", "to": "off", "count": 1}
    ]


@pytest.mark.parametrize(
    ("limit", "with_users", "code"),
    [("3", True, 0), ("2", True, 1), ("75%", True, 0), ("74%", True, 1), ("99.9%", False, 1),
     ("100%", False, 0)],
)  # fmt: skip
def test_max_moved(file: Path, later: Path, limit: str, with_users: bool, code: int) -> None:
    users = file.with_name("users.txt")
    users.write_text("alice@example.com\nbob@example.com\nx@beta\nZoë@example.com")
    given = ["--users", str(users)] if with_users else []
    result = run("diff", file, later, *given, "--max-moved", limit)
    assert (result.exit_code, "refused" in result.stderr) == (code, code == 1)
    answer = json.loads(run("diff", file, later, *given, "--max-moved", limit, "--json").stdout)
    assert answer["refused"] is (code == 1)


def test_bad_input_of_diff(file: Path, later: Path) -> None:
    users = file.with_name("users.txt")
    users.write_bytes(b"good\n\xff\n")
    for arguments, words in (
        (["--max-moved", "3"], "needs --users"),
        (["--max-moved", "-3%"], "nor a percentage"),
        (["--max-moved", "nan%"], "nor a percentage"),
        (["--max-moved", "many"], "nor a percentage"),
        (["--users", users], "users.txt:2: not UTF-8"),
        (["--users", file.parent], "cannot be read"),
        (["--users", file.with_name("none")], "cannot be read"),
    ):
        result = run("diff", file, later, *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert words in result.stderr
    file.write_text("version: 1\n")
    assert run("diff", file, later).exit_code == 2


# -- export ----------------------------------------------------------------------------------------


def test_export(file: Path) -> None:
    result = run("export", "--flagd", file)
    assert result.exit_code == 0
    (flag,) = json.loads(result.stdout)["flags"]
    assert flag == "monitor-rollout"
    assert "has another hash" in result.stderr


def test_export_of_what_flagd_lacks(file: Path) -> None:
    rules = 'rules: [{name: r, users: ["a?c"], stage: live}]'
    file.write_text(GOOD.replace("rules: []", rules))
    result = run("export", "--flagd", file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "rules[0].users[0]" in result.stderr


def test_usage_errors() -> None:
    assert run("bucket").exit_code == 2
    assert run("explain").exit_code == 2
    assert run("export").exit_code == 2
    assert run("nonsense").exit_code == 2

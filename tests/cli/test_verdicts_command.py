"""`shim verdicts` as it is used: lists, pages and stories from a real ledger, for people and programs."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from shim.cli.verdicts import verdicts
from shim.ledger.rows import ActionRow, ClosingRow
from shim.ledger.run_row import wall_clock
from shim.model import Cause, Kind, Return, Role, Stage, VerdictKind, VerdictName
from tests.ledger.helpers import DAY, NOW, S, decision, ledger, mismatch, verdict


def run(*arguments: str, columns: int | None = None) -> Result:
    environment = {"COLUMNS": None if columns is None else str(columns)}
    return CliRunner().invoke(verdicts, arguments, env=environment, catch_exceptions=False)


def answer(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    body: dict[str, Any] = json.loads(result.stdout)
    return body


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Ten agreements, and three mismatches of other users."""
    path = tmp_path / "shim.db"
    now = wall_clock()
    with ledger(path) as writer:
        for number in range(10):
            writer.append(verdict(number, at=now - (20 - number) * DAY, user="alice@example.com"))
        writer.append(mismatch(10, at=now - 3600 * S, user="bob@example.com"))
        writer.append(
            mismatch(11, at=now - 1800 * S, connection_kind=Kind.GLASSES, package=None, acting=None)
        )
        writer.append(
            verdict(
                12,
                at=now - 60 * S,
                verdict=VerdictName.EXPECTED,
                kind=VerdictKind.SKEWED,
                rule="sweep",
                control_at=now - 60 * S,
                candidate_at=now - 80 * S,
            )
        )
    return path


def listed(path: Path, *arguments: str) -> list[str]:
    body = answer("--ledger", str(path), *arguments)
    return [row["connection"] for row in body["verdicts"]]


def test_all_of_them_newest_first(path: Path) -> None:
    assert listed(path) == [f"c{number}" for number in reversed(range(13))]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--user", "bob@example.com"), ["c10"]),
        (("--package", "com.example.none"), []),
        (("--package", "com.example.app1", "--since", "2h"), ["c12", "c10"]),
        (("--verdict", "mismatched"), ["c11", "c10"]),
        (("--kind", "skewed"), ["c12"]),
        (("--connection-kind", "glasses"), ["c11"]),
        (("--acting", "control", "--since", "45m"), ["c12"]),
        (("--recovered",), ["c11", "c10"]),
        (("--until", "11.5d"), [f"c{number}" for number in reversed(range(9))]),
        (("--since", "13.5d", "--until", "12.5d"), ["c7"]),
    ],
)
def test_filters(path: Path, options: tuple[str, ...], expected: list[str]) -> None:
    assert listed(path, *options) == expected


def test_since_a_day(path: Path) -> None:
    yesterday = (datetime.now().astimezone() - timedelta(days=1)).strftime("%Y-%m-%d")
    assert listed(path, "--since", yesterday) == ["c12", "c11", "c10"]
    moment = (datetime.now().astimezone() - timedelta(minutes=45)).isoformat()
    assert listed(path, "--since", moment) == ["c12", "c11"]


def test_pages(path: Path) -> None:
    first = answer("--ledger", str(path), "--limit", "10")
    assert len(first["verdicts"]) == 10
    second = answer("--ledger", str(path), "--limit", "10", "--cursor", first["cursor"])
    assert [row["connection"] for row in second["verdicts"]] == ["c2", "c1", "c0"]
    assert second["cursor"] is None
    shown = run("--ledger", str(path), "--limit", "10")
    assert f"--cursor {first['cursor']}" in shown.stdout


def test_what_programs_get(path: Path) -> None:
    body = answer("--ledger", str(path), "--kind", "skewed")
    (row,) = body["verdicts"]
    assert row["at"] == pytest.approx(wall_clock() / S - 60, abs=30)
    assert (row["verdict"], row["rule"], row["skew"], row["id"]) == ("expected", "sweep", 20.0, 13)
    assert (row["first"], row["acting"], row["recovered"]) == ("candidate", "control", False)


def test_what_people_get(path: Path) -> None:
    result = run("--ledger", str(path))
    assert result.exit_code == 0
    title, newest, *_ = result.stdout.splitlines()
    assert title.split() == ["#", "at", "user", "connection", "verdict", "skew", "acting"]
    at = datetime.now().astimezone() - timedelta(seconds=60)
    assert re.fullmatch(
        rf"13\s+{at:%Y-%m-}\d\d \d\d:\d\d:\d\d\s+u12\s+com\.example\.app1\s+"
        r"expected, skewed, rule sweep\s+\+20\.0 s\s+control\s*",
        newest,
    )


def test_nothing_is_cut_off_on_a_narrow_terminal(path: Path) -> None:
    result = run("--ledger", str(path), "--user", "bob@example.com", columns=60)
    assert max(map(len, result.stdout.splitlines())) <= 60
    assert "…" not in result.stdout
    letters = re.sub(r"\s", "", result.stdout)
    for piece in ("only", "candidate", "recovered", "control"):
        assert piece in letters


def test_names_do_not_steer_the_terminal(tmp_path: Path) -> None:
    with ledger(tmp_path / "shim.db") as writer:
        writer.append(verdict(1, user="[red]eve\x1b[2J\x07", package="a\nb"))
    for arguments in ((), ("1",)):
        result = run("--ledger", str(tmp_path / "shim.db"), *arguments)
        assert result.exit_code == 0
        assert r"[red]eve\x1b[2J\x07" in result.stdout
        assert "\x1b" not in result.stdout
        assert r"a\nb" in result.stdout


def test_the_story_of_an_episode(tmp_path: Path) -> None:
    path = tmp_path / "shim.db"
    about: dict[str, Any] = {
        "connection": "c60",
        "connection_kind": Kind.APP,
        "user": "u60",
        "session": "s60",
        "package": "com.example.app1",
    }
    at = NOW + 60 * S
    action = ActionRow(**about, role=Role.CONTROL, acted_at=at, code=None)
    with ledger(path) as writer:
        writer.append(decision(60, at=at - 11_800_000, deadline=at - 11_800_000))
        writer.append(action)
        writer.append(decision(60, role=Role.CONTROL, acted=True, silence=56_800_000, pings=()))
        writer.append(
            verdict(
                60, candidate_at=at - 11_800_000, last_activity=at - 56_800_000, trace="ab" * 16
            )
        )
        writer.append(
            ClosingRow(
                **about,
                stage=Stage.SHADOW,
                opened_at=NOW,
                at=at,
                cause=Cause.CONTROL,
                intended=None,
                observed=1006,
            )
        )
        writer.append(
            msgspec.structs.replace(
                action,
                result=Return.RETURNED,
                at=at + 1_200_000,
                delay=1_200_000,
                by_percentage=True,
            )
        )
    result = run("--ledger", str(path), "1")
    assert result.exit_code == 0
    told = [line.split(maxsplit=1) for line in result.stdout.splitlines() if line.strip()]
    facts = {line[0]: line[1].strip() for line in told[:7]}
    assert facts["user"] == "u60"
    assert facts["trace"] == "ab" * 16
    assert facts["verdict"] == (
        "matched: the control decided 11.8 s after the candidate; up to 16 s count as agreement"
    )
    day = datetime.fromtimestamp(NOW // S, UTC).astimezone().strftime("%Y-%m-%d")
    story = result.stdout[result.stdout.index(day) :].splitlines()[1:]
    for line, (after, text) in zip(
        story,
        [
            ("+0.0 s", "last sign of life"),
            ("+26.8 s", "the candidate would ping"),
            ("+41.8 s", "the candidate would ping"),
            ("+45.0 s", "the candidate decides: no sign of life for 45 s; it does not act"),
            ("+56.8 s", "the control decides: no sign of life for 56.8 s"),
            ("+56.8 s", "the control acts: it terminates the connection"),
            ("+56.8 s", "the connection is gone, ended by the control: no close frame was sent"),
            ("+56.8 s", "matched: the control decided 11.8 s after the candidate"),
            ("+58.0 s", "the client comes back, 1.2 s after it was closed"),
        ],
        strict=True,
    ):
        assert re.match(rf"\d\d:\d\d:\d\d\.\d\d\d\s+{re.escape(after)}\s+{re.escape(text)}", line)
    body = answer("--ledger", str(path), "1")
    assert body["why"] == facts["verdict"]
    assert [moment["after"] for moment in body["timeline"]][:4] == [0.0, 26.8, 41.8, 45.0]
    assert body["action"]["delay"] == 1.2
    assert body["closing"]["stage"] == "shadow"
    assert [len(row["pings"]) for row in body["decisions"]] == [2, 0]
    assert body["run"]["tolerance"] == 16.0


def test_an_empty_ledger_says_so(tmp_path: Path) -> None:
    path = tmp_path / "shim.db"
    with ledger(path):
        pass
    result = run("--ledger", str(path))
    assert (result.exit_code, result.stdout) == (0, f"no verdict in {path} matches\n")
    assert answer("--ledger", str(path)) == {"verdicts": [], "cursor": None}


def test_the_ledger_of_the_settings(tmp_path: Path, path: Path) -> None:
    config = tmp_path / "shim.yaml"
    config.write_text(f"ledger: sqlite:///{path}\nrollout: null\n")
    body = answer("--config", str(config), "--kind", "skewed")
    assert [row["connection"] for row in body["verdicts"]] == ["c12"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--since", "yesterday"), "'yesterday' is not a time; write 2d, 90m, 2026-11-23"),
        (("--since", "5"), "'5' is not a time"),
        (("--kind", "matched"), "'matched' is not one of"),
        (("--limit", "0"), "0 is not in the range"),
        (("--cursor", "next"), "'next' is no cursor of this list"),
        (("999",), "has no episode 999"),
        (("soon",), "'soon' is not a valid integer"),
    ],
)
def test_bad_input(path: Path, options: tuple[str, ...], reason: str) -> None:
    result = run("--ledger", str(path), *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "there is no ledger at"),
        (b"", "is empty: no shim has written to it yet"),
        (b"rubbish" * 1000, "is no ledger: file is not a database"),
    ],
)
def test_no_ledger(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "other.db"
    if content is not None:
        path.write_bytes(content)
    for arguments in (("--json",), ("1",)):
        result = run("--ledger", str(path), *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        (line,) = result.stderr.splitlines()
        assert line.startswith("error: ")
        assert reason in line
    assert list(tmp_path.iterdir()) == ([] if content is None else [path])

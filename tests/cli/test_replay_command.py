"""`shim replay` as it is used: files in, the contract's answer out, bad input told in plain words."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from shim.cli import main

HEADER = '{"capture": 1}'
OPEN = (
    '{"t": 0.5, "event": "open", "connection": "c1", "user": "u1", "session": "s1", '
    '"kind": "app", "package": "com.example.app1"}'
)
MESSAGE = '{"t": 3.2, "event": "message", "connection": "c1", "whatever": [1]}'
END = '{"t": 600.0, "event": "end"}'


def run(tmp_path: Path, *lines: str, options: tuple[str, ...] = ()) -> Result:
    capture = tmp_path / "capture.jsonl"
    capture.write_text("\n".join(lines) + "\n")
    return CliRunner().invoke(main, ["replay", str(capture), *options], catch_exceptions=False)


def answer(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    body: dict[str, Any] = json.loads(result.stdout)
    return body


def test_the_example_of_the_contract(tmp_path: Path) -> None:
    body = answer(run(tmp_path, HEADER, OPEN, MESSAGE, END, options=("--json",)))
    assert body["verdicts"] == [
        {
            "connection": "c1",
            "verdict": "matched",
            "kind": "both",
            "at": 60.0,
            "first": "candidate",
            "control_at": 60.0,
            "candidate_at": 48.2,
            "skew": 11.8,
            "recovered": False,
            "last_activity": 3.2,
        }
    ]
    assert body["summary"] == {
        "connections": 1,
        "healthy": 0,
        "matched": 1,
        "mismatched": 0,
        "expected": 0,
        "inconclusive": 0,
        "late": 0,
        "after_close": 0,
        "proof_of_life": 0,
    }
    nothing = dict.fromkeys(("acted", "returned", "lost", "replaced", "censored"), 0)
    assert body["outcomes"] == {
        "control": {**nothing, "acted": 1, "lost": 1},
        "candidate": nothing,
    }


def test_a_mark_of_the_byte_order_before_the_capture_is_no_part_of_it(tmp_path: Path) -> None:
    plain = run(tmp_path, HEADER, OPEN, MESSAGE, END, options=("--json",))
    assert answer(
        run(tmp_path, f"\ufeff{HEADER}", OPEN, MESSAGE, END, options=("--json",))
    ) == answer(plain)
    assert run(tmp_path, HEADER, f"\ufeff{OPEN}", END).exit_code == 2
    assert run(tmp_path, f"\ufeff\ufeff{HEADER}", OPEN, END).exit_code == 2


def test_a_settings_file_changes_the_judgement(tmp_path: Path) -> None:
    config = tmp_path / "other.yaml"
    config.write_text("monitors:\n  candidate: {timeout: 30s}\ncomparison: {tolerance: 16s}\n")
    options = ("--json", "--config", str(config), "--acting", "none")
    (verdict,) = answer(run(tmp_path, HEADER, OPEN, MESSAGE, END, options=options))["verdicts"]
    assert (verdict["kind"], verdict["skew"]) == ("skewed", 26.8)


def test_expected_rules_are_judged_at_the_start_of_the_capture(tmp_path: Path) -> None:
    config = tmp_path / "other.yaml"
    config.write_text(
        "comparison:\n  tolerance: 1s\n  expected:\n"
        "    - {name: sweep, reason: it sweeps, until: 2026-06-30, kind: skewed}\n"
    )
    options = ("--json", "--config", str(config))
    for started, verdict in (("2026-06-30T23:59:59Z", "expected"), ("2026-07-01", "mismatched")):
        header = json.dumps({"capture": 1, "started": started})
        result = run(tmp_path, header, OPEN, MESSAGE, END, options=options)
        assert answer(result)["verdicts"][0]["verdict"] == verdict
        assert ("'sweep' expired" in result.stderr) == (verdict == "mismatched")


@pytest.mark.parametrize(
    ("lines", "where", "reason"),
    [
        ([OPEN, END], ":1:", "first line must be"),
        (['{"capture": 2}', END], ":1: capture:", "not known"),
        (['{"capture": 1, "started": "soon"}', END], ":1: started:", "soon"),
        ([HEADER, OPEN], ":2:", "no end"),
        ([HEADER], ":1:", "no end"),
        ([HEADER, OPEN, END, MESSAGE], ":4", "time goes backwards"),
        ([HEADER, OPEN, END, END], ":4", "after the end"),
        ([HEADER, OPEN, '{"t": 0.2, "event": "end"}'], ":3: t:", "time goes backwards"),
        ([HEADER, '{"t": -1, "event": "end"}'], ":2: t:", "time goes backwards"),
        ([HEADER, OPEN, OPEN, END], ":3: connection:", "opened before"),
        ([HEADER, MESSAGE, END], ":2: connection:", "not known"),
        ([HEADER, '{"t": 1, "event": "nap"}', END], ":2:", "nap"),
        ([HEADER, OPEN.replace('"app"', '"phone"'), END], ":2:", "phone"),
        ([HEADER, OPEN.replace(', "package": "com.example.app1"', ""), END], ":2:", "package"),
        ([HEADER, OPEN.replace('"user": "u1", ', ""), END], ":2:", "user"),
        (
            [HEADER, OPEN, '{"t": 1, "event": "close", "connection": "c1", "cause": "x"}', END],
            ":3:",
            "cause",
        ),
        (
            [HEADER, OPEN, '{"t": 1, "event": "close", "connection": "c1"}', MESSAGE, END],
            ":4: connection:",
            "closed before",
        ),
        (
            [
                HEADER,
                '{"t": 1, "event": "stall", "duration": 5}',
                '{"t": 5, "event": "stall", "duration": 5}',
                END,
            ],
            ":3: t:",
            "overlaps",
        ),
        ([HEADER, '{"t": 1, "event": "stall", "duration": -5}', END], ":2: duration:", "less"),
        ([HEADER, OPEN, '{"t": 3.2, "event": "mess'], ":3:", "malformed"),
        ([HEADER, '{"t": 1e999, "event": "end"}'], ":2:", ""),
        ([HEADER, '{"t": 1e300, "event": "end"}'], ":2: t:", "30 years"),
        ([HEADER, '{"t": 1, "event": "stall", "duration": 1e300}'], ":2: duration:", "30 years"),
        ([HEADER, '{"t": 1e305, "event": "end"}'], ":2: t:", "30 years"),
        ([HEADER, OPEN, '{"t": 600.1234567, "event": "end"}'], ":3: t:", "six decimals"),
        ([HEADER, '{"t": 0.0000001, "event": "end"}'], ":2: t:", "six decimals"),
        ([HEADER, '{"t": 1, "event": "stall", "duration": 0.1234567}'], ":2: duration:", "six"),
    ],
)
def test_what_cannot_be_replayed(tmp_path: Path, lines: list[str], where: str, reason: str) -> None:
    result = run(tmp_path, *lines, options=("--json",))
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert f"capture.jsonl{where}" in line
    assert reason in line


def test_a_truncated_last_line_is_told(tmp_path: Path) -> None:
    capture = tmp_path / "capture.jsonl"
    capture.write_text(f"{HEADER}\n{OPEN}\n{MESSAGE[:-7]}")
    result = CliRunner().invoke(main, ["replay", str(capture)])
    assert result.exit_code == 2
    assert "truncated" in result.stderr


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'{"capture": 1}\n\xff\xff\n'])
def test_what_is_no_text(tmp_path: Path, content: bytes) -> None:
    capture = tmp_path / "capture.jsonl"
    capture.write_bytes(content)
    result = CliRunner().invoke(main, ["replay", str(capture)])
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        result = CliRunner().invoke(main, ["replay", str(path)])
        assert (result.exit_code, result.stdout) == (2, "")
        assert str(path) in result.stderr


def test_people_get_a_table(tmp_path: Path) -> None:
    result = run(tmp_path, HEADER, OPEN, MESSAGE, END)
    assert result.exit_code == 0
    assert "matched" in result.stdout
    assert "closed by the control: 1 acted" in result.stdout


OTHER = "monitors:\n  candidate: {timeout: 30s}\n"
EARLY = '{"t": 35, "event": "message", "connection": "c1"}'


def with_diff(tmp_path: Path, *options: str, other: str = OTHER) -> Result:
    """Silent for 34.5 s: too long for the other settings only; and then for good."""
    path = tmp_path / "other.yaml"
    path.write_text(other)
    return run(tmp_path, HEADER, OPEN, EARLY, END, options=("--diff", str(path), *options))


def test_what_other_settings_would_change(tmp_path: Path) -> None:
    body = answer(with_diff(tmp_path, "--json"))
    assert [body[name] for name in ("unchanged", "moved", "only_a")] == [0, 0, []]
    (pair,) = body["changed"]
    assert (pair["a"]["kind"], pair["b"]["kind"]) == ("both", "skewed")
    (new,) = body["only_b"]
    assert (new["kind"], new["recovered"], new["candidate_at"]) == ("only_candidate", True, 30.5)
    assert body["a"]["settings"] == "the defaults"
    assert body["b"]["settings"].endswith("other.yaml")
    assert (body["a"]["summary"]["mismatched"], body["b"]["summary"]["mismatched"]) == (0, 2)
    assert body["a"]["outcomes"]["control"]["acted"] == 1


def test_the_difference_for_people(tmp_path: Path) -> None:
    result = with_diff(tmp_path)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines()[2:])) <= 80  # but for the names of the files
    text = " ".join(result.stdout.split())
    assert "mismatched 0 2 +2" in text
    assert "0 unchanged, 0 at other times, 1 changed, 0 in A only, 1 in B only" in text
    assert "closed by the control 1 1" in text
    assert "closed by the candidate" not in text
    assert "In B only" in text


def test_the_same_settings_change_nothing(tmp_path: Path) -> None:
    body = answer(with_diff(tmp_path, "--json", other="# all defaults\n"))
    assert body["unchanged"] == 1
    assert not any(body[name] for name in ("moved", "changed", "only_a", "only_b"))


def test_other_settings_that_cannot_be_used(tmp_path: Path) -> None:
    for other, reason in (("monitors: {control: null}", "control"), ("monitor: {}", "monitor")):
        result = with_diff(tmp_path, other=other)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "other.yaml" in result.stderr
        assert reason in result.stderr
    result = run(tmp_path, HEADER, OPEN, options=("--diff", str(tmp_path / "other.yaml")))
    assert result.exit_code == 2


def test_a_table_fits_a_narrow_terminal(tmp_path: Path) -> None:
    long = OPEN.replace('"c1"', '"a-connection-with-quite-a-long-name"')
    result = run(tmp_path, HEADER, long, END)
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "…" not in result.stdout
    assert "proof of life  0" in result.stdout

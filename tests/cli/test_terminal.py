"""What the commands print is text, whatever the names in it are, and whatever the terminal's encoding is."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from rich.columns import Columns
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from shim.cli import main
from shim.cli.terminal import TextConsole, plain
from shim.ledger.rows import BrakeRow
from shim.model.visible_text import show_invisible
from tests.ledger.helpers import ledger, verdict

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))

HOSTILE = [
    "x[/]y",
    "[bold red]b[/bold red]",
    "[link=http://evil.example/]l[/link] [conceal]c[/conceal]",
    ":skull: :smiley:",
    "\x1b[2J\x1b]0;title\x07\x9b31m",
    "two\nlines\r\x0b\x0c\x85\u2028\u2029",
    "\u202eturned\u2066\u200f",
    "zero\u200bwidth\ufeff\u2060\u3164",
    "\ud800 and \udcff",
    "日本語の名前 👓👩‍👩‍👧",
    "long" * 100,
    "\x00\ttab\x7f",
    "\\x5b [User: bob] \\",
]


def shown_by(*parts: Any, width: int = 10_000) -> str:
    console = TextConsole(width=width)
    console.file = file = StringIO()
    for part in parts:
        console.print(part)
    return file.getvalue()


@given(ANY_TEXT)
def test_the_console_shows_every_text_as_text(text: str) -> None:
    table = Table(box=None, title=text)
    table.add_column(text, overflow="fold")
    table.add_row(text)
    table.add_row(Group(plain(text), text))
    shown = shown_by(text, Text(text), Padding.indent(text, 2), Columns([text]), table)
    assert all(line.isprintable() for line in shown.splitlines())
    assert show_invisible(text).strip() in shown


@given(ANY_TEXT)
def test_nothing_of_a_text_is_lost_where_it_is_folded(text: str) -> None:
    table = Table(box=None, show_header=False, pad_edge=False, padding=0)
    table.add_column(overflow="fold")
    table.add_row(text)
    shown = shown_by(table, width=40)
    assert "".join(shown.split()) == "".join(show_invisible(text).split())


def run(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False, **options)


def lines_of(result: Result) -> list[str]:
    lines = result.output.split("\n")
    assert all(line.isprintable() for line in lines), result.output
    return lines


@pytest.fixture(params=HOSTILE, ids=ascii)
def name(request: pytest.FixtureRequest) -> str:
    text: str = request.param
    return text


def quoted(text: str) -> str:
    """A text in YAML, whatever its characters are."""
    letters = "".join(
        letter if letter.isalnum() and letter.isascii() else f"\\U{ord(letter):08x}"
        for letter in text
    )
    return f'"{letters}"'


def flags_with(path: Path, user: str, rule: str) -> Path:
    path.write_text(
        "version: 1\nflag: monitor-rollout\nhash: {algorithm: blake2b-v1, salt: s}\n"
        "kill_switch: false\ndefault: off\nholdback: 0\n"
        f"overrides: {{{quoted(user)}: live}}\n"
        f"rules: [{{name: {quoted(rule)}, users: [{quoted(rule + '*')}], stage: live}}]\n"
        "percent: {complete: 0, live: 0, shadow: 0}\n...\n"
    )
    return path


def test_names_in_a_flags_file(tmp_path: Path, name: str) -> None:
    name = name.encode("utf-8", "replace").decode()  # YAML has no lone surrogates
    file = flags_with(tmp_path / "a.yaml", name, f"rule {name}")
    other = flags_with(tmp_path / "b.yaml", "nobody", "another")
    explained = run("flags", "explain", name, str(file))
    assert lines_of(explained)[0] == f"{show_invisible(name)} is at live."
    by_rule = run("flags", "explain", f"rule {name}!", str(file))
    assert show_invisible(name) in by_rule.output
    assert show_invisible(name) in lines_of(run("flags", "diff", str(file), str(other)))
    assert lines_of(run("flags", "bucket", name))[0].isdigit()


def test_names_in_a_ledger(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / "shim.db")
    name = name.encode("utf-8", "replace").decode()  # SQLite stores no lone surrogates
    with ledger(Path(path)) as writer:
        writer.append(verdict(1, user=name, package=name, connection=name))
        writer.append(BrakeRow(at=1, engaged=True, reason=name))
    wide = {"env": {"COLUMNS": "5000"}}
    listed = lines_of(run("verdicts", "--ledger", path, **wide))
    assert sum(show_invisible(name) in line for line in listed) == 1
    lines_of(run("verdicts", "1", "--ledger", path, **wide))
    engaged, history, _ = lines_of(run("brake", "status", "--ledger", path))
    assert engaged == f"engaged: {show_invisible(name)}"
    assert history.endswith(f"engaged   {show_invisible(name)}")
    assert json.loads(run("brake", "status", "--ledger", path, "--json").output)["reason"] == name
    lines_of(run("gate", "--ledger", path))


def test_names_in_a_capture(tmp_path: Path, name: str) -> None:
    file = tmp_path / "capture.jsonl"
    name = name.encode("utf-8", "replace").decode()  # JSON in UTF-8 has no lone surrogates
    opened = {"t": 0, "event": "open", "connection": name, "user": name, "session": name}
    lines = [{"capture": 1}, {**opened, "kind": "app", "package": name}, {"t": 600, "event": "end"}]
    file.write_text("\n".join(map(json.dumps, lines)))
    replayed = run("replay", str(file), env={"COLUMNS": "5000"})
    assert sum(show_invisible(name) in line for line in lines_of(replayed)) == 1
    lines_of(run("tune", str(file)))
    file.write_text("\n".join(map(json.dumps, [*lines[:2], lines[1], lines[2]])))
    assert show_invisible(name) in "".join(lines_of(run("replay", str(file))))


@pytest.mark.parametrize("command", [["replay"], ["tune"], ["flags", "check"], ["simulate"]])
def test_names_of_files(tmp_path: Path, name: str, command: list[str]) -> None:
    name = name.replace("/", "-").replace("\0", "0").replace("\ud800", "\udcff")
    result = run(*command, str(tmp_path / name))
    assert result.exit_code == 2
    lines_of(result)


def test_arguments_that_are_refused(name: str) -> None:
    for arguments in (
        [name],
        ["verdicts", "--since", name],
        ["gate", f"--{name}"],
        ["flags", name],
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert all(line.replace("\t", " ").isprintable() for line in result.output.split("\n"))


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_every_encoding_can_show_everything(tmp_path: Path, encoding: str) -> None:
    file = flags_with(tmp_path / "a.yaml", "Zoë", "日本")
    other = flags_with(tmp_path / "b.yaml", "nobody", "another")
    commands = (
        ["gate", "--ledger", str(tmp_path / "shim.db")],
        ["flags", "diff", str(file), str(other)],
        ["flags", "export", "--flagd", str(file)],
        ["flags", "explain", "日本人", str(file)],
        ["flags", "explain", "\udcff", str(file)],
    )
    with ledger(tmp_path / "shim.db"):
        pass
    shown = ""
    for command in commands:
        result = CliRunner(charset=encoding).invoke(main, command, catch_exceptions=False)
        assert result.exit_code in (0, 3), result.stderr
        shown += result.stdout_bytes.decode(encoding)
    if encoding == "ascii":
        assert "off -> " in shown or "live -> " in shown
        assert r"\u65e5\u672c" in shown
    if encoding == "utf-8":
        assert "→" in shown

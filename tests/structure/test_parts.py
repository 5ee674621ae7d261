"""What `python -m tests` says of tests that fail always, fail once, or take their process with them."""

import os
from pathlib import Path

import pytest

from tests.__main__ import TESTS, parts_in, run, summarize
from tests.part import Part

ALWAYS = """
def test_right(): pass
def test_wrong(): assert False
"""
ONCE = """
from pathlib import Path

def test_right(): pass

def test_unsteady():
    ran_before = Path(__file__).with_suffix(".ran")
    if not ran_before.exists():
        ran_before.touch()
        raise TimeoutError
"""
CRASH = """
import os

def test_right(): pass
def test_crash(): os._exit(CODE)
"""
SKIPPED = """
import pytest

@pytest.mark.skip
def test_skipped(): pass
"""
COMPUTES = """
import os

def test_it_gives_way(): assert os.getpriority(os.PRIO_PROCESS, 0) == NICE
"""
HANGS = """
import time

def test_hangs(): time.sleep(600)
"""


def files_of(part: Part) -> set[Path]:
    """The files of tests that pytest finds with these arguments."""
    options = [argument for argument in part.arguments if argument.startswith("-")]
    left_out = {Path(text) for option in options if (text := option.removeprefix("--ignore="))}
    named = [Path(argument) for argument in part.arguments if argument not in options] or [TESTS]
    found = {file for path in named for file in (path, *path.rglob("*"))}
    return {
        file
        for file in found
        if file.match("test_*.py") and left_out.isdisjoint((file, *file.parents))
    }


def test_each_file_is_in_one_part(tmp_path: Path) -> None:
    found = sorted(file for part in parts_in(tmp_path, []) for file in files_of(part))
    assert found == sorted(TESTS.rglob("test_*.py"))


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `python -m pytest` finds nothing but what a test writes there."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.setenv(
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1"
    )  # importing them takes most of the time
    return tmp_path


def part(tree: Path, name: str, tests: str, *options: str) -> Part:
    path = tree / f"test_{name}.py"
    path.write_text(tests)
    return Part(name, [str(path), *options], tree)


def test_a_test_that_fails_twice_has_failed(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = [part(tree, "always", ALWAYS), part(tree, "skipped", SKIPPED)]
    run(parts)
    assert summarize(parts) == 1
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "1 passed, 1 failed, 1 skipped"
    assert said.count(" test_wrong _") == 2
    assert "passed alone: " not in said


def test_a_test_that_fails_once_is_named(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = [part(tree, "once", ONCE), part(tree, "right", "def test_right(): pass")]
    run(parts)
    assert summarize(parts) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "failed beside the others, passed alone: test_once.py::test_unsteady",
        "3 passed, 0 failed, 0 skipped",
    ]


def test_a_part_that_computes_gives_way(tree: Path) -> None:
    nice = min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    (tree / "test_computes.py").write_text(COMPUTES.replace("NICE", str(nice)))
    parts = [
        Part("computes", [str(tree / "test_computes.py")], tree, nice=10),
        part(tree, "right", "def test_right(): pass"),
    ]
    run(parts)
    assert [(part.gives_way, part.passed) for part in parts] == [(True, 1), (False, 1)]


@pytest.mark.parametrize("code", [0, 1, 5, 134])
def test_a_part_that_dies_has_failed(
    code: int, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [part(tree, "crash", CRASH.replace("CODE", str(code)))]
    run(parts)
    assert summarize(parts) == 1
    said = capsys.readouterr().out
    assert f"this part died: exit code {code}" in said
    assert said.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"


def test_a_part_that_dies_the_second_time_has_failed(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [part(tree, "once", ONCE + "    else: __import__('os')._exit(0)\n")]
    run(parts)
    assert summarize(parts) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 2 failed, 0 skipped"


def test_a_part_that_hangs_is_killed_and_has_failed(tree: Path) -> None:
    hanging = part(tree, "hangs", HANGS)
    assert "this part died: exit code -9" in hanging.run(longest=0.01)
    assert hanging.failed == 1
    assert not hanging.can_run_again


@pytest.mark.parametrize("tests", ["import no_such_module", "def test_(): syntax error"])
def test_a_part_that_cannot_be_read_has_failed(
    tests: str, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [part(tree, "unreadable", tests), part(tree, "right", "def test_right(): pass")]
    run(parts)
    assert summarize(parts) == 1


def test_an_option_may_leave_parts_without_tests(tree: Path) -> None:
    parts = [part(tree, "always", ALWAYS, "-k", "right"), part(tree, "once", ONCE, "-k", "wrong")]
    run(parts)
    assert summarize(parts) == 0
    nothing = [part(tree, "nothing", ALWAYS, "-k", "nothing")]
    run(nothing)
    assert summarize(nothing) == 1

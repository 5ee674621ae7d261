"""The next file is put in place whole, and leaves a record."""

import json
import os
import stat
from pathlib import Path

import pytest

from shim.flags.targeting import Percentages
from shim.gate.answer import Standing
from shim.model import InputError
from shim.rollout.changes import changes_file, find_change
from shim.rollout.flags_place import ChangedMeanwhileError, FlagsFilePlace
from shim.rollout.promotion import Promotion, advance_by_itself, prepare, put_in_place
from shim.rollout.promotion_plan import Check, Facts
from shim.settings.flags_file import load_flags_file
from tests.rollout.files import flags
from tests.rollout.test_plan import GOOD, STEPS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rollout.yaml"
    path.write_text(flags("shadow", comment="ours"))
    return path


def prepared(path: Path, facts: Facts = GOOD) -> Promotion:
    return prepare(FlagsFilePlace(path), STEPS, lambda digest: facts)


def test_the_next_file(path: Path) -> None:
    before = load_flags_file(path)
    path.chmod(0o640)
    promotion = prepared(path)
    assert load_flags_file(path) == before
    change = put_in_place(promotion, "ann", "because")
    after = load_flags_file(path)
    assert after.targeting.percent == Percentages(shadow=10)
    assert after.targeting.overrides == before.targeting.overrides
    assert "# ours\n" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert (change.before, change.after) == (before.digest, after.digest)
    assert change.at == "1970-02-11T16:00:00+00:00"
    assert find_change(path, after.digest) == change
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "rollout.yaml",
        "rollout.yaml.changes.jsonl",
    ]


def test_a_step_that_was_taken_back_is_not_repeated(path: Path) -> None:
    """By a process that stood still between its look at the file and its writing."""
    promotion, content = prepared(path), path.read_bytes()
    put_in_place(prepared(path), "ann", "because")
    path.write_bytes(content)
    with pytest.raises(ChangedMeanwhileError, match="changed meanwhile"):
        put_in_place(promotion, "bob", "because")
    assert path.read_bytes() == content


def test_a_link_stays_one(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "config" / "rollout.yaml"
    link.parent.mkdir()
    link.symlink_to(path)
    change = put_in_place(prepared(link), "ann", "because")
    assert link.is_symlink()
    assert load_flags_file(path).digest == change.after
    assert changes_file(link) == changes_file(path)


def test_a_file_that_changed_meanwhile_is_left_alone(path: Path) -> None:
    promotion = prepared(path)
    path.write_text(flags("live"))
    with pytest.raises(InputError, match="changed meanwhile"):
        put_in_place(promotion, "ann", "because")
    assert path.read_text() == flags("live")
    assert not changes_file(path).exists()


def test_a_folder_that_cannot_be_written(path: Path) -> None:
    promotion = prepared(path)
    if os.geteuid() == 0:
        # Root may write anywhere; nobody can append to a folder.
        changes_file(path).mkdir()
    else:
        path.parent.chmod(0o500)
    try:
        with pytest.raises(InputError, match="cannot be written"):
            put_in_place(promotion, "ann", "because")
    finally:
        path.parent.chmod(0o700)
    assert path.read_text() == flags("shadow", comment="ours")
    assert not list(path.parent.glob(".rollout.yaml.*"))


def test_a_shim_goes_on_by_itself_while_it_may(path: Path) -> None:
    def by_itself(facts: Facts = GOOD) -> str | None:
        change = advance_by_itself(FlagsFilePlace(path), STEPS, lambda digest: facts)
        return None if change is None else change.by

    assert by_itself() == "shim (by itself)"
    assert load_flags_file(path).targeting.percent == STEPS[0].percent
    waiting = Facts(GOOD.now, None, None, {})
    failed = {**GOOD.findings, "agreement": Check("agreement", Standing.FAILED, "no")}
    for facts in (waiting, Facts(GOOD.now, 0, None, failed), Facts(GOOD.now, 0, "brake", {})):
        assert by_itself(facts) is None
    assert by_itself() is not None
    assert by_itself() is not None
    assert load_flags_file(path).targeting.percent == STEPS[2].percent
    assert by_itself() is None
    reasons = [json.loads(line)["reason"] for line in changes_file(path).read_text().splitlines()]
    assert [reason[:14] for reason in reasons] == [f"step {n} of 3 by" for n in (1, 2, 3)]
    assert "agreement: fine" in reasons[1]


def test_facts_are_asked_about_the_very_file(path: Path) -> None:
    asked = []

    def facts(digest: str) -> Facts:
        asked.append(digest)
        return GOOD

    assert (
        prepare(FlagsFilePlace(path), STEPS, facts).digest
        == load_flags_file(path).digest
        == asked[0]
    )


def test_a_bad_file_is_an_input_error(path: Path) -> None:
    path.write_text("version: 1\n")
    with pytest.raises(InputError):
        prepared(path)


def test_records_that_are_no_records(path: Path) -> None:
    assert find_change(path, "d") is None
    changes_file(path).write_text('{"after": "d"}\nrubbish d\n{"at": "d"\n[1, "d"]\n')
    assert find_change(path, "d") is None
    line = {"at": "x", "by": "ann", "reason": "d", "before": "c", "after": "e"}
    changes_file(path).write_text(json.dumps(line) + "\nnot the end")
    assert find_change(path, "d") is None
    found = find_change(path, "e")
    assert found is not None
    assert found.by == "ann"

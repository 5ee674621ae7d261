"""Which attempt a trial is, and how long an earlier `ready` stands."""

from pathlib import Path

import pytest

from shim.gate.answer import GateVerdict
from shim.gate.evidence import StandingReady
from shim.gate.judge import judge
from shim.ledger.rows import BrakeRow, Row
from shim.ledger.sqlite.reader import SqliteReader
from shim.model import Role
from shim.settings.promotion_settings import PromotionSettings
from shim.settings.sections import GateSettings
from tests.ledger.gate_rows import (
    DEFAULTS,
    EVERYBODY_LIVE,
    HALF,
    HOUR,
    MINUTE,
    ask,
    at,
    both_sides,
    process,
    widths,
    write,
    wrote,
)
from tests.ledger.helpers import DAY, NOW, S, coverage, flags_load, settled_action, verdict

PLAN = ((10, 90, 2 * HOUR), (50, 50, 6 * HOUR), (90, 10, HOUR))
"""The steps of a plan: live, shadow, soak."""


@pytest.mark.parametrize(
    ("lasted", "users", "live", "attempt"),
    [
        (2 * DAY, (50, 50), None, 2),
        (2 * DAY, (90, 10), None, 1),
        (DAY // 2, (50, 50), None, 1),
        (6 * HOUR, (50, 50), 50, 2),
        (5 * HOUR, (50, 50), 50, 1),
        (6 * HOUR, (50, 50), 60, 2),
        (5 * HOUR, (50, 50), 60, 1),
        (DAY // 2, (50, 50), 5, 1),
    ],
    ids=[
        "a unit",
        "one side has too few",
        "no plan",
        "as long as the soak of its step",
        "longer than the shortest soak only",
        "between two steps",
        "between two steps, short",
        "before the first step",
    ],
)
def test_which_attempt_a_trial_is(
    path: Path, lasted: int, users: tuple[int, int], live: int | None, attempt: int
) -> None:
    rows: list[Row] = both_sides(NOW, NOW + lasted, *users)
    chosen = DEFAULTS
    if live is not None:
        rows.insert(0, flags_load(0, deciding=widths(live, 100 - live)))
        steps = [
            {"percent": {"live": live, "shadow": shadow}, "soak": f"{soak // HOUR}h"}
            for live, shadow, soak in PLAN
        ]
        promotion = PromotionSettings.model_validate({"steps": steps})
        chosen = DEFAULTS.model_copy(update={"promotion": promotion})
    write(path, process(NOW), *rows, until=NOW + lasted)
    write(path, process(NOW + lasted, monitors="others"), until=NOW + 4 * DAY)
    assert ask(path, NOW + lasted + 4 * MINUTE, chosen).attempt == attempt


def test_attempts_are_forgotten_after_90_days(path: Path) -> None:
    write(path, process(NOW), *both_sides(NOW, NOW + 2 * DAY), until=NOW + 2 * DAY)
    write(path, process(NOW + 2 * DAY, monitors="others"), until=NOW + 100 * DAY)
    assert ask(path, NOW + 92 * DAY - S).attempt == 2
    assert ask(path, NOW + 92 * DAY + S).attempt == 1


EASY = DEFAULTS.model_copy(
    update={
        "gate": GateSettings.model_validate(
            {
                "period": "2d",
                "min_users": 5,
                "min_timeouts": 5,
                "min_agreement": 0.5,
                "return_margin": 0.9,
                "max_proofs": 0.5,
            }
        )
    }
)
"""A gate that a hundred users and two days convince."""


def convincing(begun: int, until: int) -> list[Row]:
    rows: list[Row] = both_sides(begun, until)
    for number in range(160):
        second = at(begun) + number * 600
        if NOW + second * S > until - HOUR:
            break
        rows.append(verdict(second))
        role = Role.CONTROL if number % 2 else Role.CANDIDATE
        rows.append(settled_action(second, role=role))
    return rows


def ramped(path: Path, *later: Row, deciding: str = EVERYBODY_LIVE) -> SqliteReader:
    """Two convincing days at 50 : 50, then another flags file, and a day of coverage."""
    changed = NOW + 2 * DAY + HOUR
    rows = [
        flags_load(0, digest="a", deciding=HALF),
        *convincing(NOW, changed),
        flags_load(at(changed), digest="b", deciding=deciding),
        *later,
        *(coverage(at(changed) + 60 * minute) for minute in range(60)),
    ]
    write(path, process(NOW), *rows, until=changed + DAY)
    return SqliteReader(path)


def answer_after(path: Path, now: int = NOW + 2 * DAY + 2 * HOUR) -> GateVerdict:
    return judge(ask(path, now, EASY), EASY.gate).verdict


def test_a_ready_stands_after_widths_grew(path: Path) -> None:
    ramped(path)
    changed = NOW + 2 * DAY + HOUR
    assert judge(ask(path, changed - S, EASY), EASY.gate).verdict is GateVerdict.READY
    evidence = ask(path, changed + HOUR, EASY)
    assert evidence.trial is not None
    assert evidence.trial.since == changed
    assert evidence.standing == StandingReady(NOW, changed)
    assert answer_after(path) is GateVerdict.READY


def test_a_ready_does_not_stand_after_widths_shrank(path: Path) -> None:
    ramped(path, deciding=widths(40, 50))
    assert ask(path, NOW + 2 * DAY + 2 * HOUR, EASY).standing is None
    assert answer_after(path) is GateVerdict.INSUFFICIENT


def test_a_ready_does_not_stand_while_the_brake_is_engaged_nor_after_that(path: Path) -> None:
    changed = NOW + 2 * DAY + HOUR
    ramped(path, BrakeRow(True, "by hand", changed + 10 * MINUTE))
    assert answer_after(path) is not GateVerdict.READY
    with wrote(path, process(changed + HOUR), until=changed + DAY) as writer:
        writer.append(BrakeRow(False, "mended", changed + 70 * MINUTE))
        assert writer.flush(30)
        assert ask(path, changed + 80 * MINUTE, EASY).standing is None


def test_a_ready_stands_for_30_days(path: Path) -> None:
    changed = NOW + 2 * DAY + HOUR
    ramped(path, coverage(at(changed + 30 * DAY) - 120))
    assert ask(path, changed + 30 * DAY - S, EASY).standing is not None
    assert ask(path, changed + 30 * DAY, EASY).standing is None


def test_an_earlier_trial_needs_what_its_own_attempt_needs(path: Path) -> None:
    """A trial that was not `ready` as the second attempt does not become so afterwards."""
    many = 40
    for number in range(many):
        begun = NOW - (many - number) * 2 * DAY
        rows = both_sides(begun, begun + 2 * DAY - HOUR)
        write(path, process(begun, monitors=f"m{number}"), *rows, until=begun + 2 * DAY - HOUR)
    ramped(path)
    evidence = ask(path, NOW + 2 * DAY + HOUR - S, EASY)
    assert evidence.attempt == many + 1
    now = judge(evidence, EASY.gate).verdict
    later = ask(path, NOW + 2 * DAY + 2 * HOUR, EASY).standing
    assert (now is GateVerdict.READY) == (later is not None)

"""The checks of act two: a rollout that went well passes; spoil one thing, and just that fails."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from shim.demo.rollout.checks import Evidence, judge
from shim.demo.rollout.record import timeline
from shim.demo.rollout.steps import RELEASE_REASON, STEPS
from shim.demo.story import ABNORMAL
from shim.model import Role, Stage, VerdictKind, VerdictName
from tests.demo.rollouts import (
    BAD_AT,
    REASON,
    RECOVERED_AT,
    TRUNCATED_AT,
    action,
    at,
    brake,
    evidence,
    flags,
    moved,
    proof,
    record,
    verdict,
    with_record,
)

HEALTHY = "no healthy client"
AGREE = "the monitors agree"
TRUNCATED = "the truncated file"
BRAKE = "the brake engages at"
RECOVERY = "after the release"
GOOD = record()


def failed(given: Evidence) -> list[str]:
    return [finding.wanted for finding in judge(given) if not finding.ok]


def spoilt_client(number: int, spoil: Callable[..., object]) -> Evidence:
    given = evidence()
    spoil(given.fleet[number])
    return given


def test_everything_as_it_has_to_be() -> None:
    assert failed(evidence()) == []


@pytest.mark.parametrize("number", range(len(STEPS)))
def test_a_step_that_is_not_reached_fails_with_those_after_it(number: int) -> None:
    given = evidence()
    marks = list(given.marks[: number + 1])
    marks[-1].took = None
    wrong = failed(replace(given, marks=marks))
    wanted = [f"{step.title}: {step.goal}" for step in STEPS]
    assert [text for text in wrong if text in wanted] == wanted[number:]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        # Clients that are well.
        (spoilt_client(0, lambda s: s.endings.update([ABNORMAL])), HEALTHY),
        (spoilt_client(0, lambda s: setattr(s, "opened", 2)), HEALTHY),
        (spoilt_client(0, lambda s: s.decided.update([Role.CONTROL])), HEALTHY),
        (spoilt_client(1, lambda s: s.endings.update(["1001"])), HEALTHY),
        (spoilt_client(1, lambda s: s.decided.update([Role.CANDIDATE])), HEALTHY),
        (spoilt_client(2, lambda s: s.errors.append("ConnectionError")), HEALTHY),
        (replace(evidence(), fleet=evidence().fleet[1:]), HEALTHY),
        # Agreement until the bad step.
        (with_record(verdicts=GOOD.verdicts[1:]), AGREE),
        (
            with_record(
                verdicts=[
                    verdict("dropped", at(2, 5), VerdictName.MISMATCHED, VerdictKind.SKEWED),
                    *GOOD.verdicts,
                ]
            ),
            AGREE,
        ),
        # The file that was cut off.
        (with_record(flags=GOOD.flags[:2]), TRUNCATED),
        (
            with_record(flags=[*GOOD.flags, flags("d", "b", at(RECOVERED_AT), "no good")]),
            TRUNCATED,
        ),
        (
            with_record(
                stages=[moved("u", Stage.LIVE, Stage.OFF, at(TRUNCATED_AT, 1)), *GOOD.stages]
            ),
            TRUNCATED,
        ),
        # The brake.
        (with_record(brakes=[brake(True, REASON, at(BAD_AT, 3.8)), GOOD.brakes[1]]), BRAKE),
        (with_record(brakes=[brake(True, REASON, at(BAD_AT, 5.5)), GOOD.brakes[1]]), BRAKE),
        (with_record(brakes=GOOD.brakes[1:], actions=GOOD.actions), BRAKE),
        (with_record(proofs=[proof("healthy", at(BAD_AT, 3)), *GOOD.proofs]), BRAKE),
        # After the release.
        (with_record(proofs=[*GOOD.proofs, proof("new-1", at(RECOVERED_AT, 3))]), RECOVERY),
        (with_record(actions=GOOD.actions[:1]), RECOVERY),
        (with_record(actions=[action("dropped", at(BAD_AT))]), RECOVERY),
        (with_record(brakes=GOOD.brakes[:1]), RECOVERY),
        (with_record(brakes=[*GOOD.brakes, brake(True, REASON, at(RECOVERED_AT, 5))]), RECOVERY),
        (with_record(brakes=[GOOD.brakes[0], brake(False, "other", at(5))]), RECOVERY),
    ],
)
def test_one_thing_that_went_wrong(given: Evidence, what: str) -> None:
    wrong = failed(given)
    assert any(text.startswith(what) for text in wrong), wrong
    assert not set(wrong) & {f"{step.title}: {step.goal}" for step in STEPS}


def test_a_brake_before_the_bad_step() -> None:
    early = brake(True, REASON, at(BAD_AT, -1))
    kills = [proof(f"new-{n % 4 + 1}", at(BAD_AT, -1)) for n in range(5)]
    assert len(failed(with_record(brakes=[early, GOOD.brakes[1]], proofs=kills))) == 1


def test_a_pause_of_the_server_explains_a_skew_and_nothing_else() -> None:
    skewed = verdict("dropped", at(2, 5), VerdictName.MISMATCHED, VerdictKind.SKEWED)
    killed = verdict("new-1", at(2, 5), VerdictName.MISMATCHED, VerdictKind.ONLY_CANDIDATE)
    one = with_record(verdicts=[skewed, *GOOD.verdicts])
    other = with_record(verdicts=[killed, *GOOD.verdicts])
    assert failed(replace(one, pauses=1)) == []
    assert len(failed(replace(other, pauses=1))) == 1


def test_the_timeline_tells_who_moved_when() -> None:
    lines = list(timeline(GOOD))
    assert lines[0].split() == ["0.0", "s", "flags", "aaaaaaaa", "in", "force"]
    assert lines[2].strip() == "2 connections: off -> shadow"
    assert "cccccccc refused: cut off" in lines[3]
    assert lines[4].endswith(f"brake engaged: {REASON} (4 proofs of life, 1 mismatched)")
    assert lines[5].strip() == "1 connections: live -> shadow"
    assert lines[6].endswith(f"brake released: {RELEASE_REASON}")
    assert len(lines) == 7


def test_a_ledger_without_anything_tells_nothing() -> None:
    empty = replace(GOOD, flags=[], stages=[], brakes=[], verdicts=[], proofs=[], actions=[])
    assert list(timeline(empty)) == []

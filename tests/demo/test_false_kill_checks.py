"""The checks of the rollout with false kills: a good one passes; spoil one thing, and just that fails."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from shim.demo.client_history import ABNORMAL
from shim.model import Role, Stage, VerdictKind, VerdictName
from tests.demo.false_kill_checks import RolloutEvidence, judge
from tests.demo.false_kill_rollout import STEPS
from tests.demo.good_rollouts import (
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


def failed(given: RolloutEvidence) -> list[str]:
    return [finding.wanted for finding in judge(given) if not finding.ok]


def spoilt_client(number: int, spoil: Callable[..., object]) -> RolloutEvidence:
    given = evidence()
    spoil(given.old[number])
    return given


def test_everything_as_it_has_to_be() -> None:
    assert failed(evidence()) == []


@pytest.mark.parametrize("number", range(len(STEPS)))
def test_a_step_that_is_not_reached_fails_with_those_after_it(number: int) -> None:
    given = evidence()
    progress = list(given.progress[: number + 1])
    progress[-1].took = None
    wrong = failed(replace(given, progress=progress))
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
        (replace(evidence(), old=evidence().old[1:]), HEALTHY),
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
def test_one_thing_that_went_wrong(given: RolloutEvidence, what: str) -> None:
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

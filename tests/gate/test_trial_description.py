"""What an answer says about its trial, as values and as sentences."""

from dataclasses import replace

import pytest

from shim.gate import Evidence, StandingReady, format_trial, judge
from tests.gate.evidence import DAY, NOW, TARGETS, condition, evidence
from tests.gate.test_retirement_report import REPORT


def sentences(evidence: Evidence) -> str:
    return "\n".join(format_trial(judge(evidence, TARGETS).inputs))


@pytest.mark.parametrize(
    ("began_by", "words"),
    [
        ("start", ": the first process started."),
        ("brake released", ": the brake was released."),
        ("monitors, flags", ": the monitors and the flags changed."),
        (
            "processes of another identity have ended",
            ": the last process with other monitors, settings or flags ended.",
        ),
    ],
)
def test_what_began_a_trial(began_by: str, words: str) -> None:
    found = evidence()
    assert found.trial is not None
    text = sentences(replace(found, trial=replace(found.trial, began_by=began_by)))
    assert words in text
    assert "The trial would end by another version or other settings of a monitor" in text


def test_the_time_of_the_answer_is_said_first() -> None:
    for found in (evidence(), Evidence(NOW)):
        assert sentences(found).startswith("As of 2024-10-04T00:00:00+00:00.\nThe")


def test_the_attempt_and_what_it_needs() -> None:
    assert "attempt 3 within 90 days: what is shown needs an e-value of 240." in sentences(
        evidence(attempt=3)
    )


@pytest.mark.parametrize(
    ("differing", "words"),
    [
        ((), "There is no trial: no process runs."),
        (("flags",), "There is no trial: the flags of the processes that run differ"),
        (("monitors", "flags"), "the monitors and the flags of the processes that run differ"),
    ],
)
def test_without_a_trial(differing: tuple[str, ...], words: str) -> None:
    found = Evidence(NOW, differing=differing)
    assert words in sentences(found)
    assert str(condition(judge(found, TARGETS), "length").missing) in sentences(found)


def test_a_standing_ready() -> None:
    standing = StandingReady(NOW - 9 * DAY, NOW - 2 * DAY)
    assert "stands until" not in sentences(evidence())
    assert "stands until" in sentences(evidence(standing=standing))
    assert judge(evidence(standing=standing), TARGETS).inputs["standing_ready"] == {
        "since": (NOW - 9 * DAY) / 1e6,
        "until": (NOW - 2 * DAY) / 1e6,
        "stands_until": (NOW + 28 * DAY) / 1e6,
    }


def test_an_older_answer_has_no_such_lines() -> None:
    assert format_trial({"now": 1.5}) == []


def test_the_retirement_report_has_them() -> None:
    answer = judge(evidence(), TARGETS)
    text = replace(REPORT, answer=answer).as_markdown()
    for sentence in format_trial(answer.inputs):
        assert f"- {sentence}\n" in text
    assert text.index("## Trial") < text.index("## Conditions")

"""What an answer says about its trial, as values and as sentences."""

from dataclasses import replace

import pytest

from shim.gate.answer import Standing
from shim.gate.evidence import Evidence, StandingReady
from shim.gate.judge import judge
from shim.gate.trial_description import format_arms, format_trial
from shim.model import seconds
from tests.gate.evidence import DAY, NOW, TARGETS, TRIAL, condition, evidence
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
    inputs = dict(judge(evidence(), TARGETS).inputs)
    lines = format_trial(inputs)
    del inputs["not_known"]
    assert format_trial(inputs) == lines[:-1]


def test_the_retirement_report_has_them() -> None:
    answer = judge(evidence(), TARGETS)
    text = replace(REPORT, answer=answer).as_markdown()
    for sentence in format_trial(answer.inputs):
        assert f"- {sentence}\n" in text
    assert text.index("## Trial") < text.index("## Conditions")


def test_a_trial_word_by_word() -> None:
    standing = StandingReady(NOW - 19 * DAY, NOW - 12 * DAY)
    assert format_trial(judge(evidence(standing=standing), TARGETS).inputs) == [
        "As of 2024-10-04T00:00:00+00:00.",
        "The trial began at 2024-09-26T00:00:00+00:00: the first process started.",
        "Its first period ends at 2024-10-03T00:00:00+00:00.",
        "It is attempt 1 within 90 days: what is shown needs an e-value of 40.",
        "The trial would end by another version or other settings of a monitor, other settings of the "
        "comparison, another flags file (overrides apart), or a release of the brake.",
        "The `ready` of the trial from 2024-09-15T00:00:00+00:00 to 2024-09-22T00:00:00+00:00 stands until "
        "2024-10-22T00:00:00+00:00, while nothing but widths grows and nothing is refuted.",
        "The gate cannot know of users who did not occur yet, users whose identity changes, and how much the "
        "users of one process depend on each other within a day.",
    ]


def test_a_trial_as_values() -> None:
    whole = evidence(
        trial=replace(TRIAL, until=NOW - DAY), differing=("flags",), standing=None, attempt=2
    )
    told = dict(judge(whole, TARGETS).inputs)
    assert told.pop("not_known")
    trial = told.pop("trial")
    assert isinstance(trial, dict)
    assert trial.pop("ends_by")
    assert trial == {
        "since": seconds(NOW - 8 * DAY),
        "until": seconds(NOW - DAY),
        "began_by": "start",
        "first_period_ends": seconds(NOW - DAY),
        "monitors": "m",
        "comparison": "c",
        "flags": "f",
    }
    assert told == {
        "now": seconds(NOW),
        "differing": ["flags"],
        "attempt": 2,
        "min_e_value": 120,
        "standing_ready": None,
        "kinds": ["app"],
    }
    assert judge(Evidence(NOW), TARGETS).inputs["trial"] is None


@pytest.mark.parametrize("e_value", [999.0, 1000.0])
def test_the_arms_of_each_group_and_what_is_wrong_with_them(e_value: float) -> None:
    seen = {"control": 1_200, "candidate": 34, "crossed": 0, "e_value": e_value, "expected": {}}
    halves = {**seen, "crossed": 5_000, "expected": {"control": 0.25, "candidate": 0.75}}
    one = condition(judge(evidence(), TARGETS), "sample_ratio")
    open_one = replace(one, standing=Standing.OPEN, inputs={"groups": {"a": seen, "b": halves}})
    off = "; THE SAMPLE RATIO IS OFF: no figure of the arms can be believed" * (e_value >= 1000)
    users = "1,200 users in the control's arm, 34 in the candidate's, by the widths"
    assert format_arms([replace(one, name="users"), open_one, replace(one, inputs={})]) == [
        (f"app, a: {users} 0.0% to 0.0%{off}", False),
        (
            f"app, b: {users} 25.0% to 75.0%{off}; 5,000 users were in both arms and are left out",
            False,
        ),
    ]

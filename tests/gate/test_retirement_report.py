"""The report of a retirement, word by word."""

import json
from dataclasses import replace

from shim import __version__
from shim.gate.answer import Condition, GateAnswer, GateVerdict, Scale, Sense, Standing
from shim.gate.judge import judge
from shim.gate.retirement_report import RetirementReport
from shim.gate.trial_description import format_trial
from shim.model import SECOND, Kind
from tests.gate.evidence import TARGETS, evidence

AGREEMENT = Condition(
    "agreement",
    "Agreement",
    Kind.APP,
    Standing.MET,
    Scale.SHARE,
    Sense.AT_LEAST,
    target=0.99,
    bound=0.9962489,
    figure=1.0,
    interval=(0.99918, 1.0),
    inputs={"matched": 4700, "e_value": 8291.600626498248, "period": {"users": 3, "mean": 0.5}},
)
FAILURES = Condition(
    "failures",
    "Errors of the candidate",
    None,
    Standing.OPEN,
    Scale.COUNT,
    Sense.AT_MOST,
    target=0,
    bound=3,
    figure=None,
    inputs={"rules": ("a", "b"), "shares": [], "arms": {}},
)
PLAIN = Condition(
    "plain", "Nothing to say", None, Standing.MET, Scale.COUNT, Sense.AT_LEAST, 1, 1, 1
)
ANSWER = GateAnswer(
    GateVerdict.READY, (AGREEMENT, FAILURES, PLAIN), inputs={"now": 1.5, "kinds": ["app"]}
)
REPORT = RetirementReport(
    answer=ANSWER,
    at=1_727_568_000 * SECOND,
    settings="shim.yaml",
    settings_digest="5e77",
    flags="rollout.yaml",
    flags_digest="f1a9",
    ledger="shim.db",
    ledger_digest="1ed9",
    ledger_rows=42,
)

MARKDOWN = f"""# Retirement of the control

The gate answered **ready** at 2024-09-29T00:00:00+00:00 (shim {__version__}).

## Conditions

| condition | stands | certain | target | seen | 95 % (Wilson) |
|---|---|---|---|---|---|
| app: Agreement | met | 99.62% | ≥ 99.00% | 100.00% | 99.92% to 100.00% |
| Errors of the candidate | open | 3 | ≤ 0 | - | - |
| Nothing to say | met | 1 | ≥ 1 | 1 | - |

## Inputs

- now: 1.5
- kinds: app

### app: Agreement

- matched: 4700
- e_value: 8291.600626
- period: users 3, mean 0.5

### Errors of the candidate

- rules: a, b
- shares: none
- arms: none

## What this was computed from

- settings `shim.yaml`: SHA-256 5e77
- flags `rollout.yaml`: SHA-256 f1a9
- ledger `shim.db`: SHA-256 1ed9 over 42 rows

## What to do

"""


def test_the_report_in_markdown() -> None:
    text = REPORT.as_markdown()
    head, _, steps = text.partition("## What to do\n\n")
    assert head + "## What to do\n\n" == MARKDOWN
    lines = steps.splitlines()
    assert [line.partition(".")[0] for line in lines] == ["1", "2", "3", "4", "5", "6"]
    assert [line.partition(". ")[2] for line in lines] == REPORT.steps
    assert text.endswith("evidence.\n")


def test_the_report_tells_the_trial_before_the_conditions() -> None:
    answer = judge(evidence(), TARGETS)
    lines = "".join(f"- {line}\n" for line in format_trial(answer.inputs))
    text = replace(REPORT, answer=answer).as_markdown()
    assert f"(shim {__version__}).\n\n## Trial\n\n{lines}\n## Conditions\n" in text
    assert "- kinds: app\n- not_known: users who did not occur yet" in text


def test_the_steps_name_the_files() -> None:
    assert REPORT.steps[0].startswith("Set `monitors.control: null` in shim.yaml")
    assert [step for step in REPORT.steps if "rollout.yaml" in step] == [REPORT.steps[2]]
    assert "the ledger shim.db" in REPORT.steps[-1]


def test_without_a_flags_file_no_step_is_about_it() -> None:
    without = replace(REPORT, flags=None, flags_digest=None, settings_digest=None)
    assert without.steps == [step for step in REPORT.steps if "flags file" not in step]
    assert len(without.steps) == 5
    text = without.as_markdown()
    assert "- settings `shim.yaml`: SHA-256 (no file)\n- flags `(no file)`: SHA-256 -\n" in text


def test_a_forced_retirement_says_why() -> None:
    text = replace(REPORT, reason="a drill").as_markdown()
    assert f"(shim {__version__}).\n\nForced: a drill\n\n## Conditions\n" in text
    assert "Forced" not in REPORT.as_markdown()


def test_a_report_can_be_read_again() -> None:
    for report in (
        REPORT,
        replace(REPORT, reason="a drill", version="0.1", flags=None, flags_digest=None),
        replace(REPORT, settings_digest=None, at=1_727_568_001 * SECOND),
    ):
        known = json.loads(json.dumps(report.as_dict()))
        assert RetirementReport.from_dict(known, report.answer) == report


def test_what_the_fleet_recorded_is_in_the_report() -> None:
    of_fleet = replace(
        REPORT, record={"fleet": {"processes": 2}}, record_lines=("process a", "process b")
    )
    assert of_fleet.as_dict()["fleet"] == {"processes": 2}
    assert "over 42 rows\n- process a\n- process b\n\n## What to do" in of_fleet.as_markdown()


def test_the_report_in_json() -> None:
    assert replace(REPORT, reason="a drill").as_dict() == {
        "report": 1,
        "at": "2024-09-29T00:00:00+00:00",
        "version": __version__,
        "reason": "a drill",
        "gate": ANSWER.as_dict(),
        "settings": {"file": "shim.yaml", "sha256": "5e77"},
        "flags": {"file": "rollout.yaml", "sha256": "f1a9"},
        "ledger": {"file": "shim.db", "sha256_of_rows": "1ed9", "rows": 42},
        "steps": REPORT.steps,
    }

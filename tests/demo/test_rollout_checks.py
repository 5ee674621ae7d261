"""The demo's own checks: a rollout that went well passes; spoil one thing, and just its check fails."""

from collections.abc import Callable
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from shim.demo.client_history import ABNORMAL, LEFT, RESTARTED, ClientHistories, ClientHistory
from shim.demo.demo_clients import ClientBehaviour, ClientSpec
from shim.demo.rollout_checks import CheckResult, RolloutRecord, check_rollout
from shim.demo.rollout_steps import rollout_steps
from shim.demo.rollout_summary import RolloutSummary, learn_of_codes
from shim.demo.step_taker import StepProgress
from shim.ledger.rows import BrakeRow
from shim.model import Kind, Role, VerdictKind, VerdictName

STEPS = rollout_steps(20, "/tmp/ledger.db", None)
ENGAGED = BrakeRow(
    engaged=True, reason="app: 0.0% of 5 users came back after the candidate's closing, …", at=1
)
RELEASED = BrakeRow(engaged=False, reason="over", at=2)

REACHED = "each step reaches its goal"
ALIKE = "both monitors decide alike"
TERMINATED = "apps that the control terminated (1006) come back"
AWAY = "apps that the candidate closed with 1001 stay away"
BACK = "apps that the candidate closed with 4000 come back"
BRAKE = "the brake engages once"
HEALTHY = "no client that answers is closed"
GATE = "the gate does not let the control be removed yet"
ERRORS = "no unexpected errors"


def record() -> RolloutRecord:
    """A healthy client, one that comes and goes, an app that stayed away, an app that came back."""
    behaviours = ("healthy", "flapping", "sdk", "sdk")
    histories = ClientHistories(
        ClientSpec(f"{name}-{number}", Kind.APP, ClientBehaviour(name))
        for number, name in enumerate(behaviours)
    )
    healthy, flapping, away, back = histories.all
    healthy.endings.update([RESTARTED])
    healthy.cut_short.update([RESTARTED])
    flapping.endings.update([LEFT] * 3)
    for app, code in ((away, "1001"), (back, "4000")):
        app.endings.update([ABNORMAL, code])
        app.back_after.update([ABNORMAL])
        app.verdicts[VerdictName.MATCHED, VerdictKind.BOTH, False] += 2
    away.away, away.away_after = True, "1001"
    back.back_after.update(["4000"])
    return RolloutRecord(
        steps=STEPS,
        progress=[StepProgress(step, number, 1.0) for number, step in enumerate(STEPS)],
        histories=histories,
        brakes=[ENGAGED, RELEASED],
        pauses=0,
        gate="insufficient evidence",
        errors=[],
    )


def failed(given: RolloutRecord) -> list[str]:
    return [check.wanted for check in check_rollout(given) if not check.ok]


def spoilt(number: int, spoil: Callable[[ClientHistory], object]) -> RolloutRecord:
    given = record()
    spoil(given.histories.all[number])
    return given


def test_everything_as_it_has_to_be() -> None:
    assert failed(record()) == []


def test_nothing_at_all_is_no_success() -> None:
    empty = replace(
        record(), progress=[], histories=ClientHistories([]), brakes=[], gate="", steps=[]
    )
    wanted = [check.wanted for check in check_rollout(record())]
    assert failed(empty) == [text for text in wanted if text != ERRORS]


SKEWED = (VerdictName.MISMATCHED, VerdictKind.SKEWED, False)
FALSE_KILL = (VerdictName.MISMATCHED, VerdictKind.ONLY_CANDIDATE, True)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (replace(record(), progress=record().progress[:-1]), REACHED),
        (replace(record(), progress=[StepProgress(step, 0) for step in STEPS]), REACHED),
        (spoilt(2, lambda h: h.verdicts.update([SKEWED])), ALIKE),
        (spoilt(2, lambda h: h.verdicts.update([FALSE_KILL])), ALIKE),
        # Apps.
        (spoilt(3, lambda h: h.endings.update([ABNORMAL])), TERMINATED),
        (spoilt(2, lambda h: setattr(h, "away_after", ABNORMAL)), TERMINATED),
        (spoilt(2, lambda h: h.endings.update(["1001"])), AWAY),
        (spoilt(2, lambda h: setattr(h, "away_after", None)), AWAY),
        (spoilt(2, lambda h: h.endings.pop("1001")), AWAY),
        (spoilt(3, lambda h: h.back_after.pop("4000")), BACK),
        (spoilt(3, lambda h: setattr(h, "away_after", "4000")), BACK),
        # The brake.
        (replace(record(), brakes=[]), BRAKE),
        (replace(record(), brakes=[ENGAGED]), BRAKE),
        (replace(record(), brakes=[ENGAGED, RELEASED, ENGAGED, RELEASED]), BRAKE),
        (
            replace(record(), brakes=[BrakeRow(engaged=True, reason="5 of 50", at=1), RELEASED]),
            BRAKE,
        ),
        # Clients that are well.
        (spoilt(0, lambda h: h.endings.update([ABNORMAL])), HEALTHY),
        (spoilt(0, lambda h: h.decided.update([Role.CONTROL])), HEALTHY),
        (spoilt(1, lambda h: h.cut_short.update(["1001"])), HEALTHY),
        (spoilt(3, lambda h: h.cut_short.update([ABNORMAL])), HEALTHY),
        # All else.
        (replace(record(), gate="ready evidence"), GATE),
        (replace(record(), errors=["the clients' process ended"]), ERRORS),
    ],
)
def test_one_thing_that_went_wrong(given: RolloutRecord, what: str) -> None:
    wrong = failed(given)
    assert what in wrong
    assert set(wrong) <= {what, AWAY}


def test_a_monitor_s_failure_is_an_error() -> None:
    given = record()
    given.histories.failures.append("the candidate failed in wake: …")
    assert failed(given) == [ERRORS]


def test_a_pause_of_the_server_explains_a_skew_and_nothing_else() -> None:
    skewed = spoilt(2, lambda h: h.verdicts.update([SKEWED]))
    killed = spoilt(2, lambda h: h.verdicts.update([FALSE_KILL]))
    assert failed(replace(skewed, pauses=1)) == []
    assert failed(replace(killed, pauses=1)) == [ALIKE]


def test_an_app_that_is_on_its_way_has_not_stayed_away() -> None:
    closed = {"event": "end", "how": "4000", "answering": False}
    given = spoilt(3, lambda h: h.add(closed))
    assert failed(given) == []
    (happened,) = [check.happened for check in check_rollout(given) if check.wanted == BACK]
    assert happened == "1 of 2 came back, 1 not yet, 0 stayed away"


def summary(checks: list[CheckResult], console: Console, *, lag: float = 0) -> str:
    RolloutSummary(checks, learn_of_codes(record().histories.sdk_apps), lag, 20).show(console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_words_of_the_summary_stay_whole(width: int) -> None:
    console = Console(file=StringIO(), force_terminal=True, width=width, color_system=None)
    text = summary(check_rollout(record()), console)
    assert all(len(line) <= width for line in text.splitlines())
    words = text.split()
    for wanted in ("terminated", "(1006)", "closing,", "insufficient", "1001,"):
        assert wanted in words
    assert text.endswith("ok: the rollout went as it has to\n")


def test_without_a_terminal_each_check_is_a_line() -> None:
    text = summary(check_rollout(replace(record(), brakes=[])), Console(file=StringIO()))
    assert f"FAILED  {BRAKE}  ->  the brake did not engage\n" in text
    assert f"ok      {AWAY}  ->  0 of 1 came back, 1 stayed away\n" in text
    assert "1 of 1 apps stayed away after close code 1001, and 0 of 1 after 4000." in text
    assert text.endswith(f"FAILED: {BRAKE}\n")


def test_a_slow_clients_process_is_named() -> None:
    def text(lag: float) -> str:
        return summary(check_rollout(record()), Console(file=StringIO()), lag=lag)

    assert "did not run for 0.60 s at a time" in text(0.6)
    assert "did not run" not in text(0.3)
    assert not RolloutSummary([], "", 0, 20).ok

"""The matrix's checks: clients to whom the right things happened pass; spoil one, and its cell fails."""

from collections.abc import Callable
from typing import Any

import pytest

from shim.demo.client_history import ABNORMAL, LEFT, OPEN, ClientHistory
from shim.demo.demo_clients import ClientBehaviour
from shim.demo.demo_settings import FACTOR
from shim.model import Return, Role, Stage, from_seconds
from tests.demo.good_histories import FALSE_KILL, MATCHED, SKEWED, close, everyone
from tests.demo.matrix import BEHAVIOURS
from tests.demo.matrix_checks import EXPECTED, Totals, judge, judge_report, stage_of

CONTROL, CANDIDATE = Role.CONTROL, Role.CANDIDATE
Spoil = Callable[[ClientHistory], Any]


def failed(histories: list[ClientHistory], pauses: int = 0) -> set[tuple[ClientBehaviour, Stage]]:
    results = judge(histories, FACTOR, pauses)
    return {(r.cell.behaviour, r.cell.stage) for r in results if not r.ok}


def spoilt(
    behaviour: ClientBehaviour, stage: Stage, spoil: Spoil, *, all_of_them: bool
) -> list[ClientHistory]:
    histories = everyone()
    cell = [s for s in histories if s.client.behaviour is behaviour and stage_of(s) is stage]
    for history in cell if all_of_them else cell[:1]:
        spoil(history)
    return histories


def test_everything_as_it_has_to_be() -> None:
    assert failed(everyone()) == set()


def test_every_behaviour_has_expectations_at_every_stage() -> None:
    assert set(EXPECTED) == set(BEHAVIOURS)
    assert all(set(stages) == set(Stage) for stages in EXPECTED.values())


def test_nothing_at_all_is_no_success() -> None:
    assert failed([]) == {(behaviour, stage) for behaviour in BEHAVIOURS for stage in Stage}


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("stage", Stage)
def test_clients_that_are_missing_fail(behaviour: ClientBehaviour, stage: Stage) -> None:
    histories = [s for s in everyone() if (s.client.behaviour, stage_of(s)) != (behaviour, stage)]
    assert failed(histories) == {(behaviour, stage)}


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("change", ["opened", "error", "cut short", "other"])
def test_one_client_is_enough_to_fail(
    behaviour: ClientBehaviour, stage: Stage, change: str
) -> None:
    def spoil(history: ClientHistory) -> None:
        if change == "opened":
            history.opened = 0
        elif change == "error":
            history.errors.append("ConnectionError")
        elif change == "cut short":
            history.cut_short["1001"] += 1
        else:
            # The monitor that must not act did.
            close(history, stage_of(history).acting.other, 1)

    assert failed(spoilt(behaviour, stage, spoil, all_of_them=False)) == {(behaviour, stage)}


@pytest.mark.parametrize("behaviour", sorted(set(BEHAVIOURS) - {ClientBehaviour.HEALTHY}))
@pytest.mark.parametrize("stage", Stage)
def test_nothing_is_what_must_not_happen_to_the_others(
    behaviour: ClientBehaviour, stage: Stage
) -> None:
    histories = [
        ClientHistory(s.client, opened=1)
        if (s.client.behaviour, stage_of(s)) == (behaviour, stage)
        else s
        for s in everyone()
    ]
    assert failed(histories) == {(behaviour, stage)}


LEFT_ALONE = (ClientBehaviour.HEALTHY, ClientBehaviour.FLAPPING)


@pytest.mark.parametrize("behaviour", LEFT_ALONE)
@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("how", ["1000", "1001", "1012", ABNORMAL])
def test_those_who_are_well_must_not_be_closed(
    behaviour: ClientBehaviour, stage: Stage, how: str
) -> None:
    histories = spoilt(behaviour, stage, lambda s: s.endings.update([how]), all_of_them=False)
    assert failed(histories) == {(behaviour, stage)}


@pytest.mark.parametrize("behaviour", LEFT_ALONE)
@pytest.mark.parametrize("role", Role)
def test_those_who_are_well_must_not_even_be_decided_on(
    behaviour: ClientBehaviour, role: Role
) -> None:
    histories = spoilt(
        behaviour, Stage.SHADOW, lambda s: s.decided.update([role]), all_of_them=False
    )
    assert failed(histories) == {(behaviour, Stage.SHADOW)}


@pytest.mark.parametrize(
    "behaviour", [ClientBehaviour.FROZEN, ClientBehaviour.DROPPED, ClientBehaviour.SDK]
)
@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("how", ["1000", "1001", ABNORMAL, OPEN, LEFT])
def test_how_a_connection_ends_matters(behaviour: ClientBehaviour, stage: Stage, how: str) -> None:
    def spoil(history: ClientHistory) -> None:
        times = history.endings.total()
        history.endings.clear()
        history.endings[how] = times

    histories = spoilt(behaviour, stage, spoil, all_of_them=False)
    right = how == (ABNORMAL if stage.acting is CONTROL else "1001")
    assert failed(histories) == (set() if right else {(behaviour, stage)})


@pytest.mark.parametrize(
    ("behaviour", "stage", "spoil"),
    [
        # SDK-like apps: back after a terminate, away after 1001.
        (ClientBehaviour.SDK, Stage.OFF, lambda s: setattr(s, "away", True)),
        (ClientBehaviour.SDK, Stage.SHADOW, lambda s: s.back_after.clear()),
        (ClientBehaviour.SDK, Stage.SHADOW, lambda s: s.outcomes.update([(CONTROL, Return.LOST)])),
        (ClientBehaviour.SDK, Stage.LIVE, lambda s: setattr(s, "away", False)),
        (ClientBehaviour.SDK, Stage.LIVE, lambda s: setattr(s, "opened", 2)),
        (ClientBehaviour.SDK, Stage.LIVE, lambda s: s.outcomes.clear()),
        (
            ClientBehaviour.SDK,
            Stage.COMPLETE,
            lambda s: s.outcomes.update([(CANDIDATE, Return.RETURNED)]),
        ),
        # Dropped ones come back whatever was sent after them.
        (ClientBehaviour.DROPPED, Stage.OFF, lambda s: s.back_after.clear()),
        (ClientBehaviour.DROPPED, Stage.COMPLETE, lambda s: s.back_after.subtract([ABNORMAL] * 2)),
        (
            ClientBehaviour.DROPPED,
            Stage.LIVE,
            lambda s: s.outcomes.update([(CANDIDATE, Return.LOST)]),
        ),
        # Who is gone cannot speak.
        (ClientBehaviour.FROZEN, Stage.COMPLETE, lambda s: s.proofs.update([CANDIDATE])),
        (ClientBehaviour.DROPPED, Stage.OFF, lambda s: s.proofs.update([CONTROL])),
        # Frozen ones once.
        (ClientBehaviour.FROZEN, Stage.OFF, lambda s: close(s, CONTROL, 1)),
        (ClientBehaviour.FROZEN, Stage.LIVE, lambda s: close(s, CANDIDATE, 1)),
        # The server closed more than the clients felt, or less.
        (ClientBehaviour.DROPPED, Stage.SHADOW, lambda s: s.acted.update([CONTROL] * 2)),
        (ClientBehaviour.DROPPED, Stage.LIVE, lambda s: s.acted.subtract([CANDIDATE])),
        # Verdicts.
        (ClientBehaviour.FROZEN, Stage.SHADOW, lambda s: s.verdicts.update([SKEWED])),
        (ClientBehaviour.FROZEN, Stage.LIVE, lambda s: s.verdicts.update([FALSE_KILL])),
        (ClientBehaviour.FROZEN, Stage.OFF, lambda s: s.verdicts.update([MATCHED])),
        (ClientBehaviour.SDK, Stage.COMPLETE, lambda s: s.verdicts.update([MATCHED])),
        (ClientBehaviour.SILENT, Stage.COMPLETE, lambda s: s.verdicts.update([MATCHED])),
        # Silent ones.
        (ClientBehaviour.SILENT, Stage.OFF, lambda s: s.back_after.clear()),
        (ClientBehaviour.SILENT, Stage.SHADOW, lambda s: s.endings.update(["1001"])),
        (ClientBehaviour.SILENT, Stage.LIVE, lambda s: setattr(s, "survived", 4)),
        (ClientBehaviour.SILENT, Stage.LIVE, lambda s: s.back_after.clear()),
        # Flapping ones that hardly did.
        (ClientBehaviour.FLAPPING, Stage.OFF, lambda s: setattr(s, "opened", 2)),
        (ClientBehaviour.HEALTHY, Stage.OFF, lambda s: setattr(s, "opened", 2)),
    ],
)
def test_one_client_with_a_wrong_outcome(
    behaviour: ClientBehaviour, stage: Stage, spoil: Spoil
) -> None:
    assert failed(spoilt(behaviour, stage, spoil, all_of_them=False)) == {(behaviour, stage)}


@pytest.mark.parametrize(
    ("stage", "spoil"),
    [
        (Stage.OFF, lambda s: setattr(s, "survived", 0)),
        (Stage.SHADOW, lambda s: setattr(s, "survived", 0)),
        (Stage.SHADOW, lambda s: s.verdicts.pop(FALSE_KILL)),
        (Stage.SHADOW, lambda s: s.verdicts.update([FALSE_KILL] * 2)),
        (Stage.LIVE, lambda s: s.proofs.clear()),
        (Stage.COMPLETE, lambda s: s.proofs.clear()),
        (Stage.LIVE, lambda s: s.verdicts.clear()),
    ],
)
def test_silent_clients_together(stage: Stage, spoil: Spoil) -> None:
    histories = spoilt(ClientBehaviour.SILENT, stage, spoil, all_of_them=True)
    assert failed(histories) == {(ClientBehaviour.SILENT, stage)}


@pytest.mark.parametrize(
    ("stage", "silence"),
    [(Stage.OFF, 2.25), (Stage.OFF, 5.0), (Stage.LIVE, 2.2), (Stage.LIVE, 2.6)],
)
def test_when_a_connection_is_closed_matters(stage: Stage, silence: float) -> None:
    def spoil(history: ClientHistory) -> None:
        history.silences = [(stage.acting, from_seconds(silence))]

    histories = spoilt(ClientBehaviour.FROZEN, stage, spoil, all_of_them=True)
    assert failed(histories) == {(ClientBehaviour.FROZEN, stage)}


def test_a_pause_of_the_server_explains_a_skew_and_nothing_else() -> None:
    def skew(history: ClientHistory) -> None:
        history.verdicts[SKEWED] += 1

    def false_kill(history: ClientHistory) -> None:
        history.verdicts[FALSE_KILL] += 1

    frozen = (ClientBehaviour.FROZEN, Stage.SHADOW)
    assert failed(spoilt(*frozen, skew, all_of_them=False), pauses=1) == set()
    assert failed(spoilt(*frozen, false_kill, all_of_them=False), pauses=1) == {frozen}


def _report(histories: list[ClientHistory]) -> dict[str, Any]:
    return {
        "decisions": {
            role.value: {"acted": sum(s.acted[role] for s in histories)} for role in Role
        },
        "proofs_of_life": {"control": 0, "candidate": 6},
        "failures": {"control": 0, "candidate": 0},
        "brake": None,
        "kinds": {"both": 50, "only_candidate": 4},
    }


def test_the_report_agrees_with_the_stories() -> None:
    totals = Totals.of(everyone())
    assert judge_report(_report(everyone()), totals, totals) == []


def test_the_report_may_lie_between_two_looks_at_the_stories() -> None:
    earlier, now, later = everyone(), everyone(), everyone()
    close(now[0], CONTROL, 1)
    close(later[0], CONTROL, 2)
    assert judge_report(_report(now), Totals.of(earlier), Totals.of(later)) == []
    assert len(judge_report(_report(later), Totals.of(earlier), Totals.of(now))) == 1
    assert len(judge_report(_report(earlier), Totals.of(now), Totals.of(later))) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda report: report["decisions"]["candidate"].update(acted=0),
        lambda report: report["failures"].update(candidate=1),
        lambda report: report.update(brake="the acting candidate failed"),
        lambda report: report["kinds"].pop("only_candidate"),
    ],
)
def test_a_report_that_says_otherwise(spoil: Callable[[dict[str, Any]], Any]) -> None:
    report = _report(everyone())
    spoil(report)
    totals = Totals.of(everyone())
    assert len(judge_report(report, totals, totals)) == 1

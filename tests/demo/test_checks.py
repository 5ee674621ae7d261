"""The demo's checks: a fleet to whom the right things happened passes; spoil one, and it fails."""

from collections.abc import Callable
from typing import Any

import pytest

from shim.demo.checks import EXPECTED, Totals, judge, judge_report
from shim.demo.scenario import FACTOR, Behaviour
from shim.demo.story import ABNORMAL, LEFT, OPEN, Story
from shim.model import Return, Role, Stage, from_seconds
from tests.demo.stories import FALSE_KILL, MATCHED, SKEWED, close, everyone

CONTROL, CANDIDATE = Role.CONTROL, Role.CANDIDATE
Spoil = Callable[[Story], Any]


def failed(stories: list[Story], pauses: int = 0) -> set[tuple[Behaviour, Stage]]:
    results = judge(stories, FACTOR, pauses)
    return {(r.cell.behaviour, r.cell.stage) for r in results if not r.ok}


def spoilt(behaviour: Behaviour, stage: Stage, spoil: Spoil, *, all_of_them: bool) -> list[Story]:
    stories = everyone()
    cell = [s for s in stories if s.client.behaviour is behaviour and s.client.stage is stage]
    for story in cell if all_of_them else cell[:1]:
        spoil(story)
    return stories


def test_everything_as_it_has_to_be() -> None:
    assert failed(everyone()) == set()


def test_every_behaviour_has_expectations_at_every_stage() -> None:
    assert set(EXPECTED) == set(Behaviour)
    assert all(set(stages) == set(Stage) for stages in EXPECTED.values())


def test_nothing_at_all_is_no_success() -> None:
    assert failed([]) == {(behaviour, stage) for behaviour in Behaviour for stage in Stage}


@pytest.mark.parametrize("behaviour", Behaviour)
@pytest.mark.parametrize("stage", Stage)
def test_clients_that_are_missing_fail(behaviour: Behaviour, stage: Stage) -> None:
    stories = [s for s in everyone() if (s.client.behaviour, s.client.stage) != (behaviour, stage)]
    assert failed(stories) == {(behaviour, stage)}


@pytest.mark.parametrize("behaviour", Behaviour)
@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("change", ["opened", "error", "other"])
def test_one_client_is_enough_to_fail(behaviour: Behaviour, stage: Stage, change: str) -> None:
    def spoil(story: Story) -> None:
        if change == "opened":
            story.opened = 0
        elif change == "error":
            story.errors.append("ConnectionError")
        else:
            # The monitor that must not act did.
            close(story, story.client.stage.acting.other, 1)

    assert failed(spoilt(behaviour, stage, spoil, all_of_them=False)) == {(behaviour, stage)}


@pytest.mark.parametrize("behaviour", sorted(set(Behaviour) - {Behaviour.HEALTHY}))
@pytest.mark.parametrize("stage", Stage)
def test_nothing_is_what_must_not_happen_to_the_others(behaviour: Behaviour, stage: Stage) -> None:
    stories = [
        Story(s.client, opened=1)
        if (s.client.behaviour, s.client.stage) == (behaviour, stage)
        else s
        for s in everyone()
    ]
    assert failed(stories) == {(behaviour, stage)}


LEFT_ALONE = (Behaviour.HEALTHY, Behaviour.FLAPPING)


@pytest.mark.parametrize("behaviour", LEFT_ALONE)
@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("how", ["1000", "1001", "1012", ABNORMAL])
def test_those_who_are_well_must_not_be_closed(
    behaviour: Behaviour, stage: Stage, how: str
) -> None:
    stories = spoilt(behaviour, stage, lambda s: s.endings.update([how]), all_of_them=False)
    assert failed(stories) == {(behaviour, stage)}


@pytest.mark.parametrize("behaviour", LEFT_ALONE)
@pytest.mark.parametrize("role", Role)
def test_those_who_are_well_must_not_even_be_decided_on(behaviour: Behaviour, role: Role) -> None:
    stories = spoilt(behaviour, Stage.SHADOW, lambda s: s.decided.update([role]), all_of_them=False)
    assert failed(stories) == {(behaviour, Stage.SHADOW)}


@pytest.mark.parametrize("behaviour", [Behaviour.FROZEN, Behaviour.DROPPED, Behaviour.SDK])
@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("how", ["1000", "1001", ABNORMAL, OPEN, LEFT])
def test_how_a_connection_ends_matters(behaviour: Behaviour, stage: Stage, how: str) -> None:
    def spoil(story: Story) -> None:
        times = story.endings.total()
        story.endings.clear()
        story.endings[how] = times

    stories = spoilt(behaviour, stage, spoil, all_of_them=False)
    right = how == (ABNORMAL if stage.acting is CONTROL else "1001")
    assert failed(stories) == (set() if right else {(behaviour, stage)})


@pytest.mark.parametrize(
    ("behaviour", "stage", "spoil"),
    [
        # SDK-like apps: back after a terminate, away after 1001.
        (Behaviour.SDK, Stage.OFF, lambda s: setattr(s, "away", True)),
        (Behaviour.SDK, Stage.SHADOW, lambda s: setattr(s, "back", 0)),
        (Behaviour.SDK, Stage.SHADOW, lambda s: s.outcomes.update([(CONTROL, Return.LOST)])),
        (Behaviour.SDK, Stage.LIVE, lambda s: setattr(s, "away", False)),
        (Behaviour.SDK, Stage.LIVE, lambda s: setattr(s, "opened", 2)),
        (Behaviour.SDK, Stage.LIVE, lambda s: s.outcomes.clear()),
        (
            Behaviour.SDK,
            Stage.COMPLETE,
            lambda s: s.outcomes.update([(CANDIDATE, Return.RETURNED)]),
        ),
        # Dropped ones come back whatever was sent after them.
        (Behaviour.DROPPED, Stage.OFF, lambda s: setattr(s, "back", 0)),
        (Behaviour.DROPPED, Stage.COMPLETE, lambda s: setattr(s, "back", 1)),
        (Behaviour.DROPPED, Stage.LIVE, lambda s: s.outcomes.update([(CANDIDATE, Return.LOST)])),
        # Who is gone cannot speak.
        (Behaviour.FROZEN, Stage.COMPLETE, lambda s: s.proofs.update([CANDIDATE])),
        (Behaviour.DROPPED, Stage.OFF, lambda s: s.proofs.update([CONTROL])),
        # Frozen ones once.
        (Behaviour.FROZEN, Stage.OFF, lambda s: close(s, CONTROL, 1)),
        (Behaviour.FROZEN, Stage.LIVE, lambda s: close(s, CANDIDATE, 1)),
        # The server closed more than the clients felt, or less.
        (Behaviour.DROPPED, Stage.SHADOW, lambda s: s.acted.update([CONTROL] * 2)),
        (Behaviour.DROPPED, Stage.LIVE, lambda s: s.acted.subtract([CANDIDATE])),
        # Verdicts.
        (Behaviour.FROZEN, Stage.SHADOW, lambda s: s.verdicts.update([SKEWED])),
        (Behaviour.FROZEN, Stage.LIVE, lambda s: s.verdicts.update([FALSE_KILL])),
        (Behaviour.FROZEN, Stage.OFF, lambda s: s.verdicts.update([MATCHED])),
        (Behaviour.SDK, Stage.COMPLETE, lambda s: s.verdicts.update([MATCHED])),
        (Behaviour.SILENT, Stage.COMPLETE, lambda s: s.verdicts.update([MATCHED])),
        # Silent ones.
        (Behaviour.SILENT, Stage.OFF, lambda s: setattr(s, "back", 0)),
        (Behaviour.SILENT, Stage.SHADOW, lambda s: s.endings.update(["1001"])),
        (Behaviour.SILENT, Stage.LIVE, lambda s: setattr(s, "survived", 4)),
        (Behaviour.SILENT, Stage.LIVE, lambda s: setattr(s, "back", 0)),
        # Flapping ones that hardly did.
        (Behaviour.FLAPPING, Stage.OFF, lambda s: setattr(s, "opened", 2)),
        (Behaviour.HEALTHY, Stage.OFF, lambda s: setattr(s, "opened", 2)),
    ],
)
def test_one_client_with_a_wrong_outcome(behaviour: Behaviour, stage: Stage, spoil: Spoil) -> None:
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
    stories = spoilt(Behaviour.SILENT, stage, spoil, all_of_them=True)
    assert failed(stories) == {(Behaviour.SILENT, stage)}


@pytest.mark.parametrize(
    ("stage", "silence"),
    [(Stage.OFF, 2.25), (Stage.OFF, 5.0), (Stage.LIVE, 2.2), (Stage.LIVE, 2.6)],
)
def test_when_a_connection_is_closed_matters(stage: Stage, silence: float) -> None:
    def spoil(story: Story) -> None:
        story.silences = [(stage.acting, from_seconds(silence))]

    stories = spoilt(Behaviour.FROZEN, stage, spoil, all_of_them=True)
    assert failed(stories) == {(Behaviour.FROZEN, stage)}


def test_a_pause_of_the_server_explains_a_skew_and_nothing_else() -> None:
    def skew(story: Story) -> None:
        story.verdicts[SKEWED] += 1

    def false_kill(story: Story) -> None:
        story.verdicts[FALSE_KILL] += 1

    frozen = (Behaviour.FROZEN, Stage.SHADOW)
    assert failed(spoilt(*frozen, skew, all_of_them=False), pauses=1) == set()
    assert failed(spoilt(*frozen, false_kill, all_of_them=False), pauses=1) == {frozen}


def _report(stories: list[Story]) -> dict[str, Any]:
    return {
        "decisions": {role.value: {"acted": sum(s.acted[role] for s in stories)} for role in Role},
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

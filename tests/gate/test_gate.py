"""The gate's answer: what it takes, and what each missing or bad thing does to it (R16)."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shim.gate import Evidence, GateAnswer, GateVerdict, KindEvidence, Sample, Standing, judge
from shim.gate.statistics import lower_bound
from shim.model import Kind, Role
from tests.gate.evidence import (
    APP,
    DAY,
    NOW,
    SAMPLE,
    TARGETS,
    arms,
    bernoulli,
    condition,
    evidence,
    with_sample,
)


def answer(whole: Evidence) -> GateAnswer:
    return judge(whole, TARGETS)


def missing(said: GateAnswer, name: str, kind: Kind | None = None) -> str:
    text = condition(said, name, kind).missing
    assert text is not None
    return text


def test_ready_when_everything_holds() -> None:
    said = answer(evidence())
    assert said.verdict is GateVerdict.READY
    assert {each.standing for each in said.conditions} == {Standing.MET}
    assert said.unmet == ()
    assert said.eta is None


@pytest.mark.parametrize(
    ("whole", "name", "verdict"),
    [
        (evidence(replace(APP, users=299)), "users", "insufficient"),
        (evidence(replace(APP, matched=299)), "timeouts", "insufficient"),
        (evidence(replace(APP, days=2)), "days", "insufficient"),
        (evidence(with_sample(agreement={(5, 5): 300})), "agreement", "insufficient"),
        (evidence(with_sample(agreement={(5, 5): 900, (0, 5): 60})), "agreement", "not_ready"),
        (evidence(replace(APP, acted=arms(2_500, 0))), "acted", "insufficient"),
        (evidence(replace(APP, acted={Role.CANDIDATE: 9})), "acted", "insufficient"),
        (evidence(replace(APP, pings=0)), "coverage", "not_ready"),
        (evidence(replace(APP, pings=989_000)), "coverage", "not_ready"),
        (evidence(replace(APP, pings=9_000, heartbeats=9_000.0)), "coverage", "insufficient"),
        (evidence(replace(APP, heartbeats=None)), "coverage", "insufficient"),
        (
            evidence(with_sample(returns=arms(bernoulli(1960, 2000), bernoulli(1560, 2000)))),
            "returns",
            "not_ready",
        ),
        (
            evidence(with_sample(returns=arms(bernoulli(1960, 2000), bernoulli(98, 100)))),
            "returns",
            "insufficient",
        ),
        (
            evidence(with_sample(returns={Role.CONTROL: bernoulli(1960, 2000)})),
            "returns",
            "insufficient",
        ),
        (
            evidence(with_sample(proofs=arms(bernoulli(0, 2000), bernoulli(60, 2000)))),
            "proofs_of_life",
            "not_ready",
        ),
        (
            evidence(with_sample(proofs=arms(bernoulli(0, 2000), bernoulli(9, 2000)))),
            "proofs_of_life",
            "insufficient",
        ),
        (
            evidence(with_sample(proofs={Role.CANDIDATE: bernoulli(0, 2000)})),
            "proofs_of_life",
            "insufficient",
        ),
        (evidence(replace(APP, expected=1)), "expected", "insufficient"),
        (evidence(replace(APP, expected=50)), "expected", "not_ready"),
        (evidence(failures=1), "failures", "not_ready"),
        (evidence(quarantines=1), "failures", "not_ready"),
        (evidence(expired_rules=("old",)), "expired_rules", "not_ready"),
    ],
)
def test_each_condition_alone_stands_in_the_way(whole: Evidence, name: str, verdict: str) -> None:
    said = answer(whole)
    assert said.verdict == verdict
    assert [each.name for each in said.unmet] == [name]
    assert said.unmet[0].missing


@pytest.mark.parametrize(
    "whole",
    [
        Evidence(NOW),
        evidence(kinds=()),
        evidence(KindEvidence(Kind.APP), KindEvidence(Kind.GLASSES)),
        evidence(APP, KindEvidence(Kind.GLASSES)),
    ],
)
def test_no_data_is_insufficient(whole: Evidence) -> None:
    said = answer(whole)
    assert said.verdict is GateVerdict.INSUFFICIENT
    assert said.eta is None


def test_a_kind_without_data_is_named() -> None:
    said = answer(evidence(APP, KindEvidence(Kind.GLASSES)))
    assert {each.kind for each in said.unmet} == {Kind.GLASSES}
    assert "control and the candidate never acted" in missing(said, "acted", Kind.GLASSES)


def test_who_never_acted_is_named() -> None:
    said = answer(evidence(replace(APP, acted={Role.CONTROL: 5})))
    assert condition(said, "acted").missing == "the candidate never acted on a timeout"


def test_a_good_week_does_not_outweigh_what_the_epoch_does_not_show() -> None:
    """Sliding periods are asked over and over: the epoch has to show it, too."""
    poor = replace(SAMPLE, agreement={(5, 5): 3_000, (4, 5): 150})
    said = answer(evidence(replace(APP, epoch=poor)))
    assert said.verdict is GateVerdict.INSUFFICIENT
    assert [each.name for each in said.unmet] == ["agreement"]
    fewer = replace(SAMPLE, returns=arms(bernoulli(9_800, 10_000), bernoulli(9_350, 10_000)))
    assert [each.name for each in answer(evidence(replace(APP, epoch=fewer))).unmet] == ["returns"]


def test_a_good_epoch_does_not_hide_a_bad_week() -> None:
    bad = replace(SAMPLE, agreement={(5, 5): 900, (0, 5): 60})
    good = replace(SAMPLE, agreement={(5, 5): 90_000})
    said = answer(evidence(replace(APP, period=bad, epoch=good)))
    assert said.verdict is GateVerdict.NOT_READY


def test_bounds_are_drawn_on_the_side_of_their_targets_where_the_condition_stands() -> None:
    said = answer(evidence())
    agreement, returns = condition(said, "agreement"), condition(said, "returns")
    assert agreement.bound is not None
    assert agreement.bound == lower_bound(SAMPLE.agreement, 0.05) > 0.99 == agreement.target
    assert agreement.figure == 1
    assert agreement.interval is not None
    assert agreement.interval[1] == pytest.approx(1)
    assert returns.bound is not None
    assert returns.target is not None
    assert returns.bound >= returns.target
    assert returns.figure == 0.98
    said = answer(evidence(with_sample(agreement={(5, 5): 300})))
    bound = condition(said, "agreement").bound
    assert bound is not None
    assert bound < 0.99


def test_what_is_missing_is_about_what_it_takes() -> None:
    """The estimate is put to the test: with so much more data of the same make, the condition holds."""
    short = with_sample(agreement={(5, 5): 200})
    open_ = condition(answer(evidence(replace(short, users=200))), "agreement")
    assert open_.missing is not None
    more = int(open_.missing.split()[1])
    assert open_.eta == pytest.approx(5 * DAY * more / 200, rel=0.02) or open_.eta is None
    for change, standing in ((more, Standing.MET), (more * 0.95, Standing.OPEN)):
        grown = with_sample(agreement={(5, 5): 200 + change})
        assert condition(answer(evidence(grown)), "agreement").standing is standing


def test_the_time_it_takes_is_that_of_the_slowest_condition() -> None:
    whole = evidence(replace(APP, users=250, matched=200), period_start=NOW - 2 * DAY)
    said = answer(whole)
    assert condition(said, "users").eta == pytest.approx(2 * DAY * 50 / 250, abs=1)
    assert condition(said, "timeouts").eta == pytest.approx(DAY, abs=1)
    assert said.eta == condition(said, "timeouts").eta


def test_a_period_too_short_for_the_data_is_said() -> None:
    said = answer(evidence(with_sample(agreement={(5, 5): 100})))
    agreement = condition(said, "agreement")
    assert agreement.eta is None
    assert "7 d do not hold so many" in missing(said, "agreement")


def test_a_figure_below_its_target_needs_no_more_data() -> None:
    agreement = condition(
        answer(evidence(with_sample(agreement={(5, 5): 98, (4, 5): 2}))), "agreement"
    )
    assert agreement.standing is Standing.OPEN
    said = answer(evidence(with_sample(agreement={(5, 5): 40, (4, 5): 3})))
    assert condition(said, "agreement").eta is None
    assert "would not do" in missing(said, "agreement")


def test_everything_is_in_the_json() -> None:
    said = json.loads(json.dumps(answer(evidence(expired_rules=("old",))).as_dict()))
    assert said["answer"] == "not_ready"
    by_name = {each["name"]: each for each in said["conditions"]}
    assert by_name["expired_rules"]["inputs"] == {"rules": ["old"]}
    agreement = by_name["agreement"]["inputs"]
    assert agreement["period"]["shares"] == [[2, 2, 100], [5, 5, 900]]
    assert agreement["period"]["e_value"] > agreement["min_e_value"] == 20
    returns = by_name["returns"]["inputs"]
    assert returns["outcomes"]["candidate"] == {"returned": 2300, "lost": 46, "replaced": 3}
    assert returns["epoch"]["control"]["lower"] < 0.98 < returns["epoch"]["control"]["upper"]
    assert said["inputs"]["period_end"] - said["inputs"]["period_start"] == 5 * 86_400


counts = st.integers(0, 3_000)


@st.composite
def anything(draw: st.DrawFn) -> KindEvidence:
    """Evidence of any size, good and bad, also such as no ledger would have."""

    def sample() -> Sample:
        shares = st.fixed_dictionaries({(1, 1): counts, (0, 1): st.integers(0, 60)})
        roles = st.dictionaries(st.sampled_from(Role), shares)
        return Sample(
            draw(st.fixed_dictionaries({(5, 5): counts, (4, 5): st.integers(0, 30)})),
            draw(roles),
            draw(roles),
        )

    return KindEvidence(
        draw(st.sampled_from(Kind)),
        sample(),
        sample(),
        matched=draw(counts),
        mismatched=draw(st.integers(0, 60)),
        expected=draw(st.integers(0, 60)),
        users=draw(counts),
        days=draw(st.integers(0, 7)),
        acted=draw(st.dictionaries(st.sampled_from(Role), counts)),
        pings=draw(st.integers(0, 100_000)),
        heartbeats=draw(st.none() | st.integers(0, 100_000).map(float)),
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(anything(), max_size=2, unique_by=lambda kind: kind.kind))
def test_any_evidence_gets_an_answer_that_its_conditions_bear_out(
    kinds: list[KindEvidence],
) -> None:
    said = answer(evidence(kinds=tuple(kinds)))
    standings = [each.standing for each in said.conditions]
    assert (said.verdict is GateVerdict.READY) == all(one is Standing.MET for one in standings)
    assert (said.verdict is GateVerdict.NOT_READY) == (Standing.FAILED in standings)
    for each in said.conditions:
        assert (each.missing is None) == (each.standing is Standing.MET)
        assert each.eta is None or (each.eta >= 0 and each.standing is Standing.OPEN)
    json.dumps(said.as_dict(), allow_nan=False)


@settings(max_examples=40, deadline=None)
@given(anything(), st.integers(1, 50))
def test_mismatches_never_help(kind: KindEvidence, more: int) -> None:
    before = answer(evidence(replace(APP, period=kind.period, epoch=kind.epoch)))

    def spoilt(sample: Sample) -> Sample:
        agreement = {**sample.agreement, (0, 1): more}
        return replace(sample, agreement=agreement)

    after = answer(
        evidence(
            replace(APP, period=spoilt(kind.period), epoch=spoilt(kind.epoch), mismatched=more)
        )
    )
    order = [GateVerdict.NOT_READY, GateVerdict.INSUFFICIENT, GateVerdict.READY]
    assert order.index(after.verdict) <= order.index(before.verdict)

"""Every number that the gate's answer shows, on evidence that misses something everywhere."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from shim.gate import Evidence, GateAnswer, GateVerdict, KindEvidence, Sample, judge
from shim.gate.kind_gate import _growth
from shim.gate.statistics import log_e_value, lower_bound, mean_share, upper_bound, wilson
from shim.model import Kind, Role
from tests.gate.evidence import APP, DAY, NOW, TARGETS, arms, bernoulli, condition, evidence

PERIOD = Sample(
    agreement={(5, 5): 40, (4, 5): 1},
    returns=arms(bernoulli(98, 100), bernoulli(97, 100)),
    proofs=arms(bernoulli(0, 50), bernoulli(3, 50)),
)
EPOCH = Sample(
    agreement={(5, 5): 80, (4, 5): 3},
    returns=arms(bernoulli(198, 200), bernoulli(190, 200)),
    proofs=arms(bernoulli(0, 90), bernoulli(9, 90)),
)
FEW = replace(
    APP,
    users=100,
    unsettled_users=7,
    matched=60,
    mismatched=2,
    expected=3,
    inconclusive=4,
    acting_first=5,
    days=1,
    acted=arms(40, 0),
    proofs=arms(0, 3),
    pings=500,
    heartbeats=1000.0,
    period=PERIOD,
    epoch=EPOCH,
)
TIGHT = pytest.approx


@pytest.fixture
def said() -> GateAnswer:
    return judge(evidence(FEW, failures=2, quarantines=1, expired_rules=("a", "b")), TARGETS)


def test_the_answer_says_what_it_is_about(said: GateAnswer) -> None:
    assert said.verdict is GateVerdict.NOT_READY
    assert said.eta is None
    whole = said.as_dict()
    assert json.loads(json.dumps(whole["inputs"])) == {
        "now": NOW / 1e6,
        "period_start": (NOW - 5 * DAY) / 1e6,
        "period_end": NOW / 1e6,
        "epoch_start": (NOW - 5 * DAY) / 1e6,
        "kinds": ["app"],
    }
    assert whole["answer"] == "not_ready"
    assert whole["eta"] is None
    assert [each["name"] for each in whole["conditions"]] == [
        "period",
        "failures",
        "expired_rules",
        "acted",
        "users",
        "timeouts",
        "days",
        "agreement",
        "coverage",
        "returns",
        "proofs_of_life",
        "expected",
    ]
    assert [each.name for each in said.unmet] == [
        "failures",
        "expired_rules",
        "acted",
        "users",
        "timeouts",
        "days",
        "agreement",
        "coverage",
        "returns",
        "proofs_of_life",
        "expected",
    ]


COUNTS = [
    ("period", "met", "at_least", 1, 1, None, {}),
    (
        "failures",
        "failed",
        "at_most",
        0,
        3,
        "the candidate failed 2 times; quarantines: 1",
        {"failures": 2, "quarantines": 1},
    ),
    ("expired_rules", "failed", "at_most", 0, 2, "renew or remove: a, b", {"rules": ["a", "b"]}),
    (
        "acted",
        "open",
        "at_least",
        1,
        0,
        "the candidate never acted on a timeout",
        {"control": 40, "candidate": 0},
    ),
    (
        "users",
        "open",
        "at_least",
        300,
        100,
        "200 more users (7 are being observed)",
        {"unsettled_users": 7},
    ),
    (
        "timeouts",
        "open",
        "at_least",
        300,
        62,
        "238 more timeouts",
        {"matched": 60, "mismatched": 2, "expected": 3, "inconclusive": 4, "acting_first": 5},
    ),
    ("days", "open", "at_least", 3, 1, "2 more days", {}),
]


@pytest.mark.parametrize(
    ("name", "standing", "sense", "target", "figure", "missing", "inputs"), COUNTS
)
def test_a_count_is_its_own_bound(
    said: GateAnswer,
    name: str,
    standing: str,
    sense: str,
    target: int,
    figure: int,
    missing: str | None,
    inputs: dict[str, Any],
) -> None:
    shown = condition(said, name)
    assert (shown.scale, shown.sense, shown.standing) == ("count", sense, standing)
    assert (shown.target, shown.bound, shown.figure) == (target, figure, figure)
    assert shown.interval is None
    assert shown.missing == missing
    assert shown.inputs == inputs
    general = name in ("period", "failures", "expired_rules")
    assert shown.kind is (None if general else Kind.APP)


def test_only_the_days_say_when(said: GateAnswer) -> None:
    """Five days of the seven have gone: three times as many users do not fit into what is left."""
    assert {each.name: each.eta for each in said.conditions if each.eta is not None} == {
        "days": 2 * DAY
    }
    assert condition(said, "days").as_dict()["eta"] == 2 * 86_400.0
    none_yet = judge(evidence(replace(FEW, days=0)), TARGETS)
    assert condition(none_yet, "days").eta is None


def test_agreement(said: GateAnswer) -> None:
    shown = condition(said, "agreement")
    assert (shown.scale, shown.sense, shown.standing) == ("share", "at_least", "open")
    assert (shown.target, shown.figure) == (0.99, 60 / 62)
    # The bound is that of the sample that shows less, here the period's.
    assert shown.bound == TIGHT(lower_bound(PERIOD.agreement, 0.05))
    assert lower_bound(PERIOD.agreement, 0.05) < lower_bound(EPOCH.agreement, 0.05)
    assert shown.interval == wilson(60, 62)
    inputs = shown.inputs
    assert (inputs["matched"], inputs["mismatched"], inputs["min_e_value"]) == (60, 2, 20)
    for name, sample in (("period", PERIOD), ("epoch", EPOCH)):
        shares = sample.agreement
        count = sum(shares.values())
        mean = mean_share(shares)
        assert mean is not None
        assert inputs[name] == {
            "e_value": TIGHT(2.718281828459045 ** log_e_value(shares, 0.99)),
            "observations": count,
            "mean": TIGHT(mean),
            "interval": TIGHT(wilson(mean * count, count)),
            "shares": [[4, 5, shares[4, 5]], [5, 5, shares[5, 5]]],
        }


def test_coverage(said: GateAnswer) -> None:
    shown = condition(said, "coverage")
    assert (shown.scale, shown.sense, shown.standing) == ("share", "at_least", "open")
    assert (shown.target, shown.bound, shown.figure) == (0.99, 0.5, 0.5)
    assert shown.missing == "9000 more heartbeats to judge by"
    assert shown.inputs == {"pings": 500, "heartbeats": 1000.0, "min_heartbeats": 10_000}
    soon = judge(evidence(replace(FEW, heartbeats=8_000.0)), TARGETS)
    assert condition(soon, "coverage").eta == TIGHT(5 * DAY / 4, abs=1)
    for heartbeats, pings, standing in (
        (9_999.0, 9_999, "open"),
        (10_000.0, 9_900, "met"),
        (10_000.0, 9_899, "failed"),
    ):
        some = judge(evidence(replace(FEW, heartbeats=heartbeats, pings=pings)), TARGETS)
        assert condition(some, "coverage").standing == standing


def test_returns(said: GateAnswer) -> None:
    shown = condition(said, "returns")
    assert (shown.scale, shown.sense, shown.standing) == ("share", "at_least", "open")
    # The pair is that of the sample that shows least: the period's bound is the further from its target.
    assert shown.bound == TIGHT(lower_bound(bernoulli(97, 100), 0.025))
    assert shown.target == TIGHT(upper_bound(bernoulli(98, 100), 0.025) - 0.05)
    assert shown.figure == TIGHT(0.97)
    assert shown.interval == TIGHT(wilson(97, 100))
    assert shown.inputs["return_margin"] == 0.05
    assert shown.inputs["outcomes"] == {
        str(role): {"returned": 2300, "lost": 46, "replaced": 3} for role in Role
    }
    control = shown.inputs["epoch"]["control"]
    assert control["lower"] == TIGHT(lower_bound(bernoulli(198, 200), 0.025))
    assert control["upper"] == TIGHT(upper_bound(bernoulli(198, 200), 0.025))
    assert control["shares"] == [[0, 1, 2], [1, 1, 198]]


def test_proofs_of_life(said: GateAnswer) -> None:
    shown = condition(said, "proofs_of_life")
    assert (shown.scale, shown.sense, shown.standing) == ("share", "at_most", "open")
    # The tighter of the two limits, the worse of the two figures.
    assert shown.target == TIGHT(upper_bound(bernoulli(0, 90), 0.025))
    assert shown.bound == TIGHT(9 / 90)
    assert shown.figure == TIGHT(3 / 50)
    assert shown.interval == TIGHT(wilson(3, 50))
    assert shown.inputs["proofs"] == {"control": 0, "candidate": 3}


def test_proofs_of_life_must_be_few_in_both_samples() -> None:
    """The period shows none; that does not excuse the whole trial."""
    good = replace(PERIOD, proofs=arms(bernoulli(0, 50), bernoulli(0, 50)))
    shown = condition(judge(evidence(replace(FEW, period=good)), TARGETS), "proofs_of_life")
    assert shown.standing == "open"
    swapped = replace(FEW, period=replace(PERIOD), epoch=good)
    assert upper_bound(bernoulli(0, 50), 0.025) > 3 / 50
    assert condition(judge(evidence(swapped), TARGETS), "proofs_of_life").standing == "met"


def test_expected(said: GateAnswer) -> None:
    shown = condition(said, "expected")
    assert (shown.scale, shown.sense, shown.standing) == ("share", "at_most", "open")
    assert (shown.target, shown.bound, shown.figure) == (0.1, 3 / 5, 3 / 5)
    assert shown.interval == wilson(3, 5)
    assert shown.missing == "3 of 5 mismatches are explained by rules"
    assert shown.inputs == {"expected": 3, "mismatched": 2}
    at_limit = judge(evidence(replace(FEW, expected=1, mismatched=9)), TARGETS)
    assert condition(at_limit, "expected").standing == "met"


def test_without_timeouts_nothing_is_computed_from_them() -> None:
    nothing = judge(evidence(KindEvidence(Kind.GLASSES)), TARGETS)
    agreement = condition(nothing, "agreement")
    assert (agreement.figure, agreement.interval) == (None, None)
    assert agreement.missing == "no user's observation is final yet"
    assert condition(nothing, "expected").missing == "no timeouts"
    assert condition(nothing, "proofs_of_life").bound is None
    assert condition(nothing, "coverage").missing == "10000 more heartbeats to judge by"
    one = judge(evidence(KindEvidence(Kind.GLASSES, matched=1)), TARGETS)
    assert condition(one, "agreement").figure == 1
    assert condition(one, "expected").standing == "met"


def test_evidence_is_empty_unless_something_is_said() -> None:
    empty: Any = {"agreement": {}, "returns": {}, "proofs": {}}
    assert asdict(KindEvidence(Kind.APP)) == {
        "kind": "app",
        "period": empty,
        "epoch": empty,
        "matched": 0,
        "mismatched": 0,
        "expected": 0,
        "inconclusive": 0,
        "acting_first": 0,
        "users": 0,
        "unsettled_users": 0,
        "days": 0,
        "acted": {},
        "proofs": {},
        "outcomes": {},
        "pings": 0,
        "heartbeats": 0.0,
    }
    assert asdict(Evidence(NOW)) == {
        "now": NOW,
        "period_start": None,
        "period_end": None,
        "epoch_start": None,
        "kinds": (),
        "failures": 0,
        "quarantines": 0,
        "expired_rules": (),
    }
    assert Evidence(NOW, period_start=3, period_end=10).span == 7
    assert Evidence(NOW, period_start=3).span == Evidence(NOW, period_end=3).span == 0
    assert KindEvidence(Kind.APP, matched=3, mismatched=4).timeouts == 7


def test_a_wait_fits_into_the_period_or_is_not_said() -> None:
    """250 of 300 users in two days: the rest takes 0.4 days."""
    whole = evidence(replace(APP, users=250), period_start=NOW - 2 * DAY)
    assert condition(judge(whole, TARGETS), "users").eta == TIGHT(0.4 * DAY, abs=1)
    for users, eta in ((86, 2 * DAY * 214 / 86), (85, None)):  # 7 d hold just as many as 300 / 3.5
        whole = evidence(replace(APP, users=users), period_start=NOW - 2 * DAY)
        found = condition(judge(whole, TARGETS), "users").eta
        assert found == (None if eta is None else TIGHT(eta, abs=1))


@pytest.mark.parametrize("needed", [1.001, 1.5, 2.0, 2.5, 3.9, 5.0, 100.0, 1023.0])
def test_how_much_more_data_it_takes_is_found_to_a_thousandth(needed: float) -> None:
    found = _growth(lambda factor: factor >= needed)
    assert found is not None
    assert needed <= found <= max(needed, 1.0) * 1.002


def test_beyond_a_thousand_times_the_data_nothing_is_said() -> None:
    assert _growth(lambda factor: factor >= 1025.0) is None
    assert _growth(lambda factor: False) is None


def test_returns_that_twice_the_data_would_show_are_not_shown() -> None:
    """The estimate says how much is missing; with that much more they are."""

    def standing(users: int) -> str:
        arm = bernoulli(users * 98 // 100, users)
        sample = Sample(returns=arms(arm, arm))
        kind = replace(APP, period=replace(APP.period, returns=sample.returns))
        kind = replace(kind, epoch=kind.period)
        return condition(judge(evidence(kind), TARGETS), "returns").standing

    def shown(users: int) -> bool:
        arm = bernoulli(users * 98 // 100, users)
        return lower_bound(arm, 0.025) > upper_bound(arm, 0.025) - 0.05

    enough = next(users for users in range(100, 5_000, 50) if shown(users))
    assert standing(enough * 3 // 5) == "open"
    assert standing(enough + 100) == "met"

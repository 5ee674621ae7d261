"""R13: the rules that explain a mismatch."""

from dataclasses import dataclass
from datetime import date

import pytest

from shim.compare.expected_rules import ExpectedRule, ExpectedRules
from shim.model import Kind, Verdict, VerdictKind, VerdictName
from tests.compare.compared import C1, CANDIDATE, CONTROL, GLASSES, S, comparator, decide, skewed_by
from tests.compare.silent import Silent

LAST_DAY = date(2027, 1, 31)


def rule(name: str = "known", **conditions: object) -> ExpectedRule:
    return ExpectedRule(name, "a test", LAST_DAY, **conditions)  # type: ignore[arg-type]


@dataclass
class Explained:
    rule: ExpectedRule
    mismatch: str
    explained: bool


@pytest.mark.parametrize(
    "case",
    [
        Explained(rule(), "skewed", True),  # it asks for nothing
        Explained(rule(kind=VerdictKind.SKEWED), "skewed", True),
        Explained(rule(kind=VerdictKind.ONLY_CONTROL), "skewed", False),
        Explained(rule(kind=VerdictKind.ERROR), "error", True),
        Explained(rule(recovered=False), "skewed", True),
        Explained(rule(recovered=True), "skewed", False),
        Explained(rule(recovered=True), "recovered", True),
        Explained(rule(recovered=False), "recovered", False),
        Explained(rule(connection_kind=Kind.APP), "skewed", True),
        Explained(rule(connection_kind=Kind.GLASSES), "skewed", False),
        Explained(rule(skew=(-20 * S, -20 * S)), "skewed", True),  # inclusive at both ends
        Explained(rule(skew=(-20 * S, 0)), "skewed", True),
        Explained(rule(skew=(-30 * S, -20 * S)), "skewed", True),
        Explained(rule(skew=(-20 * S + 1, 0)), "skewed", False),
        Explained(rule(skew=(-30 * S, -20 * S - 1)), "skewed", False),
        Explained(rule(skew=(-999 * S, 999 * S)), "recovered", False),  # there is no skew
        Explained(rule(skew=(-999 * S, 999 * S)), "error", False),
        Explained(rule(package="com.example.*"), "skewed", True),
        Explained(rule(package="com.example.app2"), "skewed", False),
        Explained(rule(package="COM.EXAMPLE.*"), "skewed", False),
        Explained(rule(kind=VerdictKind.SKEWED, recovered=True), "skewed", False),  # all of it
    ],
)
def test_r13_a_mismatch_that_satisfies_a_rule_is_expected(case: Explained) -> None:
    compared = comparator(case.rule, today=LAST_DAY)
    answer: Verdict | None
    if case.mismatch == "skewed":
        answer = skewed_by(compared, -20)
    elif case.mismatch == "recovered":
        decide(compared, CONTROL, 45)
        answer = compared.sign_of_life("c1", 50 * S)
    else:
        answer = compared.failed(Silent(C1), 50 * S)
    assert answer is not None
    wanted = (VerdictName.EXPECTED, "known") if case.explained else (VerdictName.MISMATCHED, None)
    assert (answer.name, answer.rule) == wanted
    assert case.rule.explains(answer) is case.explained


def test_r13_a_package_is_never_true_of_glasses() -> None:
    answer = skewed_by(comparator(rule(package="*")), -20, GLASSES)
    assert answer.name is VerdictName.MISMATCHED


def test_r13_windows_that_pass_are_explained_too() -> None:
    compared = comparator(rule(kind=VerdictKind.ONLY_CANDIDATE, recovered=False))
    decide(compared, CANDIDATE, 45)
    (answer,) = compared.expire(200 * S)
    assert (answer.name, answer.rule) == (VerdictName.EXPECTED, "known")


def test_r13_only_mismatches_are_explained() -> None:
    compared = comparator(rule())
    matched = skewed_by(compared, 0)
    assert (matched.name, matched.rule) == (VerdictName.MATCHED, None)
    decide(compared, CONTROL, 45, GLASSES)
    inconclusive = compared.closed("c2", 46 * S)
    assert inconclusive is not None
    assert (inconclusive.name, inconclusive.rule) == (VerdictName.INCONCLUSIVE, None)


def test_r13_the_first_rule_that_explains_it_is_counted() -> None:
    answer = skewed_by(comparator(rule("other", recovered=True), rule("a"), rule("b")), -20)
    assert answer.rule == "a"


@pytest.mark.parametrize(
    ("today", "explained"),
    [
        (None, True),
        (date(2026, 6, 1), True),
        (date(2027, 1, 31), True),  # the last day, inclusive
        (date(2027, 2, 1), False),
    ],
)
def test_r13_an_expired_rule_matches_nothing_and_is_reported(
    today: date | None, explained: bool
) -> None:
    known = rule()
    compared = comparator(known, today=today)
    answer = skewed_by(compared, -20)
    assert answer.name is (VerdictName.EXPECTED if explained else VerdictName.MISMATCHED)
    assert compared.expected.expired == (() if explained else (known,))


def test_r13_a_rule_expires_while_the_process_runs() -> None:
    compared = comparator(rule(), today=LAST_DAY)
    assert skewed_by(compared, -20).name is VerdictName.EXPECTED
    compared.forget("c1")
    compared.expected.today = date(2027, 2, 1)
    assert skewed_by(compared, -20).name is VerdictName.MISMATCHED
    assert [expired.name for expired in compared.expected.expired] == ["known"]


def test_rules_know_the_day_on_which_they_are_judged() -> None:
    day = date(2026, 11, 27)
    assert ExpectedRules((), day).today == day
    assert ExpectedRules().today is None

"""R7-R13: every input of the comparator in every state, and the rules that explain a mismatch."""

from dataclasses import dataclass
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.compare.comparator import Comparator
from shim.compare.expected_rules import ExpectedRule, ExpectedRules
from shim.model import (
    SECOND,
    Connection,
    Kind,
    LateDecision,
    Role,
    Time,
    Verdict,
    VerdictKind,
    VerdictName,
)
from tests.compare.silent import Silent

S = SECOND
CONTROL, CANDIDATE = Role.CONTROL, Role.CANDIDATE
ONLY = {CONTROL: VerdictKind.ONLY_CONTROL, CANDIDATE: VerdictKind.ONLY_CANDIDATE}
C1 = Connection("c1", Kind.APP, "u1", "s1", "com.example.app1")
GLASSES = Connection("c2", Kind.GLASSES, "u1", "s1")
Answer = Verdict | LateDecision | None


def comparator(*rules: ExpectedRule, today: date | None = None) -> Comparator:
    return Comparator(tolerance=16 * S, window=60 * S, expected=ExpectedRules(rules, today))


def decide(
    compared: Comparator, role: Role, at: Time, connection: Connection = C1, since: Time = 0
) -> Answer:
    return compared.decided(Silent(connection, last_activity=since * S), role, at * S)


def verdict(answer: Answer) -> tuple[str, str, float, bool]:
    assert isinstance(answer, Verdict)
    return (answer.name.value, answer.kind.value, answer.at / S, answer.recovered)


def nothing_is_left(compared: Comparator) -> None:
    assert compared.open_episodes == 0
    assert compared.next_window is None
    assert list(compared.expire(10**15)) == []
    assert list(compared.shutdown(10**15)) == []


# -- Quiet -------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", Role)
def test_r7_quiet_a_decision_opens_an_episode(role: Role) -> None:
    compared = comparator()
    assert decide(compared, role, 45) is None
    assert compared.open_episodes == 1
    assert compared.next_window == 105 * S


def test_r9_r10_r11_quiet_nothing_comes_of_anything_else() -> None:
    compared = comparator()
    assert compared.sign_of_life("c1", 1) is None
    assert list(compared.expire(2)) == []
    assert compared.handed_over("c1", 3) is None
    assert compared.closed("c1", 4) is None
    assert list(compared.shutdown(5)) == []
    nothing_is_left(compared)


def test_r11_quiet_a_handover_does_not_judge_the_silence() -> None:
    compared = comparator()
    compared.handed_over("c1", 1)
    decide(compared, CANDIDATE, 45)
    assert verdict(decide(compared, CONTROL, 60)) == ("matched", "both", 60, False)


def test_r12_quiet_an_error_is_a_verdict_and_the_silence_is_judged() -> None:
    compared = comparator()
    answer = compared.failed(Silent(C1, 7, 3 * S), 20 * S)
    assert verdict(answer) == ("mismatched", "error", 20, False)
    assert answer is not None
    assert (answer.first, answer.control_at, answer.candidate_at) == (None, None, None)
    assert (answer.order, answer.last_activity, answer.acting) == (7, 3 * S, CONTROL)
    assert compared.next_window is None
    assert isinstance(decide(compared, CONTROL, 60), LateDecision)
    nothing_is_left(compared)


# -- Open --------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", Role)
@pytest.mark.parametrize(
    ("skew", "expected"),
    [(0, "both"), (15, "both"), (16, "both"), (16.000001, "skewed"), (60, "skewed")],
)
def test_r8_open_the_others_decision_is_a_match_within_the_tolerance(
    first: Role, skew: float, expected: str
) -> None:
    compared = comparator()
    compared.decided(Silent(C1, 3, 1 * S, CANDIDATE), first, 45 * S)
    second = 45 * S + round(skew * S)
    answer = compared.decided(Silent(C1, 3, 1 * S), first.other, second)
    assert isinstance(answer, Verdict)
    assert answer.kind.value == expected
    assert answer.name.value == ("matched" if expected == "both" else "mismatched")
    assert (answer.at, answer.first, answer.recovered) == (second, first, False)
    sign = 1 if first is CANDIDATE else -1  # control minus candidate
    assert answer.skew == sign * round(skew * S)
    assert (answer.order, answer.last_activity) == (3, 1 * S)
    assert answer.acting is CANDIDATE  # who acted when the episode was opened
    nothing_is_left(compared)


def test_r8_the_second_decision_is_in_time_at_the_windows_end_and_not_after_it() -> None:
    for late in (0, 1):
        compared = comparator()
        decide(compared, CANDIDATE, 45)
        now = 105 * S + late
        ended = [verdict(v) for v in compared.expire(now)]
        answer = compared.decided(Silent(C1), CONTROL, now)
        if late:
            assert ended == [("mismatched", "only_candidate", 105, False)]
            assert isinstance(answer, LateDecision)
        else:
            assert ended == []
            assert verdict(answer) == ("mismatched", "skewed", 105, False)


@pytest.mark.parametrize("role", Role)
def test_r7_open_a_second_decision_of_the_same_monitor_is_late(role: Role) -> None:
    compared = comparator()
    decide(compared, role, 45)
    assert decide(compared, role, 50) == LateDecision(C1, role, 50 * S, CONTROL)
    assert compared.open_episodes == 1
    assert verdict(decide(compared, role.other, 55))[:2] == ("matched", "both")


@pytest.mark.parametrize("role", Role)
def test_r9_open_a_sign_of_life_proves_the_decision_wrong(role: Role) -> None:
    compared = comparator()
    decide(compared, role, 45)
    answer = compared.sign_of_life("c1", 50 * S)
    assert verdict(answer) == ("mismatched", ONLY[role].value, 50, True)
    assert answer is not None
    assert (answer.first, answer.skew) == (role, None)
    nothing_is_left(compared)
    assert decide(compared, role.other, 95, since=50) is None  # a new silence, quiet until here
    assert compared.open_episodes == 1


@pytest.mark.parametrize("role", Role)
def test_r10_open_the_window_passes_at_its_own_end(role: Role) -> None:
    compared = comparator()
    decide(compared, role, 45)
    assert list(compared.expire(105 * S - 1, inclusive=True)) == []
    assert list(compared.expire(105 * S)) == []  # what happens then is still in time
    (answer,) = compared.expire(400 * S)
    assert verdict(answer) == ("mismatched", ONLY[role].value, 105, False)
    nothing_is_left(compared)


def test_r10_windows_come_last_in_their_instant() -> None:
    compared = comparator()
    decide(compared, CANDIDATE, 45)
    (answer,) = compared.expire(105 * S, inclusive=True)
    assert verdict(answer) == ("mismatched", "only_candidate", 105, False)


def test_r10_windows_end_in_order_and_next_window_skips_what_is_judged() -> None:
    compared = comparator()
    decide(compared, CANDIDATE, 40, C1)
    decide(compared, CANDIDATE, 45, GLASSES)
    decide(compared, CONTROL, 46, C1)
    assert compared.next_window == 105 * S
    third = Connection("c3", Kind.GLASSES, "u3", "s3")
    decide(compared, CONTROL, 50, third)
    ended = [(v.connection.id, v.at // S) for v in compared.expire(1000 * S)]
    assert ended == [("c2", 105), ("c3", 110)]


@pytest.mark.parametrize("role", Role)
def test_r11_open_a_close_leaves_it_inconclusive(role: Role) -> None:
    compared = comparator()
    decide(compared, role, 45)
    assert verdict(compared.closed("c1", 50 * S)) == ("inconclusive", "closed", 50, False)
    nothing_is_left(compared)


@pytest.mark.parametrize("role", Role)
def test_r11_open_a_handover_leaves_it_inconclusive_and_judged(role: Role) -> None:
    compared = comparator()
    decide(compared, role, 45)
    assert verdict(compared.handed_over("c1", 50 * S)) == ("inconclusive", "handover", 50, False)
    assert isinstance(decide(compared, role.other, 60), LateDecision)
    assert isinstance(decide(compared, role, 61), LateDecision)
    nothing_is_left(compared)


@pytest.mark.parametrize("role", Role)
def test_r11_open_a_shutdown_leaves_it_inconclusive(role: Role) -> None:
    compared = comparator()
    decide(compared, role, 45)
    decide(compared, role, 46, GLASSES)
    answers = [verdict(v) for v in compared.shutdown(50 * S)]
    assert answers == [("inconclusive", "shutdown", 50, False)] * 2
    nothing_is_left(compared)


@pytest.mark.parametrize("role", Role)
def test_r12_open_an_error_ends_the_episode(role: Role) -> None:
    compared = comparator()
    decide(compared, role, 45)
    answer = compared.failed(Silent(C1), 50 * S)
    assert verdict(answer) == ("mismatched", "error", 50, False)
    assert answer is not None
    assert answer.first is role  # what is known of the decisions is kept
    assert isinstance(decide(compared, role.other, 60), LateDecision)
    nothing_is_left(compared)


# -- Judged ------------------------------------------------------------------------------------


def by_match(compared: Comparator) -> None:
    decide(compared, CANDIDATE, 45)
    decide(compared, CONTROL, 46)


def by_window(compared: Comparator) -> None:
    decide(compared, CANDIDATE, 45)
    list(compared.expire(106 * S))


def by_handover(compared: Comparator) -> None:
    decide(compared, CANDIDATE, 45)
    compared.handed_over("c1", 46 * S)


def by_error(compared: Comparator) -> None:
    compared.failed(Silent(C1), 46 * S)


@pytest.mark.parametrize("judge", [by_match, by_window, by_handover, by_error])
class TestR7Judged:
    """One silence has at most one verdict; what follows is late, or a new silence."""

    def test_r7_decisions_are_late(self, judge) -> None:  # type: ignore[no-untyped-def]
        compared = comparator()
        judge(compared)
        for role in Role:
            assert decide(compared, role, 110) == LateDecision(C1, role, 110 * S, CONTROL)
        nothing_is_left(compared)

    def test_r7_nothing_else_is_a_second_verdict(self, judge) -> None:  # type: ignore[no-untyped-def]
        compared = comparator()
        judge(compared)
        assert list(compared.expire(999 * S, inclusive=True)) == []
        assert compared.handed_over("c1", 999 * S) is None
        assert compared.failed(Silent(C1), 999 * S) is None
        assert list(compared.shutdown(999 * S)) == []

    def test_r7_a_sign_of_life_begins_a_new_silence(self, judge) -> None:  # type: ignore[no-untyped-def]
        compared = comparator()
        judge(compared)
        assert compared.sign_of_life("c1", 110 * S) is None
        assert decide(compared, CONTROL, 200, since=110) is None
        answer = decide(compared, CANDIDATE, 200, since=110)
        assert verdict(answer) == ("matched", "both", 200, False)
        assert isinstance(answer, Verdict)
        assert (answer.first, answer.last_activity) == (CONTROL, 110 * S)

    def test_r7_a_close_or_letting_go_forgets_it(self, judge) -> None:  # type: ignore[no-untyped-def]
        for gone in ("closed", "forget"):
            compared = comparator()
            judge(compared)
            if gone == "closed":
                assert compared.closed("c1", 110 * S) is None
            else:
                compared.forget("c1")
            nothing_is_left(compared)
            assert decide(compared, CONTROL, 200) is None  # the id is a new connection's


def test_r7_connections_have_nothing_to_do_with_each_other() -> None:
    compared = comparator()
    decide(compared, CANDIDATE, 45, C1)
    decide(compared, CONTROL, 46, GLASSES)
    assert compared.open_episodes == 2
    answer = decide(compared, CONTROL, 50, C1)
    assert isinstance(answer, Verdict)
    assert answer.connection is C1
    assert compared.open_episodes == 1


# -- R13 ---------------------------------------------------------------------------------------

LAST_DAY = date(2027, 1, 31)


def rule(name: str = "known", **conditions: object) -> ExpectedRule:
    return ExpectedRule(name, "a test", LAST_DAY, **conditions)  # type: ignore[arg-type]


def skewed_by(compared: Comparator, skew: float, connection: Connection = C1) -> Verdict:
    compared.decided(Silent(connection), CONTROL, 200 * S + round(skew * S))
    answer = compared.decided(Silent(connection), CANDIDATE, 200 * S)
    assert isinstance(answer, Verdict)
    return answer


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


# -- All together ------------------------------------------------------------------------------

INPUTS = st.sampled_from(
    ["control", "candidate", "life", "closed", "handover", "failed", "expire", "shutdown"]
)


@given(st.lists(st.tuples(INPUTS, st.sampled_from([0, 1, 30, 60, 61]), st.booleans()), max_size=40))
def test_r7_r13_one_silence_has_at_most_one_verdict(inputs: list[tuple[str, int, bool]]) -> None:
    compared = comparator()
    now = 0
    silence = {"c1": 0, "c2": 0}
    judged: dict[tuple[str, int], Verdict] = {}
    decided: dict[tuple[str, int], set[Role]] = {}

    def keep(answer: Answer) -> None:
        if isinstance(answer, Verdict):
            key = (answer.connection.id, answer.last_activity)
            assert key not in judged, "a second verdict"
            judged[key] = answer
            assert answer.at <= now
            names = [name for name in Role if getattr(answer, f"{name}_at") is not None]
            assert set(names) == decided.get(key, set())

    for step, (what, seconds, second) in enumerate(inputs):
        now += seconds * S
        connection = GLASSES if second else C1
        id = connection.id
        for verdict in compared.expire(now):
            keep(verdict)
        key = (id, silence[id])
        if what in ("control", "candidate"):
            role = Role(what)
            if key not in judged and role not in decided.get(key, set()):
                decided.setdefault(key, set()).add(role)
            keep(compared.decided(Silent(connection, last_activity=silence[id]), role, now))
        elif what == "failed":
            answer = compared.failed(Silent(connection, last_activity=silence[id]), now)
            assert (answer is None) == (key in judged)
            keep(answer)
        elif what == "handover":
            keep(compared.handed_over(id, now))
        elif what == "expire":
            for verdict in compared.expire(now, inclusive=True):
                keep(verdict)
        elif what == "shutdown":
            for verdict in compared.shutdown(now):
                keep(verdict)
            break
        else:
            ended = compared.sign_of_life if what == "life" else compared.closed
            keep(ended(id, now))
            silence[id] = now + step + 1  # another silence, or another connection of that id
    else:
        now += 10**12
        for verdict in compared.shutdown(now):
            keep(verdict)
    assert set(judged) >= set(decided)
    nothing_is_left(compared)


# -- What is open ------------------------------------------------------------------------------


def test_an_episode_is_open_from_its_first_decision_to_its_verdict() -> None:
    compared = comparator()
    assert not compared.is_open("c1")
    decide(compared, CANDIDATE, 45)
    assert compared.is_open("c1")
    assert not compared.is_open("c2")
    decide(compared, CONTROL, 60)
    assert not compared.is_open("c1")
    compared.sign_of_life("c1", 61 * S)
    assert not compared.is_open("c1")


def test_an_error_opens_nothing() -> None:
    compared = comparator()
    compared.failed(Silent(C1), S)
    assert not compared.is_open("c1")
    assert compared.open_episodes == 0
    compared.forget("c1")
    decide(compared, CONTROL, 60)
    assert compared.is_open("c1")


def test_rules_know_the_day_on_which_they_are_judged() -> None:
    day = date(2026, 11, 27)
    assert ExpectedRules((), day).today == day
    assert ExpectedRules().today is None

"""R7-R12: every input of the comparator in every state."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.compare.comparator import Comparator
from shim.model import Connection, Kind, LateDecision, Role, Verdict
from tests.compare.compared import (
    C1,
    CANDIDATE,
    CONTROL,
    GLASSES,
    ONLY,
    Answer,
    S,
    comparator,
    decide,
    nothing_is_left,
    verdict,
)
from tests.compare.silent import Silent


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
        for passed in compared.expire(now):
            keep(passed)
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
            for passed in compared.expire(now, inclusive=True):
                keep(passed)
        elif what == "shutdown":
            for passed in compared.shutdown(now):
                keep(passed)
            break
        else:
            ended = compared.sign_of_life if what == "life" else compared.closed
            keep(ended(id, now))
            silence[id] = now + step + 1  # another silence, or another connection of that id
    else:
        now += 10**12
        for passed in compared.shutdown(now):
            keep(passed)
    assert set(judged) >= set(decided)
    nothing_is_left(compared)


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

"""A comparator of two connections, asked and answered in seconds."""

from datetime import date

from shim.compare.comparator import Comparator
from shim.compare.expected_rules import ExpectedRule, ExpectedRules
from shim.model import SECOND, Connection, Kind, LateDecision, Role, Time, Verdict, VerdictKind
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


def skewed_by(compared: Comparator, skew: float, connection: Connection = C1) -> Verdict:
    compared.decided(Silent(connection), CONTROL, 200 * S + round(skew * S))
    answer = compared.decided(Silent(connection), CANDIDATE, 200 * S)
    assert isinstance(answer, Verdict)
    return answer

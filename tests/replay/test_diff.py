"""Two settings on one capture: what each says alone, and which verdicts differ."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shim.model import SECOND, Role
from shim.replay.replay_engine import Replay, feed_all
from shim.replay.result_diff import difference
from tests.oracle.captures import Case, cases
from tests.oracle.replay_oracle import OracleSettings
from tests.replay.helpers import decode, replay, replay_settings

OTHERS = st.builds(
    OracleSettings,
    candidate_timeout=st.sampled_from([30 * SECOND, 44 * SECOND, 45 * SECOND, 90 * SECOND]),
    tolerance=st.sampled_from([0, 10 * SECOND, 16 * SECOND]),
    window=st.sampled_from([5 * SECOND, 60 * SECOND]),
)
SAME = ("verdict", "kind", "recovered")


def silence(row: dict[str, Any]) -> tuple[str, float]:
    return row["connection"], row["last_activity"]


@settings(max_examples=200, deadline=None)
@given(cases(), OTHERS)
def test_the_difference_is_that_of_two_replays(case: Case, other: OracleSettings) -> None:
    acting = None if case.acting == "none" else Role(case.acting)
    a, b = (Replay(replay_settings(which), acting) for which in (case.settings, other))
    feed_all([a.feed, b.feed], decode(case.events))
    alone = [replay(case.events, which, case.acting) for which in (case.settings, other)]
    assert [a.result.as_dict(), b.result.as_dict()] == alone
    found = difference(a.result, b.result).as_dict()
    in_a, in_b = ({silence(row): row for row in answer["verdicts"]} for answer in alone)
    both = in_a.keys() & in_b.keys()
    changed = {key for key in both if [in_a[key][n] for n in SAME] != [in_b[key][n] for n in SAME]}
    assert {silence(row) for row in found["only_a"]} == in_a.keys() - both
    assert {silence(row) for row in found["only_b"]} == in_b.keys() - both
    assert {silence(pair["a"]) for pair in found["changed"]} == changed
    assert all(in_b[silence(pair["a"])] == pair["b"] for pair in found["changed"])
    times = ("at", "control_at", "candidate_at")
    unchanged = [k for k in both - changed if all(in_a[k][n] == in_b[k][n] for n in times)]
    assert found["unchanged"] == len(unchanged)
    assert found["moved"] == len(both) - len(changed) - len(unchanged)


def test_what_if_the_timeout_were_30_s() -> None:
    who = {"user": "u", "session": "s", "kind": "glasses"}
    events: list[dict[str, Any]] = [
        {"t": 0, "event": "open", "connection": "back", **who},
        {"t": 0, "event": "open", "connection": "gone", **who},
        {"t": 0, "event": "open", "connection": "late", **who},
        {"t": 35, "event": "message", "connection": "back"},
        {"t": 50, "event": "message", "connection": "late"},
        {"t": 60, "event": "close", "connection": "back"},
        {"t": 61, "event": "close", "connection": "late"},
        {"t": 200, "event": "end"},
    ]
    a = Replay(replay_settings(), Role.CONTROL)
    b = Replay(replay_settings(OracleSettings(candidate_timeout=30 * SECOND)), Role.CONTROL)
    feed_all([a.feed, b.feed], decode(events))
    found = difference(a.result, b.result)
    assert (found.unchanged, found.moved, found.only_a) == (0, 1, ())
    ((was, now),) = found.changed
    assert (was.connection.id, was.kind, now.kind) == ("gone", "both", "skewed")
    (verdict,) = found.only_b
    assert (verdict.connection.id, verdict.kind, verdict.recovered) == (
        "back",
        "only_candidate",
        True,
    )

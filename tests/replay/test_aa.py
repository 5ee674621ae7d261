"""A/A runs: one plugin in both roles measures the noise of the comparison itself: there is none."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shim.model import MonitorType
from shim.replay.replay_engine import ReplaySettings
from shim_legacy_global import LegacyGlobal, LegacySettings
from shim_per_session import PerSession, PerSessionSettings
from tests.oracle.captures import ACTING, Event, captures
from tests.oracle.replay_oracle import OracleSettings
from tests.replay.helpers import replay, replay_settings

Side = tuple[MonitorType, Any]

PER_SESSION: Side = (PerSession(), PerSessionSettings())
LEGACY: Side = (LegacyGlobal(), LegacySettings())


def both(control: Side, candidate: Side) -> ReplaySettings:
    return replay_settings(control=control, candidate=candidate)


def without(events: list[Event], *kinds: str) -> list[Event]:
    return [event for event in events if event["event"] not in kinds]


def no_mismatch(answer: dict[str, Any]) -> None:
    assert answer["summary"]["mismatched"] == answer["summary"]["expected"] == 0
    for verdict in answer["verdicts"]:
        assert verdict["verdict"] in ("matched", "inconclusive")
        if verdict["verdict"] == "matched":
            assert (verdict["skew"], verdict["first"]) == (0, "control")


CAPTURES = captures(OracleSettings(), max_moves=40)


@settings(max_examples=300, deadline=None)
@given(CAPTURES, ACTING)
def test_r8_per_session_agrees_with_itself(events: list[Event], acting: str) -> None:
    no_mismatch(replay(without(events, "stall"), both(PER_SESSION, PER_SESSION), acting))


@settings(max_examples=300, deadline=None)
@given(CAPTURES, ACTING)
def test_r8_legacy_global_agrees_with_itself(events: list[Event], acting: str) -> None:
    no_mismatch(replay(without(events, "stall"), both(LEGACY, LEGACY), acting))


@settings(max_examples=200, deadline=None)
@given(CAPTURES, ACTING, st.sampled_from([(PER_SESSION, LEGACY), (PER_SESSION, PER_SESSION)]))
def test_r5_any_plugin_takes_either_role(
    events: list[Event], acting: str, sides: tuple[Side, Side]
) -> None:
    answer = replay(events, both(*sides), acting)  # which asserts that nothing failed
    assert answer["summary"]["connections"] == sum(e["event"] == "open" for e in events)


@pytest.mark.parametrize("acting", ["control", "candidate", "none"])
def test_r8_an_aa_run_is_no_run_without_decisions(acting: str) -> None:
    events = [
        {
            "t": 0,
            "event": "open",
            "connection": "c1",
            "user": "u",
            "session": "s",
            "kind": "glasses",
        },
        {"t": 400, "event": "end"},
    ]
    for side, at in ((PER_SESSION, 45), (LEGACY, 60)):
        answer = replay(events, both(side, side), acting)
        no_mismatch(answer)
        assert [v["at"] for v in answer["verdicts"]] == [at]


def test_r8_swapped_roles_swap_the_skew() -> None:
    events = [
        {
            "t": 0,
            "event": "open",
            "connection": "c1",
            "user": "u",
            "session": "s",
            "kind": "glasses",
        },
        {"t": 400, "event": "end"},
    ]
    (there,) = replay(events, both(LEGACY, PER_SESSION), "none")["verdicts"]
    (back,) = replay(events, both(PER_SESSION, LEGACY), "none")["verdicts"]
    assert (there["skew"], back["skew"]) == (15, -15)
    assert (there["first"], back["first"]) == ("candidate", "control")


def test_sessions_in_the_control_role_are_acted_on_by_deadline_then_by_opening() -> None:
    """Whichever session beats first: the younger connection is open yet when the older is closed."""
    for sessions in (("s0", "s1"), ("s1", "s0")):
        opened = [
            {"t": at, "event": "open", "connection": f"c{at}", "user": "u", "session": session}
            | {"kind": "glasses"}
            for at, session in zip((0, 20), sessions, strict=True)
        ]
        alive = [
            {"t": 30, "event": "message", "connection": "c20"},
            {"t": 30, "event": "data", "connection": "c0"},
        ]
        answer = replay(
            [*opened, *alive, {"t": 600, "event": "end"}],
            both(PER_SESSION, PER_SESSION),
        )
        assert answer["outcomes"]["control"] == {
            "acted": 2,
            "returned": 0,
            "lost": 1,
            "replaced": 1,
            "censored": 0,
        }

"""The replay against a function of the whole event log, written from the rules alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle.captures import ACTING, Case, captures, cases
from tests.oracle.replay_oracle import OracleSettings, judge
from tests.replay.helpers import replay


# On a machine that does much else it takes minutes; a timeout in the midst of coverage's lock hangs for ever.
@pytest.mark.timeout(600)
@settings(max_examples=1000, deadline=None)
@given(cases())
def test_every_capture_is_judged_as_the_rules_say(case: Case) -> None:
    answer = replay(case.events, case.settings, case.acting)
    assert answer == judge(case.events, case.settings, case.acting)


@settings(max_examples=500, deadline=None)
@given(captures(OracleSettings(), max_moves=40), ACTING)
def test_long_captures_with_the_default_settings(
    events: list[dict[str, object]], acting: str
) -> None:
    assert replay(events, acting=acting) == judge(events, OracleSettings(), acting)


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_the_same_capture_gives_the_same_answer(data: st.DataObject) -> None:
    case = data.draw(cases())
    first = replay(case.events, case.settings, case.acting)
    assert replay(case.events, case.settings, case.acting) == first

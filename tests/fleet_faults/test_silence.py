"""What excuses the closing of a client that answers every ping."""

import pytest

from tests.fleet.standstill import Span
from tests.fleet_faults.silence import Closing

SILENCE = Span(10.0, 13.5)
PAUSE = Span(10.5, 12.0)

both = pytest.mark.parametrize("by_control", [True, False])


@both
def test_a_silence_that_nothing_explains(by_control: bool) -> None:
    closing = Closing("p0", by_control, SILENCE)
    assert not closing.is_owed_to([], [])
    assert not closing.is_owed_to([Span(0.0, 10.2), Span(13.4, 20.0)], [Span(5.0, 9.0)])


def test_a_pause_excuses_the_control_alone() -> None:
    assert Closing("p0", True, SILENCE).is_owed_to([PAUSE], [])
    assert not Closing("p0", False, SILENCE).is_owed_to([PAUSE], [])


@both
def test_a_client_that_gave_its_answer_too_late_was_silent(by_control: bool) -> None:
    assert Closing("p0", by_control, SILENCE).is_owed_to([], [Span(12.0, 13.6)])


@both
def test_a_client_that_was_not_asked_in_time_was_not_late(by_control: bool) -> None:
    assert not Closing("p0", by_control, SILENCE).is_owed_to([], [Span(13.0, 13.6)])


@both
def test_an_answer_that_the_process_did_not_hear_is_no_excuse(by_control: bool) -> None:
    unheard = [Span(10.5, 12.0), Span(12.0, 13.6)]
    assert not Closing("p0", by_control, SILENCE).is_owed_to([], unheard)


def test_an_answer_may_have_come_in_a_pause_that_excuses_the_control() -> None:
    assert Closing("p0", True, SILENCE).is_owed_to([PAUSE], [Span(11.0, 11.1)])
    assert not Closing("p0", False, SILENCE).is_owed_to([PAUSE], [Span(11.0, 11.1)])


def test_what_overlaps_counts_once() -> None:
    long = Closing("p0", True, Span(10.0, 14.5))
    assert not long.is_owed_to([PAUSE, Span(11.0, 12.0)], [PAUSE._replace(until=10.2)])
    assert not long.is_owed_to([PAUSE, Span(11.0, 12.2)], [])
    assert long.is_owed_to([PAUSE, Span(11.0, 12.5)], [])

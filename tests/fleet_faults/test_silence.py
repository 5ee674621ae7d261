"""What excuses the closing of a client that answers every ping."""

import pytest

from tests.fleet.standstill import Span
from tests.fleet_faults.silence import Closing

SILENCE = Span(10.0, 13.5)
PAUSE = Span(10.5, 12.0)


@pytest.mark.parametrize("by_control", [True, False])
def test_a_silence_that_nothing_explains(by_control: bool) -> None:
    closing = Closing("p0", by_control, SILENCE)
    assert not closing.is_owed_to([], [])
    assert not closing.is_owed_to([Span(0.0, 10.2), Span(13.4, 20.0)], [Span(5.0, 9.0)])


def test_a_pause_excuses_the_control_alone() -> None:
    assert Closing("p0", True, SILENCE).is_owed_to([PAUSE], [])
    assert not Closing("p0", False, SILENCE).is_owed_to([PAUSE], [])


@pytest.mark.parametrize("by_control", [True, False])
def test_clients_that_did_not_run_were_silent(by_control: bool) -> None:
    assert Closing("p0", by_control, SILENCE).is_owed_to([], [PAUSE])


def test_what_overlaps_counts_once() -> None:
    long = Closing("p0", True, Span(10.0, 14.5))
    assert not long.is_owed_to([PAUSE, Span(11.0, 12.0)], [PAUSE])
    assert long.is_owed_to([PAUSE], [Span(11.0, 12.5)])

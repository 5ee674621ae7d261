"""Times have six decimals at most: all of these are read exactly, and none with more is rounded."""

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shim.capture.format import Event
from shim.model import Role, Time, seconds
from shim.replay.replay_engine import CaptureError, Replay
from tests.replay.helpers import replay_settings

_LONGEST = 10**15


def stall(duration: str) -> Time:
    """Where a stall of so many seconds from the start on ends."""
    line = f'{{"event": "stall", "t": 0, "duration": {duration}}}'
    replay = Replay(replay_settings(), Role.CONTROL)
    replay.feed([msgspec.json.decode(line, type=Event)])
    assert replay._stall_ends is not None
    return replay._stall_ends


@given(st.integers(0, _LONGEST))
@example(_LONGEST)
@example(_LONGEST - 1)
def test_whole_microseconds_are_read_exactly(time: Time) -> None:
    assert stall(f"{time // 10**6}.{time % 10**6:06}") == time
    assert stall(json.dumps(seconds(time))) == time


@pytest.mark.parametrize(
    "values", [(0.1, 0.2), (0.7, 0.1), (1.1, 2.2), (1e8, 0.1), (0.1,) * 10_000]
)
def test_sums_of_floats_are_what_was_meant(values: tuple[float, ...]) -> None:
    assert stall(json.dumps(sum(values))) == sum(round(value * 1e6) for value in values)


@given(st.integers(0, 10**14 - 1), st.integers(1, 999))
def test_more_decimals_are_refused(time: Time, nanoseconds: int) -> None:
    # Up to three years: then floats are coarser than a tenth of a microsecond.
    digits = "1" if time >= 10**12 else f"{nanoseconds:03}"
    with pytest.raises(CaptureError, match="more than six decimals"):
        stall(f"{time // 10**6}.{time % 10**6:06}{digits}")

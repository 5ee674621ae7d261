"""The steps of the rollout, as data: what the operator does, and what has to come of it."""

from shim.demo.rollout.play import Play, Step
from shim.demo.rollout.scenario import flags_file

RELEASE_REASON = "the client release was withdrawn"

_AGREED = 3
_ACTED = 2
_ACTED_AGAIN = 6
"""So many verdicts, and closings, are enough to have seen it happen."""


async def _nothing(play: Play) -> None:
    """The server has begun with everybody at `off`."""


async def _shadow(play: Play) -> None:
    play.put(flags_file(shadow=100))


async def _half(play: Play) -> None:
    play.put(flags_file(live=50, shadow=50))


async def _truncated(play: Play) -> None:
    play.put_truncated()


async def _bad_step(play: Play) -> None:
    play.put(flags_file(live=90, shadow=10))
    await play.release_clients()


async def _withdraw(play: Play) -> None:
    play.put(flags_file(shadow=100))
    await play.withdraw_clients()


async def _recover(play: Play) -> None:
    play.release_brake(RELEASE_REASON)
    play.put(flags_file(live=90, shadow=10))


OFF = Step(
    "everybody off",
    "all clients are here",
    0.06,
    _nothing,
    lambda play: play.everyone_is_here and play.placed,
)
SHADOW = Step(
    "shadow 100 %",
    "all move to shadow, the monitors agree on who is gone",
    0.20,
    _shadow,
    lambda play: play.placed and play.matched >= _AGREED,
)
HALF = Step(
    "live 50 %",
    "half move to live, the candidate closes those that are gone",
    0.15,
    _half,
    lambda play: play.placed and play.acted >= _ACTED,
)
TRUNCATED = Step(
    "a truncated flags file",
    "it is refused, the last good one stays in force",
    0.05,
    _truncated,
    lambda play: play.refused and play.placed,
)
BAD = Step(
    "live 90 %, and a bad client release",
    "the brake engages by itself, all are back at shadow",
    0.0,
    _bad_step,
    lambda play: play.braked and play.placed,
)
WITHDRAWN = Step(
    "shadow 100 %, the client release is withdrawn",
    "its clients are gone",
    0.12,
    _withdraw,
    lambda play: play.placed and play.newcomers_are_gone,
)
RECOVERED = Step(
    "brake released, live 90 %",
    "they move to live again, the candidate closes those that are gone",
    0.22,
    _recover,
    lambda play: play.placed and not play.braked and play.acted >= _ACTED_AGAIN,
)

STEPS = (OFF, SHADOW, HALF, TRUNCATED, BAD, WITHDRAWN, RECOVERED)

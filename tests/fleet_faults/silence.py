"""How long a client was silent that answers every ping, and who was late: the client, or the process."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from tests.fleet.standstill import Span

TIMEOUT = 3.0
"""Seconds of silence after which the monitors close a connection."""

_EXACT = 0.3
"""Seconds: what is shorter is noticed by nobody, and times of the store are as exact."""


class Closing(NamedTuple):
    """A monitor closed a connection.

    Attributes:
        process: the name of the process.
        by_control: whether the control acted.
        silence: from the last sign of life that the process saw to the closing.
    """

    process: str
    by_control: bool
    silence: Span

    def is_owed_to(self, pauses: Iterable[Span], answers: Collection[Span]) -> bool:
        """Whether the silence would have been too short without the `pauses` of the process, or if the client
        had given its `answers` at once.

        Each answer is a stretch: from the earliest time at which the ping can have arrived until the client
        answered. After a pause of the process the control closes whom it could not hear, as it always did
        (R3: docs/design.md#r3); the candidate must not. A client that was not heard although it answered in
        time is not to blame for its later answers.
        """
        in_time = Span(self.silence.since + _EXACT, self.silence.until - _EXACT)
        unheard = any(in_time.since < answer.until < in_time.until for answer in answers)
        excused = [*(() if unheard else answers), *(pauses if self.by_control else ())]
        return self.silence.length - _covered(self.silence, excused) < TIMEOUT - _EXACT


def _covered(span: Span, by: Iterable[Span]) -> float:
    """How much of a span lies in at least one of these."""
    covered, end = 0.0, span.since
    for since, until in sorted(by):
        since, until = max(since, end), min(until, span.until)
        if until > since:
            covered, end = covered + until - since, until
    return covered

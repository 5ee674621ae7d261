"""The comparator: two monitors' decisions on one silence become one verdict (R7-R13).

What happens, by the state that a connection's silence is in:

    |               | quiet       | open                         | judged |
    |---------------|-------------|------------------------------|--------|
    | a decision    | -> open     | the other monitor's: matched | late   |
    |               |             |   or skewed -> judged (R8)   |        |
    | sign of life  | quiet       | only_..., recovered          | -> quiet |
    |               |             |   -> quiet (R9)              |        |
    | window passed |             | only_... -> judged (R10)     |        |
    | saved         | quiet       | inconclusive -> quiet (R6b)  | -> quiet |
    | closed,       | gone        | inconclusive -> gone (R11)   | gone   |
    | handover      | quiet       | inconclusive -> judged (R11) | judged |
    | shutdown      |             | inconclusive -> gone (R11)   | gone   |
    | error         | error       | error -> judged (R12)        | judged |
    |               |   -> judged |                              |        |

Only silences that are not quiet cost memory. A silence is judged at most once. The caller calls `expire`
first, so that an episode whose window ended before is already over (R10: docs/design.md#r10).

Rules: docs/design.md#r6b, docs/design.md#r7, docs/design.md#r8, docs/design.md#r9,
docs/design.md#r11, docs/design.md#r12, docs/design.md#r13.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from shim.compare.expected_rules import ExpectedRules
from shim.model import (
    Connection,
    Duration,
    LateDecision,
    Placement,
    Role,
    Time,
    Verdict,
    VerdictKind,
    VerdictName,
)

_ONLY = {Role.CONTROL: VerdictKind.ONLY_CONTROL, Role.CANDIDATE: VerdictKind.ONLY_CANDIDATE}


class ComparedConnection(Protocol):
    """A connection that both monitors watch: its silence began at `last_activity` (see `Verdict`)."""

    connection: Connection
    order: int
    last_activity: Time
    acting: Role | None
    placement: Placement


@dataclass(slots=True, eq=False)
class _Silence:
    """A silence in which a monitor decided or failed; `verdict` says of it what is known so far."""

    verdict: Verdict
    window_ends: Time = 0
    judged: bool = False

    def record(self, role: Role, at: Time) -> None:
        """This monitor has decided."""
        if role is Role.CONTROL:
            self.verdict.control_at = at
        else:
            self.verdict.candidate_at = at


class Comparator:
    """Holds the open episodes; answers each event with the record that follows from it, if any."""

    def __init__(
        self, *, tolerance: Duration, window: Duration, expected: ExpectedRules | None = None
    ) -> None:
        self._tolerance = tolerance
        self._window = window
        self.expected = expected or ExpectedRules()
        self.open_episodes = 0
        self._silences: dict[str, _Silence] = {}
        # All windows are equally long, so they end in the order in which their episodes opened.
        self._windows: deque[_Silence] = deque()

    @property
    def next_window(self) -> Time | None:
        """When the next window ends."""
        while self._windows and self._windows[0].judged:
            self._windows.popleft()
        return self._windows[0].window_ends if self._windows else None

    def is_open(self, connection_id: str) -> bool:
        """Whether an episode of this connection waits for its verdict."""
        silence = self._silences.get(connection_id)
        return silence is not None and not silence.judged

    def decided(
        self, compared: ComparedConnection, role: Role, at: Time
    ) -> Verdict | LateDecision | None:
        """A monitor's decision on the connection's silence."""
        silence = self._silences.get(compared.connection.id)
        if silence is None:
            silence = self._begin(compared, first=role)
            silence.record(role, at)
            silence.window_ends = at + self._window
            self.open_episodes += 1
            self._windows.append(silence)
            return None
        if silence.judged or silence.verdict.first is role:
            return LateDecision(compared.connection, role, at, compared.acting)
        silence.record(role, at)
        verdict = self._judge(silence, VerdictName.MATCHED, VerdictKind.BOTH, at)
        assert verdict.skew is not None
        if abs(verdict.skew) > self._tolerance:
            verdict.name, verdict.kind = VerdictName.MISMATCHED, VerdictKind.SKEWED
            self._mismatch(verdict)
        return verdict

    def sign_of_life(self, connection_id: str, at: Time) -> Verdict | None:
        """A sign of life on a connection that is still open: a new silence begins."""
        silence = self._silences.pop(connection_id, None)
        if silence is None or silence.judged:
            return None
        return self._decided_alone(silence, at, recovered=True)

    def held(self, connection_id: str, at: Time) -> Verdict | None:
        """A sign of life saved a connection whose close the guard held: a new silence begins (R6b)."""
        return self._inconclusive(self._silences.pop(connection_id, None), VerdictKind.HELD, at)

    def closed(self, connection_id: str, at: Time) -> Verdict | None:
        """The connection is gone, and no monitor was the cause."""
        silence = self._silences.pop(connection_id, None)
        return self._inconclusive(silence, VerdictKind.CLOSED, at)

    def handed_over(self, connection_id: str, at: Time) -> Verdict | None:
        """The roles of the monitors change under the connection."""
        return self._inconclusive(self._silences.get(connection_id), VerdictKind.HANDOVER, at)

    def failed(self, compared: ComparedConnection, at: Time) -> Verdict | None:
        """A monitor failed in a call about this connection; None if the silence was judged before."""
        silence = self._silences.get(compared.connection.id) or self._begin(compared, first=None)
        if silence.judged:
            return None
        return self._mismatch(self._judge(silence, VerdictName.MISMATCHED, VerdictKind.ERROR, at))

    def forget(self, connection_id: str) -> None:
        """The connection is gone and its silence is judged: forget both."""
        self._silences.pop(connection_id, None)

    def expire(self, now: Time, *, inclusive: bool = False) -> Iterator[Verdict]:
        """End the windows that ended before `now` (or with it), each at its own end."""
        while (ends := self.next_window) is not None and (
            ends < now or (inclusive and ends == now)
        ):
            yield self._decided_alone(self._windows.popleft(), ends, recovered=False)

    def shutdown(self, now: Time) -> Iterator[Verdict]:
        """The process stops: open episodes stay undecided."""
        silences, self._silences = self._silences, {}
        for silence in silences.values():
            if verdict := self._inconclusive(silence, VerdictKind.SHUTDOWN, now):
                yield verdict

    def _begin(self, compared: ComparedConnection, *, first: Role | None) -> _Silence:
        verdict = Verdict(
            connection=compared.connection,
            order=compared.order,
            name=VerdictName.INCONCLUSIVE,
            kind=VerdictKind.CLOSED,
            at=compared.last_activity,
            first=first,
            control_at=None,
            candidate_at=None,
            recovered=False,
            last_activity=compared.last_activity,
            acting=compared.acting,
            placement=compared.placement,
        )
        silence = self._silences[compared.connection.id] = _Silence(verdict)
        return silence

    def _decided_alone(self, silence: _Silence, at: Time, *, recovered: bool) -> Verdict:
        first, silence.verdict.recovered = silence.verdict.first, recovered
        assert first is not None
        return self._mismatch(self._judge(silence, VerdictName.MISMATCHED, _ONLY[first], at))

    def _inconclusive(
        self, silence: _Silence | None, kind: VerdictKind, at: Time
    ) -> Verdict | None:
        if silence is None or silence.judged:
            return None
        return self._judge(silence, VerdictName.INCONCLUSIVE, kind, at)

    def _judge(self, silence: _Silence, name: VerdictName, kind: VerdictKind, at: Time) -> Verdict:
        verdict, silence.judged = silence.verdict, True
        verdict.name, verdict.kind, verdict.at = name, kind, at
        self.open_episodes -= verdict.first is not None
        return verdict

    def _mismatch(self, verdict: Verdict) -> Verdict:
        """The same mismatch, or expected if a rule explains it (R13)."""
        if rule := self.expected.explanation(verdict):
            verdict.name = VerdictName.EXPECTED
            verdict.rule = rule
        return verdict

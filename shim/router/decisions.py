"""Decisions: what becomes of a monitor's "this connection timed out".

A decision is compared (R7), held by the guard if the candidate closes too many (R6b), and acted on if its
monitor acts; then the connection is gone for the monitors, and its client's return is waited for (R15).
When the episode has its verdict and the connection is closed, no monitor needs to watch it any more (R6).

Rules: docs/design.md#r6, docs/design.md#r6b, docs/design.md#r7, docs/design.md#r10,
docs/design.md#r15.
"""

from collections.abc import Iterator
from itertools import islice

from shim.compare.comparator import Comparator
from shim.compare.return_watcher import ReturnWatcher
from shim.model import Close, Decision, Role, Terminate, Time, Verdict
from shim.router.assignment import Assignment
from shim.router.events import Decided, GuardChanged
from shim.router.guard import Guard
from shim.router.observer import Observer
from shim.router.tracked import Tracked

_CANDIDATE = Role.CANDIDATE

_SEARCHED, _SEARCHES = 10_000, 30
"""One search for a sign of life looks at so many connections at least, and at such a part of all."""


class Decisions:
    """Compares the decisions of the monitors, and acts on those of the acting monitor."""

    def __init__(
        self,
        assignment: Assignment,
        *,
        comparator: Comparator,
        outcomes: ReturnWatcher,
        observer: Observer,
        guard: Guard | None,
    ) -> None:
        self._assignment = assignment
        self._comparator = comparator
        self._outcomes = outcomes
        self._observer = observer
        self._guard = guard
        # The connections that the search for a sign of life has not come to yet.
        self._unsearched: Iterator[Tracked] = iter(())

    def begin(self, now: Time) -> None:
        """Whatever happens at `now`, windows that ended before are over (R10, R15)."""
        self._assignment.now = now
        for verdict in self._comparator.expire(now):
            self._judged(verdict, now)
        for outcome in self._outcomes.expire(now):
            self._observer.on(outcome)

    def finish(self, now: Time) -> None:
        """Everything at `now` has happened: the windows of episodes that end with it are over."""
        for verdict in self._comparator.expire(now, inclusive=True):
            self._judged(verdict, now)

    def decide(self, tracked: Tracked, role: Role, decision: Decision, now: Time) -> None:
        """A monitor has decided on a connection that it watched."""
        if role is _CANDIDATE and self._is_too_far(tracked):
            self._take_back(tracked, now)
            return
        tracked.alert = True
        record = self._comparator.decided(tracked, role, now) if tracked.compared else None
        acts = tracked.acting is role and tracked.closed_by is None
        if acts and role is _CANDIDATE and self._is_held(tracked, decision, now):
            acts = False
        else:
            self._tell(tracked, role, decision, acts, now)
        if acts:
            self._act(tracked, role, decision, now)
        if isinstance(record, Verdict):
            self._judged(record, now)
        else:
            if record is not None:
                self._observer.on(record)
            if acts and (record is not None or not tracked.compared):
                self._assignment.release(tracked, now)

    def end_holds(self, now: Time) -> None:
        """Let the held closes go on whose time has come (R6b)."""
        guard = self._guard
        if guard is None or not guard.holding:
            return
        if guard.listens(now) and self._somebody_lives(guard.began):
            guard.heard(now)
        while (decision := guard.release(now)) is not None:
            tracked = self._assignment.tracked[decision.connection_id]
            allowed = not self._is_too_far(tracked)
            self._tell(tracked, _CANDIDATE, decision, allowed, now)
            if not allowed:
                self._take_back(tracked, now)
                continue
            self._act(tracked, _CANDIDATE, decision, now)
            if not self._comparator.is_open(decision.connection_id):
                self._assignment.release(tracked, now)
        if guard.calm(now):
            self._unsearched = iter(())
            self._observer.on(GuardChanged(False, self._assignment.candidate_acts_for, now))

    def _somebody_lives(self, since: Time) -> bool:
        """Whether a connection that the candidate acts for has given a sign of life since then.

        Of very many connections only a part is looked at, and the next search goes on there.
        """
        everyone = self._assignment.tracked
        most = max(_SEARCHED, len(everyone) // _SEARCHES)
        part = list(islice(self._unsearched, most))
        if len(part) < most:
            self._unsearched = iter(list(everyone.values()))
            part += islice(self._unsearched, most - len(part))
        return any(
            tracked.last_activity > since
            for tracked in part
            if tracked.acting is _CANDIDATE and tracked.closed_by is None
        )

    def _is_held(self, tracked: Tracked, decision: Decision, now: Time) -> bool:
        """Whether the guard holds this close; then the connection is pinged, and may save itself (R6b)."""
        guard = self._guard
        if guard is None:
            return False
        calm = not guard.holding
        if not guard.holds(decision, now, self._assignment.candidate_acts_for):
            return False
        if calm:
            self._observer.on(GuardChanged(True, self._assignment.candidate_acts_for, now))
        tracked.port.ping(b"guard")
        return True

    def _tell(
        self, tracked: Tracked, role: Role, decision: Decision, acts: bool, now: Time
    ) -> None:
        last = tracked.last_activity
        self._observer.on(
            Decided(
                connection=tracked.connection,
                role=role,
                decision=decision,
                acted=acts,
                placement=tracked.placement,
                last_activity=last if acts else None,
                window_ends=self._outcomes.window_end(now, last) if acts else None,
            )
        )

    def _act(self, tracked: Tracked, role: Role, decision: Decision, now: Time) -> None:
        """Let the decision reach the socket; from here on the connection is gone for the monitors."""
        tracked.closed_by = role
        self._assignment.ended(tracked)
        tracked.mute()
        code = next((effect.code for effect in decision.effects if isinstance(effect, Close)), None)
        outcome = self._outcomes.acted(
            tracked.connection, role, now, tracked.last_activity, code, tracked.placement
        )
        for effect in decision.effects:
            if isinstance(effect, Close):
                tracked.port.close(effect)
            elif isinstance(effect, Terminate):
                tracked.port.terminate()
            else:
                tracked.port.forget()
        if outcome is not None:
            self._observer.on(outcome)

    def _judged(self, verdict: Verdict, now: Time) -> None:
        """An episode has its verdict; if its connection was closed, the connection is released."""
        self._observer.on(verdict)
        tracked = self._assignment.tracked.get(verdict.connection.id)
        if tracked is not None and tracked.closed_by is not None:
            self._assignment.release(tracked, now)

    def _is_too_far(self, tracked: Tracked) -> bool:
        """Whether the brake is engaged, and the handover has not come to this connection yet."""
        return tracked.stage != self._assignment.allowed(tracked.stage)

    def _take_back(self, tracked: Tracked, now: Time) -> None:
        """The decision goes nowhere: the candidate begins anew, as a shadow."""
        if tracked.closed_by is None:
            self.begin(now)
            self._assignment.move(tracked, self._assignment.allowed(tracked.stage), now)

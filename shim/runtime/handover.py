"""Handover: a changed stage reaches connections that are already open (R21: docs/design.md#r21).

It goes session by session, so that one user's connections change together, and works for a few milliseconds
at a time, so that the event loop never stalls, however many connections there are.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator

from shim.flags.evaluation import Evaluation
from shim.model import UNCOUNTED, Time
from shim.router import Router, Tracked
from shim.runtime.driver import begin_slice

log = logging.getLogger(__name__)

Members = tuple[str, Iterable[Tracked]]
"""A user, and the connections of one of the user's sessions."""


class Handover:
    """Moves everyone to the stage that `evaluate` gives; a later order replaces an earlier one."""

    def __init__(
        self,
        router: Router,
        evaluate: Callable[[str], Evaluation],
        clock: Callable[[], Time],
        moved: Callable[[], None],
    ) -> None:
        self._router = router
        self._evaluate = evaluate
        self._clock = clock
        self._moved = moved
        self._pending: Iterator[Members] = iter(())
        self._done = asyncio.Event()
        self._done.set()

    @property
    def running(self) -> bool:
        return not self._done.is_set()

    async def finished(self) -> None:
        """Wait until everyone has moved."""
        await self._done.wait()

    def start(self, sessions: Iterable[Members]) -> None:
        """Begin; called within the running loop."""
        self._pending = iter(sessions)
        if self._done.is_set():
            self._done.clear()
            asyncio.get_running_loop().call_soon(self._go_on)

    def move(self, user: str, connections: Iterable[Tracked], *, counted: bool = False) -> None:
        """Move one user's connections now; from now on they are evidence, if they were or are `counted`."""
        evaluation = self._evaluate(user)
        now, router = self._clock(), self._router
        for tracked in connections:
            is_counted = counted or tracked.placement.counted
            placement = evaluation.placement if is_counted else UNCOUNTED
            router.set_stage(tracked, evaluation.stage, now, placement=placement)

    def _go_on(self) -> None:
        over = begin_slice()
        for user, connections in self._pending:
            try:
                self.move(user, connections)
            except Exception:
                log.exception("a user could not be moved to another stage")
            if over():
                self._moved()
                asyncio.get_running_loop().call_soon(self._go_on)
                return
        self._moved()
        self._done.set()

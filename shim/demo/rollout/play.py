"""The rollout as it is played: an operator edits the flags file, and waits for what comes of it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from time import monotonic

from shim.demo.crew import Crew
from shim.demo.serving import Served
from shim.demo.story import Story
from shim.ledger import wall_clock
from shim.ledger.rows import Wall
from shim.model import Role, Stage, VerdictName
from shim.rollout.writing import replace_file
from shim.settings import parse_flags

_POLL = 0.1


@dataclass(frozen=True, slots=True)
class Step:
    """Something that the operator does (`begin`), and what has to come of it.

    It lasts until that is `reached`, and at least its `share` of the act's time.
    """

    title: str
    goal: str
    share: float
    begin: Callable[["Play"], Awaitable[None]]
    reached: Callable[["Play"], bool]


@dataclass(slots=True)
class Mark:
    """A step that was begun: when, after how many seconds its goal was reached (None: it was not),
    and how many connections were at which stage then."""

    step: Step
    at: Wall
    took: float | None = None
    stages: Counter[Stage] = field(default_factory=Counter)


class Play:
    """Plays the steps one after the other, up to the first that is not reached.

    `fleet` are the clients that are there from the beginning, `newcomers` those of the new client
    release. Each step gets `patience` seconds.
    """

    def __init__(
        self,
        served: Served,
        flags: Path,
        fleet: Sequence[Story],
        newcomers: Crew,
        *,
        seconds: float,
        patience: float,
    ) -> None:
        assert served.shim.assembly.flags is not None
        self.shim = served.shim
        self.marks: list[Mark] = []
        self.live_flags = served.shim.assembly.flags
        self._flags = flags
        self._fleet = fleet
        self._newcomers = newcomers
        self._with_newcomers = AsyncExitStack()
        self._seconds = seconds
        self._patience = patience
        self._trust(flags.read_bytes())
        self._acted_before = 0

    async def run(self, steps: Sequence[Step]) -> None:
        async with self._with_newcomers:
            for step in steps:
                if not await self._play(step):
                    return

    async def _play(self, step: Step) -> bool:
        mark = Mark(step, wall_clock())
        self.marks.append(mark)
        self._acted_before = self._acted
        began = monotonic()
        await step.begin(self)
        while not step.reached(self):
            if monotonic() > began + self._patience:
                return False
            await asyncio.sleep(_POLL)
        mark.took = monotonic() - began
        mark.stages = self.stages()
        await asyncio.sleep(max(0, step.share * self._seconds - mark.took))
        return True

    # -- What the operator does -------------------------------------------------------------------

    def put(self, content: bytes) -> None:
        """Put a good file in place, by rename as operators' tools do."""
        self._trust(content)
        replace_file(self._flags, content)

    def put_truncated(self) -> None:
        """Put a file in place that somebody's disk was too full for."""
        replace_file(self._flags, self._good[: len(self._good) * 2 // 3])

    async def release_clients(self) -> None:
        """The new client release is out: its apps connect."""
        await self._with_newcomers.enter_async_context(self._newcomers)

    async def withdraw_clients(self) -> None:
        """The new client release is gone, and its apps with it."""
        await self._with_newcomers.aclose()

    def release_brake(self, reason: str) -> None:
        self.shim.release_brake(reason)

    def _trust(self, content: bytes) -> None:
        """This is the last good file now."""
        self._good = content
        self._digest = sha256(content).hexdigest()
        self._rollout = parse_flags(content, str(self._flags))

    # -- What has come of it ----------------------------------------------------------------------

    @property
    def everyone_is_here(self) -> bool:
        return all(story.opened for story in self._fleet)

    @property
    def braked(self) -> bool:
        return self.shim.router.brake_reason is not None

    @property
    def matched(self) -> int:
        """Verdicts on which both monitors agree, so far."""
        return self.shim.assembly.tally.verdicts[VerdictName.MATCHED]

    @property
    def acted(self) -> int:
        """Closings by the candidate since the step began."""
        return self._acted - self._acted_before

    @property
    def _acted(self) -> int:
        return self.shim.assembly.tally.decisions[Role.CANDIDATE, True]

    @property
    def refused(self) -> bool:
        """The file that lies there is not the one in force, and why is known."""
        return self.live_flags.problem is not None

    @property
    def placed(self) -> bool:
        """The last good file is in force, and every open connection where it says, or the brake."""
        if self.live_flags.digest != self._digest:
            return False
        highest = Stage.SHADOW if self.braked else Stage.COMPLETE
        return all(
            tracked.stage is min(self._rollout.evaluate(tracked.connection.user).stage, highest)
            for tracked in self.shim.router.connections()
            if tracked.closed_by is None
        )

    @property
    def newcomers_are_gone(self) -> bool:
        """None of them has a connection, not even one that is being closed."""
        users = {story.client.user for story in self._newcomers.stories}
        return not any(
            tracked.connection.user in users for tracked in self.shim.router.connections()
        )

    def stages(self) -> Counter[Stage]:
        """How many open connections are at which stage."""
        return Counter(
            tracked.stage for tracked in self.shim.router.connections() if tracked.closed_by is None
        )

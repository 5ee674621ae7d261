"""The steps of a demo, and who takes them one after the other."""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Generic, Self, TypeVar

from shim.demo.client_history import RESTARTED, ClientHistories
from shim.demo.demo_clients import ClientBehaviour
from shim.ledger.rows import Wall
from shim.ledger.run_row import wall_clock
from shim.model import Stage

_POLL = 0.1

Taker = TypeVar("Taker", bound="StepTaker", contravariant=True)


@dataclass(frozen=True, slots=True)
class RolloutStep(Generic[Taker]):
    """Something that is done (`begin`), and what has to come of it (`goal`, `reached`).

    `explanation` says in plain words what happens. The step lasts until its goal is reached, and at least
    its `share` of the demo's time.
    """

    title: str
    goal: str
    explanation: str
    share: float
    begin: Callable[[Taker], Awaitable[None] | None]
    reached: Callable[[Taker], bool]


@dataclass(slots=True)
class StepProgress:
    """A step that was begun.

    `took` is after how many seconds its goal was reached (None: it was not), `stages` how many open
    connections were at which stage then, `said` are lines about what was done.
    """

    step: RolloutStep[Any]
    began: Wall
    took: float | None = None
    stages: Counter[Stage] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)


class StepTaker(ABC):
    """Takes the steps one after the other, up to the first that does not reach its goal.

    `histories` are what the clients write down. `seconds` is about how long all steps take, `patience` how
    many seconds each may take.
    """

    def __init__(self, histories: ClientHistories, *, seconds: float, patience: float) -> None:
        self.histories = histories
        self.progress: list[StepProgress] = []
        self._seconds = seconds
        self._patience = patience

    async def take(self, steps: Sequence[RolloutStep[Self]]) -> None:
        for step in steps:
            progress = StepProgress(step, wall_clock())
            self.progress.append(progress)
            began = monotonic()
            if (work := step.begin(self)) is not None:
                await work
            await self.look()
            while not step.reached(self):
                if monotonic() > began + self._patience:
                    return
                await asyncio.sleep(_POLL)
                await self.look()
            progress.took = monotonic() - began
            progress.stages = self.stages()
            await asyncio.sleep(max(0, step.share * self._seconds - progress.took))

    async def look(self) -> None:
        """Find out how things are, where the steps' goals do not find out themselves."""
        return

    @property
    def all_connected(self) -> bool:
        """Every client has been connected at least once."""
        return all(history.opened for history in self.histories.all)

    def all_back_after(self, restarts: int) -> bool:
        """Every healthy client has connected again after each of so many restarts."""
        return all(
            history.back_after[RESTARTED] >= restarts
            for history in self.histories.all
            if history.client.behaviour is ClientBehaviour.HEALTHY
        )

    @abstractmethod
    def stages(self) -> Counter[Stage]:
        """How many open connections are at which stage."""

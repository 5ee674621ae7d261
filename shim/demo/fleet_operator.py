"""The operator of the demo's fleet, who uses the commands that every operator has."""

import asyncio
import os
import shlex
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections import Counter
from collections.abc import Mapping
from time import monotonic
from typing import Any

from shim.demo.client_history import ClientHistories
from shim.demo.demo_fleet import PROCESSES, DemoFleet, FleetFacts
from shim.demo.demo_settings import flags_file
from shim.demo.step_taker import StepTaker
from shim.model import Kind, Return, Role, Stage, VerdictName

FLAGS = "rollout.yaml"

_GATE_LINES = 4
"""The answer, and about which trial it is."""

_AGAIN = 1.0
"""Seconds until a command that wants more evidence is given again."""


class FleetOperator(StepTaker):
    """Takes the steps of a rollout on a fleet; `facts` are what the store knew when it was last asked.

    Attributes:
        codes: how each command ended that was given last, by its name.
    """

    def __init__(
        self,
        fleet: DemoFleet,
        histories: ClientHistories,
        facts: FleetFacts,
        *,
        seconds: float,
        patience: float,
    ) -> None:
        super().__init__(histories, seconds=seconds, patience=patience)
        self.fleet = fleet
        self.facts = facts
        self.codes: dict[str, int] = {}
        self._restarts = 0

    async def look(self) -> None:
        self.facts = await self.fleet.look()

    # -- What the operator does -------------------------------------------------------------------

    async def push(self, reason: str, *, live: int = 0, shadow: int = 0) -> None:
        """Bring a flags file with these percentages into the store."""
        await self._push(flags_file(live=live, shadow=shadow), reason)

    async def push_truncated(self) -> None:
        """Try the same with a file for which the disk had too little room."""
        content = flags_file(live=100)
        await self._push(content[: len(content) * 2 // 3], "everybody live")

    async def _push(self, content: bytes, reason: str) -> None:
        (self.fleet.folder / FLAGS).write_bytes(content)
        await self.give("flags push", FLAGS, "--reason", reason, "--config", self._config)

    async def advance(self) -> None:
        """Take the next step of the plan, as soon as it may be taken."""
        deadline = monotonic() + self._patience
        while await self.give("rollout advance", "--config", self._config, quiet=True):
            if monotonic() > deadline:
                break
            await asyncio.sleep(_AGAIN)

    async def release_brake(self, reason: str) -> None:
        await self.give("brake release", "--ledger", self.fleet.store, "--reason", reason)

    async def ask_gate(self) -> None:
        """May the control be retired?"""
        await self.give("gate", "--config", self._config, most=_GATE_LINES)

    async def deploy(self, change: Mapping[str, Any]) -> None:
        """Restart the processes one by one with changed settings."""
        self._restarts += 1
        async for process in self.fleet.deploy(change):
            self.say(f"process {process.name} has been restarted; log in: {process.login_link}")
            await self.look()

    async def give(
        self, name: str, *arguments: str, quiet: bool = False, most: int | None = None
    ) -> int:
        """Give a command of the shim's, and tell `most` lines of its answer; its exit code.

        `quiet`: only if it is done.
        """
        command = [*name.split(), *arguments]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "shim", *command),
            stdout=PIPE,
            stderr=STDOUT,
            cwd=self.fleet.folder,
            env={**os.environ, **self.fleet.environment},
            start_new_session=True,
        )
        try:
            answer, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        self.codes[name] = process.returncode
        if not (quiet and process.returncode):
            lines = answer.decode().splitlines()
            cut = lines if most is None else [*lines[:most], "…"]
            self.say(f"$ {shlex.join(['shim', *command])}", *cut)
        return process.returncode

    def say(self, *lines: str) -> None:
        self.progress[-1].said += lines

    @property
    def _config(self) -> str:
        return self.fleet.processes[0].settings.name

    # -- What comes of it -------------------------------------------------------------------------

    @property
    def all_restarted(self) -> bool:
        """Every healthy client has connected again after each deploy."""
        return self.all_back_after(self._restarts)

    @property
    def alike(self) -> bool:
        """All processes are there, and have the same settings and the same flags."""
        record = self.facts.record
        alive = [process.name for process in record.processes if process.alive]
        return sorted(alive) == sorted(PROCESSES) and not record.differing

    @property
    def braked(self) -> bool:
        """The brake is engaged for the fleet, and in every process."""
        return self.facts.braked and all(one.brake for one in self.facts.record.processes)

    @property
    def matched(self) -> int:
        """On how many timeouts both monitors agreed."""
        return self.facts.total(VerdictName.MATCHED)

    def apps_returned(self, role: Role) -> int:
        """How many users' apps have come back after this monitor had closed their connection."""
        return len(
            {
                action.user
                for action in self.facts.actions
                if action.role is role
                and action.result is Return.RETURNED
                and action.connection_kind is Kind.APP
            }
        )

    def only_at(self, *stages: Stage) -> bool:
        """Open connections are at these stages, at each of them some, and at no others."""
        return set(self.stages()) == set(stages)

    def stages(self) -> Counter[Stage]:
        return self.facts.stages()

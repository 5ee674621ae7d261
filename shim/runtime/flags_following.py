"""The flags file, followed while a shim runs, and the steps of the plan that the shim takes by itself.

Rules: docs/design.md#r20.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from shim.flags.targeting import Targeting
from shim.ledger.protocols import LedgerReader
from shim.model import FlagsLoad, InputError
from shim.model.visible_text import describe_free_text
from shim.rollout.client_hints import close_code_warning
from shim.rollout.current_flags import CurrentFlags
from shim.rollout.flags_place import flags_place
from shim.rollout.promotion import advance_by_itself
from shim.rollout.promotion_facts import facts_from
from shim.rollout.watcher import Watcher
from shim.runtime.coordinator import Coordinator
from shim.runtime.driver import clock
from shim.runtime.machine_start import time_of_record
from shim.settings.flags_file import UNKNOWN_FLAGS
from shim.settings.settings import FlagsInStore, Settings

log = logging.getLogger(__name__)

_PROMOTION_INTERVAL = 60.0
"""Seconds."""


class FlagsFollowing:
    """Takes up changes of the flags file (R20), and the steps of the plan.

    `names_users`: whether log lines may name users.
    """

    def __init__(
        self, settings: Settings, flags: CurrentFlags, reader: LedgerReader, *, names_users: bool
    ) -> None:
        self._settings = settings
        self._flags = flags
        self._reader = reader
        self._names_users = names_users

    @asynccontextmanager
    async def running(
        self, coordinator: Coordinator[Any], *, promotes: bool
    ) -> AsyncIterator[None]:
        """Follow the file as long as the context lasts; with `promotes`, take the steps of the plan."""
        flags = self._flags

        def take_up(load: FlagsLoad, before: Targeting, after: Targeting) -> None:
            coordinator.observer.on(load)
            if before is not after:
                self._warn_of_close_code(after)
                coordinator.reassess()

        if isinstance(self._settings.rollout, FlagsInStore) and not flags.path.exists():
            # What the store says takes the place of it.
            await asyncio.to_thread(flags.path.write_text, UNKNOWN_FLAGS, encoding="utf-8")
        self._warn_of_close_code(flags.targeting)
        coordinator.observer.on(flags.first_load())
        post = asyncio.get_running_loop().call_soon_threadsafe
        watcher = Watcher(flags, clock, post, take_up, names_users=self._names_users)
        watcher.start()
        promotion = asyncio.create_task(self._promote(coordinator)) if promotes else None
        try:
            yield
        finally:
            if promotion is not None:
                promotion.cancel()
                await asyncio.wait([promotion])
            # A reading may hang, as may its file system: the event loop does not wait for it.
            await asyncio.to_thread(watcher.stop)

    async def _promote(self, coordinator: Coordinator[Any]) -> None:
        """Take the steps of the plan, at most one each minute; the watcher loads the new file."""
        while True:
            await asyncio.sleep(_PROMOTION_INTERVAL)
            try:
                await asyncio.to_thread(self._advance, coordinator)
            except InputError as error:
                why = error if self._names_users else error.without_names
                log.error("the rollout cannot go on by its plan: %s", describe_free_text(why))

    def _advance(self, coordinator: Coordinator[Any]) -> None:
        place = flags_place(self._settings)
        assert place is not None
        change = advance_by_itself(
            place,
            self._settings.promotion.steps,
            lambda digest: facts_from(
                self._reader,
                self._settings,
                digest,
                time_of_record(self._reader, coordinator.wall()),
            ),
        )
        if change is not None:
            log.warning("the rollout goes on by its plan: %s", describe_free_text(change.reason))

    def _warn_of_close_code(self, targeting: Targeting) -> None:
        if warning := close_code_warning(self._settings, targeting):
            log.warning("%s", warning)

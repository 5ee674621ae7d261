"""The flags of the store, mirrored in a file of this process, which the shim follows like any flags file (R26).

So a version is validated as a file is, the last good one is on this process's disk, and a process starts
without the store. A process that has never reached the store knows nothing: everybody is at `off`. If the store
was restored from a backup, the processes bring the version in force there again.

Rules: docs/design.md#r20, docs/design.md#r26.
"""

import logging
from hashlib import sha256
from pathlib import Path
from typing import Any

from psycopg import Connection

from shim.fleet.fleet_link import FleetDuty
from shim.ledger.flags_version import FlagsVersion
from shim.ledger.postgres.flags_versions import bring_back, last_number, versions
from shim.model import InputError
from shim.model.time import format_utc
from shim.rollout.changes import Change, record_change
from shim.rollout.writing import replace_file

log = logging.getLogger(__name__)


class StoredFlags(FleetDuty):
    """Writes the version in force into the mirror, with who brought it and why."""

    def __init__(self, mirror: Path) -> None:
        self._mirror = mirror
        self._known: FlagsVersion | None = None
        self._connection: Connection[Any] | None = None
        self._problem: str | None = None

    def attend(self, connection: Connection[Any]) -> None:
        if connection is not self._connection:
            self._connection, known, self._known = connection, self._known, None
            if known is not None and bring_back(connection, known):
                log.warning("flags: the store had forgotten %s: brought again", known.digest[:12])
        number = last_number(connection)
        if number is None or (self._known is not None and number == self._known.id):
            return
        (version,) = versions(connection, 1)
        try:
            self._write(version)
        except (InputError, OSError) as error:
            if str(error) != self._problem:
                self._problem = str(error)
                log.error("flags: the version of the store cannot be written: %s", error)
            return
        self._known, self._problem = version, None

    def leave(self, connection: Connection[Any]) -> None:
        """The mirror stays as it is."""

    def _write(self, version: FlagsVersion) -> None:
        content = version.text.encode()
        before = sha256(self._mirror.read_bytes()).hexdigest()
        if before == version.digest:
            return
        change = Change(
            at=format_utc(version.at),
            by=version.who,
            reason=version.reason,
            before=before,
            after=version.digest,
        )
        # The record comes first, so that it exists when the new content is seen.
        record_change(self._mirror, change)
        replace_file(self._mirror, content)

"""Takes up changes of the flags file, by content, however it was changed (R20: docs/design.md#r20).

The file is read three times a second, and its content is compared (by digest). Time stamps are not used:
tools restore them, some file systems have coarse ones, and the time stamp of a link does not change when
its target is swapped. New content counts when two readings in a row agree, so that an unfinished write is
neither put in force nor reported as a bad file.

All of this happens in a separate thread. A file system that hangs, or a file that takes seconds to read,
delays no connection; only the finished result goes to the event loop.
"""

import logging
import threading
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from time import monotonic
from typing import TypeAlias

from shim.flags.targeting import Targeting
from shim.model import SECOND, Duration, FlagsLoad, InputError, Problem, Time, seconds
from shim.model.visible_text import describe_free_text
from shim.rollout.changes import Change, find_change
from shim.rollout.current_flags import CurrentFlags
from shim.settings.flags_file import FlagsFile, parse_flags
from shim.settings.yamlfile import ExhaustedError, UnreadableError, read_regular_file

log = logging.getLogger(__name__)

OnLoad: TypeAlias = Callable[[FlagsLoad, Targeting, Targeting], None]
"""Gets each load, and the targeting before and after it (the same if the file was not swapped)."""

INTERVAL: Duration = 300_000
_JOIN = 1.0
_STUCK = 5.0
"""Seconds, both: a reading that takes longer hangs, as its file system does."""

_UNREADABLE = ""
"""The digest of a file that cannot be read."""


class Watcher:
    """Keeps a `CurrentFlags` up to date between `start` and `stop`.

    `post` runs a function where the flags are used (`loop.call_soon_threadsafe`); there, `on_load` is
    called for each file taken over, refused, or good again. `names_users`: whether the log may do that.
    """

    def __init__(
        self,
        live: CurrentFlags,
        clock: Callable[[], Time],
        post: Callable[[Callable[[], None]], object],
        on_load: OnLoad,
        interval: Duration = INTERVAL,
        *,
        names_users: bool = True,
    ) -> None:
        self._live = live
        self._clock = clock
        self._post = post
        self._on_load = on_load
        self._interval = interval
        self._exhausted = False
        self._names_users = names_users
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shim-flags", daemon=True)
        self._supervisor = threading.Thread(
            target=self._supervise, name="shim-flags-supervisor", daemon=True
        )
        self._looking_since: float | None = None
        # What was dealt with, and the last reading: digest, and why there is no content.
        self._settled: tuple[str, str] | None = (live.digest, "")
        self._seen = self._settled

    def start(self) -> None:
        self._thread.start()
        self._supervisor.start()

    def stop(self) -> None:
        """Nothing is posted after this, unless a reading hangs; it dies with the process."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN)

    def _run(self) -> None:
        while not self._stopped.wait(seconds(self._interval)):
            self._looking_since = monotonic()
            try:
                self.look()
            except Exception:
                if self._stopped.is_set():
                    return
                # The watcher must survive every error that a file causes.
                log.exception("reading the flags file failed")
            self._looking_since = None

    def _supervise(self) -> None:
        """Tell when a reading does not end: nobody else would, for the reader itself is in it."""
        told: float | None = None
        while not self._stopped.wait(_STUCK / 4):
            since = self._looking_since
            if since is None or since == told or monotonic() - since < _STUCK:
                continue
            told = since
            reason = f"cannot be read: a reading has not ended for {_STUCK:g} s"
            self._settled = None  # the content that is read at last is told
            refused = UnreadableError(Problem(reason, str(self._live.path)))
            self._post(partial(self._refuse, _UNREADABLE, refused))

    def look(self) -> None:
        """One reading: handle new content that two readings in a row agree on."""
        path = self._live.path
        data: bytes | None = None
        refused: InputError | None = None
        try:
            data = read_regular_file(path)
        except ExhaustedError as error:
            self._report_exhausted(str(error))
            return
        except InputError as error:
            refused = error
        self._exhausted = False
        digest = _UNREADABLE if data is None else sha256(data).hexdigest()
        found = digest, "" if refused is None else str(refused)
        before, self._seen = self._seen, found
        if found == self._settled or found != before:
            return
        self._settled = found
        if data is not None:
            try:
                loaded = FlagsFile(parse_flags(data, str(path)), path, digest)
            except InputError as error:
                refused = error
            else:
                change = find_change(path, digest, self._live.digest)
                self._post(lambda: self._take(loaded, change))
                return
        assert refused is not None
        self._post(partial(self._refuse, digest, refused))

    def _report_exhausted(self, problem: str) -> None:
        if not self._exhausted:
            self._exhausted = True
            log.warning(
                "flags: nothing is known of changes for now: %s", describe_free_text(problem)
            )

    # -- In the event loop -------------------------------------------------------------------------

    def _take(self, loaded: FlagsFile, change: Change | None) -> None:
        if self._stopped.is_set():
            return
        before = self._live.targeting
        load = self._live.take(loaded, self._clock(), change)
        if load.digest == load.before:
            log.info("flags: %s is good again, digest %.12s", load.file, load.digest)
        else:
            log.info(
                "flags: %s is in force, digest %.12s instead of %.12s%s",
                load.file,
                load.digest,
                load.before,
                f" ({describe_free_text(load.by)}: {describe_free_text(load.reason)})"
                if load.by
                else "",
            )
        self._on_load(load, before, self._live.targeting)

    def _refuse(self, digest: str, error: InputError) -> None:
        if self._stopped.is_set():
            return
        load = self._live.refuse(digest, error, self._clock())
        age = (load.at - self._live.loaded_at) // SECOND
        log.error(
            "flags: refused, the file of digest %.12s stays in force (since %d s): %s",
            load.before,
            age,
            describe_free_text(load.problem if self._names_users else load.problem_without_names),
        )
        self._on_load(load, self._live.targeting, self._live.targeting)

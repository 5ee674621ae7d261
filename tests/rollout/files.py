"""Flags files for tests, and a watcher of one."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from shim.flags.targeting import Targeting
from shim.model import FlagsLoad, from_seconds
from shim.rollout.current_flags import CurrentFlags
from shim.rollout.watcher import Watcher
from shim.settings.flags_file import load_flags_file

USER = "alice@example.com"


def flags(stage: str, comment: str = "") -> str:
    return f"""\
# {comment}
version: 1
flag: monitor-rollout
hash: {{algorithm: blake2b-v1, salt: test}}
kill_switch: false
default: "off"
holdback: 0
overrides: {{{USER}: {stage}}}
rules: []
percent: {{complete: 0, live: 0, shadow: 0}}
...
"""


def put(path: Path, text: str) -> None:
    """Replace a file at once, as nothing else does on a busy machine."""
    new = path.with_name("new")
    new.write_text(text)
    new.replace(path)


def clock() -> int:
    return from_seconds(time.monotonic())


@dataclass
class Watched:
    """A live rollout and what its watcher told; this thread stands for the event loop."""

    live: CurrentFlags
    posted: SimpleQueue[Callable[[], None]] = field(default_factory=SimpleQueue)
    loads: list[FlagsLoad] = field(default_factory=list)
    rollouts: list[tuple[Targeting, Targeting]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watcher = Watcher(self.live, clock, self.posted.put, self.on_load, interval=20_000)

    def on_load(self, load: FlagsLoad, before: Targeting, after: Targeting) -> None:
        self.loads.append(load)
        self.rollouts.append((before, after))

    @property
    def stage(self) -> str:
        return str(self.live.evaluate(USER).stage)

    def look(self, times: int = 2) -> None:
        """Readings by a watcher that was not started, so that nothing depends on time."""
        for _ in range(times):
            self.watcher.look()
        while not self.posted.empty():
            self.posted.get()()

    def next_load(self, timeout: float = 60) -> FlagsLoad:
        """Wait for the next load."""
        self.posted.get(timeout=timeout)()
        return self.loads[-1]

    def tells_nothing(self, for_seconds: float = 0.3) -> bool:
        """The watcher has time for several readings, and has nothing to tell."""
        try:
            self.posted.get(timeout=for_seconds)
        except Empty:
            return True
        return False


def unwatched(path: Path) -> Watched:
    return Watched(CurrentFlags(load_flags_file(path), clock()))


@contextmanager
def watched(path: Path) -> Iterator[Watched]:
    watched = unwatched(path)
    watched.watcher.start()
    try:
        yield watched
    finally:
        watched.watcher.stop()

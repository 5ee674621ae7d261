"""The rollout of a running shim: its flags file, kept up to date, and its promotion by plan."""

from shim.rollout.current_flags import CurrentFlags
from shim.rollout.watcher import Watcher

__all__ = ["CurrentFlags", "Watcher"]

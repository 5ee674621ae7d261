"""The rollout of a running shim: its flags file, kept up to date, and its promotion by plan."""

from shim.rollout.live_rollout import LiveRollout
from shim.rollout.watcher import Watcher

__all__ = ["LiveRollout", "Watcher"]

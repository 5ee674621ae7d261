"""Replay: what the monitors would have decided on a captured day, in virtual time."""

from shim.replay.capture_reader import CaptureReader
from shim.replay.replay_engine import Replay, ReplaySettings
from shim.replay.result import ReplayResult

__all__ = ["CaptureReader", "Replay", "ReplayResult", "ReplaySettings"]

"""Captures: what happened to the connections of a running shim, written down for `shim replay`."""

from shim.capture.recorder import Limits, Recorder, check_folder, settings_digest

__all__ = ["Limits", "Recorder", "check_folder", "settings_digest"]

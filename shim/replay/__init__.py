"""Replay: what the monitors would have decided on a captured day, in virtual time."""

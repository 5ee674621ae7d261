"""Flags: which stage of the migration a user is at, and why (docs/design.md#rollout).

Pure: a `Targeting` is made once from a flags file (`shim.settings.flags_file.load_flags_file`) and then asked.
"""

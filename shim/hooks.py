"""The hook marker for plugins, under its public name (docs/plugins.md)."""

from shim.plugin.hookspecs import hookimpl, hookspec

__all__ = ["hookimpl", "hookspec"]

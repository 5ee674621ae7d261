"""Captures: what happened to the connections of a running shim, written down for `shim replay`."""

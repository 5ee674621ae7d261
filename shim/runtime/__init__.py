"""A running shim, whatever the WebSocket library: it alone reads the clock and performs effects."""

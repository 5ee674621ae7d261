"""What the shims of all WebSocket libraries share: `Shim.open`, the console, and the life of both."""

"""The reference server: the WebSocket service of the seed, watched by the shim (`shim serve`)."""

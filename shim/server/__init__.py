"""The reference server: the WebSocket service of MentraOS, watched by the shim (`shim serve`)."""

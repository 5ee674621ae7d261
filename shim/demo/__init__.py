"""The demo: a rollout on the reference server with real WebSocket clients, which goes wrong and recovers."""

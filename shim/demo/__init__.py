"""The demo: the reference server, a fleet of real clients, and a summary that is checked."""

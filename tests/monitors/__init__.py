"""The two monitors, each alone: state machines in virtual time."""

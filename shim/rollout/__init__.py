"""The rollout of a running shim: its flags file, kept up to date, and its promotion by plan."""

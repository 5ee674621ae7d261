"""Act two of the demo: a rollout by edits of the flags file, one bad step, the brake, the recovery."""

"""A process as a member of its fleet: what it follows, and what it does for all (docs/design.md#r25)."""

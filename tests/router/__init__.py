"""The router: no orphan (R4), isolation (R5), silent shadows (R6), stages (R21), the timer queue."""

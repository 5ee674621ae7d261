"""The comparison: verdicts and outcomes, on their own."""

"""Which clients come back after which close code: measured with the real clients."""

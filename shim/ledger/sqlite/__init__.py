"""The embedded ledger: one SQLite file, one writer, any number of readers."""

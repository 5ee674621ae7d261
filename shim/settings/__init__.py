"""Settings and flags files: read strictly; every mistake is reported with its line and column."""

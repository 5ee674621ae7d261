"""What type checkers say of the public surface. Nothing here runs: `make check` reads it with mypy."""

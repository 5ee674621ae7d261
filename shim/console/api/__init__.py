"""The API under `/api`: its paths, its filters, its answers."""

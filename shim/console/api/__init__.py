"""The API under `/api`: its paths, what may be asked, what is answered."""

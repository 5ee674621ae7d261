"""The pages for people: the dashboard and the rows behind its numbers."""

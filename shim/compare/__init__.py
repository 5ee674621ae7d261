"""The comparison: decisions with decisions (comparator), closings with returns (outcomes).

The package is pure: it gets decisions with their times, and answers with records. It never touches a
connection, so it cannot disturb the acting path.
"""

"""Benchmarks: each compares with something in the same run, and prints medians and ratios."""

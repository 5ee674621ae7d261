"""Would the tests notice? Small changes of the code, made in memory, each of which some test must kill.

`python -m tests.mutants` makes a random sample of them over the pure wing and the plugins.
"""

"""The gate: may the control be retired? (R16), and the statistic of the brake (R22). Pure.

Rules: docs/design.md#r16, docs/design.md#r22.
"""

"""Flags: which stage of the migration a user is at, and why (docs/design.md#rollout).

Pure: a `Targeting` is made once from a flags file (`shim.settings.load_flags_file`) and then asked.
"""

from shim.flags.buckets import ALGORITHM, BUCKETS, bucket, buckets_of, holdback_salt
from shim.flags.diff import Comparison, Group, Moves, compare, moves_of
from shim.flags.evaluation import Cap, Evaluation, Reason, Threshold
from shim.flags.flagd import flagd_flags
from shim.flags.targeting import (
    Percentages,
    Rule,
    Targeting,
    everyone_at,
    places_of_acting_candidate,
)

__all__ = [
    "ALGORITHM",
    "BUCKETS",
    "Cap",
    "Comparison",
    "Evaluation",
    "Group",
    "Moves",
    "Percentages",
    "Reason",
    "Rule",
    "Targeting",
    "Threshold",
    "bucket",
    "buckets_of",
    "compare",
    "everyone_at",
    "flagd_flags",
    "holdback_salt",
    "moves_of",
    "places_of_acting_candidate",
]

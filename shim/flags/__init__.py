"""Flags: which stage of the migration a user is at, and why (DESIGN section 5).

Pure: a `Rollout` is made once from a flags file (`shim.settings.load_rollout`) and then asked.
"""

from shim.flags.buckets import ALGORITHM, BUCKETS, bucket, buckets_of, holdback_salt
from shim.flags.evaluation import Cap, Evaluation, Reason, Threshold
from shim.flags.rollout import Percentages, Rollout, Rule, everyone_at

__all__ = [
    "ALGORITHM",
    "BUCKETS",
    "Cap",
    "Evaluation",
    "Percentages",
    "Reason",
    "Rollout",
    "Rule",
    "Threshold",
    "bucket",
    "buckets_of",
    "everyone_at",
    "holdback_salt",
]

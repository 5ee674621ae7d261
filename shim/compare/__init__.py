"""The comparison: decisions with decisions (comparator), closings with returns (outcomes).

The package is pure: it gets decisions with their times, and answers with records. It never touches a
connection, so it cannot disturb the acting path.
"""

from shim.compare.comparator import Comparator
from shim.compare.expected_rules import ExpectedRule, ExpectedRules
from shim.compare.fleet_returns import FleetReturns
from shim.compare.outcomes import Outcomes
from shim.compare.return_watcher import ReturnWatcher

__all__ = [
    "Comparator",
    "ExpectedRule",
    "ExpectedRules",
    "FleetReturns",
    "Outcomes",
    "ReturnWatcher",
]

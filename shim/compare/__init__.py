"""The comparison: decisions against decisions (comparator), closings against returns (outcomes).

Pure: told what was decided and when, it answers with records. It never touches a connection, so
nothing in it can disturb the acting path.
"""

from shim.compare.comparator import Comparator
from shim.compare.expected_rules import ExpectedRule, ExpectedRules
from shim.compare.outcomes import Outcomes

__all__ = ["Comparator", "ExpectedRule", "ExpectedRules", "Outcomes"]

"""The gate: may the control be retired? (R16), and the statistic of the brake (R22). Pure.

Rules: docs/design.md#r16, docs/design.md#r22.
"""

from shim.gate.answer import Condition, GateAnswer, GateVerdict, Scale, Sense, Standing
from shim.gate.brake_statistics import (
    BrakeLimits,
    FalseKills,
    FalseKillWatch,
    FewerReturns,
    ReturnWatch,
)
from shim.gate.evidence import Evidence, KindEvidence, Sample, Shares
from shim.gate.judge import judge
from shim.gate.kind_gate import GateTargets
from shim.gate.observations import EPISODES, Observations, Observed

__all__ = [
    "EPISODES",
    "BrakeLimits",
    "Condition",
    "Evidence",
    "FalseKillWatch",
    "FalseKills",
    "FewerReturns",
    "GateAnswer",
    "GateTargets",
    "GateVerdict",
    "KindEvidence",
    "Observations",
    "Observed",
    "ReturnWatch",
    "Sample",
    "Scale",
    "Sense",
    "Shares",
    "Standing",
    "judge",
]

"""The gate: may the control be retired? (R16), and the statistic of the brake (R22). Pure."""

from shim.gate.answer import Condition, GateAnswer, GateVerdict, Scale, Sense, Standing
from shim.gate.brake import (
    BrakeLimits,
    FalseKills,
    FalseKillWatch,
    FewerReturns,
    ReturnWatch,
)
from shim.gate.case import GateTargets
from shim.gate.evidence import Evidence, KindEvidence, Sample, Shares
from shim.gate.gate import judge
from shim.gate.observe import EPISODES, Observations, Observed

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

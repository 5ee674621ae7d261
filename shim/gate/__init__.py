"""The gate: may the control be retired? (R16), and the statistic of the brake (R22). Pure.

Rules: docs/design.md#r16, docs/design.md#r22.
"""

from shim.gate.answer import Condition, GateAnswer, GateVerdict, Scale, Sense, Standing
from shim.gate.brake_judge import BrakeJudge
from shim.gate.brake_statistics import (
    BrakeLimits,
    BrakeRecord,
    FalseKill,
    FalseKills,
    FalseKillWatch,
    FewerReturns,
    ReturnWatch,
)
from shim.gate.connected_users import ConnectedUsers
from shim.gate.crowds import Connected
from shim.gate.evidence import (
    Evidence,
    Heartbeats,
    KindEvidence,
    StandingReady,
    StretchSample,
)
from shim.gate.judge import judge, judge_so_far
from shim.gate.kind_gate import GateTargets
from shim.gate.kind_record import KindRecord
from shim.gate.observed_rows import Arm, ObservedRow, ObservedRows
from shim.gate.question import Counted, Question, QuestionTimes
from shim.gate.sample_ratio import ArmUsers
from shim.gate.series import Shares
from shim.gate.trial import (
    IdentitySpan,
    Trial,
    TrialIdentity,
    TrialUsers,
    count_attempts,
    find_trials,
)
from shim.gate.trial_description import format_arms, format_trial

__all__ = [
    "Arm",
    "ArmUsers",
    "BrakeJudge",
    "BrakeLimits",
    "BrakeRecord",
    "Condition",
    "Connected",
    "ConnectedUsers",
    "Counted",
    "Evidence",
    "FalseKill",
    "FalseKillWatch",
    "FalseKills",
    "FewerReturns",
    "GateAnswer",
    "GateTargets",
    "GateVerdict",
    "Heartbeats",
    "IdentitySpan",
    "KindEvidence",
    "KindRecord",
    "ObservedRow",
    "ObservedRows",
    "Question",
    "QuestionTimes",
    "ReturnWatch",
    "Scale",
    "Sense",
    "Shares",
    "Standing",
    "StandingReady",
    "StretchSample",
    "Trial",
    "TrialIdentity",
    "TrialUsers",
    "count_attempts",
    "find_trials",
    "format_arms",
    "format_trial",
    "judge",
    "judge_so_far",
]

"""A rollout as it has to go, for tests to spoil."""

from collections import Counter
from dataclasses import replace
from typing import Any

from shim.demo.client_history import LEFT, ClientHistory
from shim.demo.demo_clients import ClientBehaviour, ClientSpec
from shim.demo.step_taker import StepProgress
from shim.ledger.rows import (
    ActionRow,
    BrakeRow,
    DecisionRow,
    FlagsRow,
    ProofRow,
    StageRow,
    VerdictRow,
    Wall,
)
from shim.model import SECOND, Kind, Role, Stage, VerdictKind, VerdictName
from tests.demo.false_kill_checks import RolloutEvidence
from tests.demo.false_kill_rollout import (
    BAD,
    RECOVERED,
    RELEASE_REASON,
    STEPS,
    TRUNCATED,
    LedgerRecord,
)

LENGTH = 10 * SECOND
"""How long each step takes here."""


def at(number: int, after: float = 0) -> Wall:
    """So many seconds after the beginning of the step of this number."""
    return 1_000_000 * SECOND + number * LENGTH + round(after * SECOND)


BAD_AT, TRUNCATED_AT, RECOVERED_AT = (STEPS.index(step) for step in (BAD, TRUNCATED, RECOVERED))


def about(user: str) -> dict[str, Any]:
    return {
        "connection": f"c-{user}",
        "connection_kind": Kind.APP,
        "user": user,
        "session": user,
        "package": "com.example.demo",
    }


def verdict(user: str, when: Wall, name: VerdictName, kind: VerdictKind) -> VerdictRow:
    return VerdictRow(
        **about(user),
        verdict=name,
        kind=kind,
        at=when,
        first=Role.CANDIDATE,
        acting=Role.CONTROL,
        control_at=None,
        candidate_at=when - SECOND,
        recovered=kind is VerdictKind.ONLY_CANDIDATE,
        last_activity=when - 3 * SECOND,
        rule=None,
        trace=None,
    )


def proof(user: str, when: Wall) -> ProofRow:
    return ProofRow(**about(user), role=Role.CANDIDATE, at=when)


def decision(user: str, when: Wall) -> DecisionRow:
    return DecisionRow(
        **about(user),
        role=Role.CANDIDATE,
        acted=True,
        at=when,
        deadline=when,
        silence=2 * SECOND,
        code=1001,
        pings=(),
    )


def action(user: str, when: Wall) -> ActionRow:
    return ActionRow(**about(user), role=Role.CANDIDATE, acted_at=when, code=1001)


def moved(user: str, before: Stage, after: Stage, when: Wall) -> StageRow:
    return StageRow(**about(user), before=before, after=after, at=when)


def flags(digest: str, before: str | None, when: Wall, problem: str | None = None) -> FlagsRow:
    return FlagsRow(
        at=when, file="/somewhere/rollout.yaml", digest=digest, before=before, problem=problem
    )


def brake(engaged: bool, reason: str, when: Wall) -> BrakeRow:
    return BrakeRow(engaged=engaged, reason=reason, at=when)


GONE = 25
"""Users on whom the candidate decided rightly: so many that four wrong decisions make the brake engage."""

REASON = "5 of the candidate's 50 decisions hit a live connection"


def record() -> LedgerRecord:
    """A verdict and three proofs of life, each in a minute of its own, make the brake engage 9 s after
    the bad step."""
    return LedgerRecord(
        flags=[
            flags("a" * 64, None, at(0)),
            flags("b" * 64, "a" * 64, at(1, 0.5)),
            flags("c" * 64, "b" * 64, at(TRUNCATED_AT, 0.5), "/somewhere/rollout.yaml: cut off"),
        ],
        stages=[
            moved("healthy", Stage.OFF, Stage.SHADOW, at(1, 0.5)),
            moved("dropped", Stage.OFF, Stage.SHADOW, at(1, 0.6)),
            moved("healthy", Stage.LIVE, Stage.SHADOW, at(BAD_AT, 9.2)),
        ],
        brakes=[
            brake(True, REASON, at(BAD_AT, 9.2)),
            brake(False, RELEASE_REASON, at(RECOVERED_AT, 0.1)),
        ],
        guards=[],
        decisions=[
            *(decision(f"gone-{n}", at(1, n / 10)) for n in range(GONE)),
            *(decision(f"new-{n}", at(BAD_AT, 0.05)) for n in range(1, 5)),
        ],
        verdicts=[
            verdict("dropped", at(1, 5), VerdictName.MATCHED, VerdictKind.BOTH),
            verdict("new-1", at(BAD_AT, 0.1), VerdictName.MISMATCHED, VerdictKind.ONLY_CANDIDATE),
        ],
        proofs=[proof(f"new-{n}", at(BAD_AT, 3 * n - 2.9)) for n in range(2, 5)],
        actions=[action("dropped", at(2, 5)), action("dropped", at(RECOVERED_AT, 5))],
    )


def _history(user: str, behaviour: ClientBehaviour) -> ClientHistory:
    return ClientHistory(ClientSpec(user, Kind.APP, behaviour), opened=1)


def evidence() -> RolloutEvidence:
    flapping = _history("flapping", ClientBehaviour.FLAPPING)
    flapping.endings[LEFT], flapping.opened = 2, 3
    dropped = _history("dropped", ClientBehaviour.DROPPED)
    dropped.endings["1006"], dropped.opened = 1, 2
    return RolloutEvidence(
        progress=[
            StepProgress(step, at(number), 1.0, Counter({Stage.SHADOW: 3}))
            for number, step in enumerate(STEPS)
        ],
        record=record(),
        old=[_history("healthy", ClientBehaviour.HEALTHY), flapping, dropped],
        newcomers=[_history(f"new-{n}", ClientBehaviour.SILENT) for n in range(1, 5)],
        pauses=0,
    )


def with_record(**changes: Any) -> RolloutEvidence:
    """The evidence with other rows."""
    good = evidence()
    return replace(good, record=replace(good.record, **changes))

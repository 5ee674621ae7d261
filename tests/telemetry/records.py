"""Records as the router makes them, with what a test does not care about filled in."""

from typing import Any

from shim.flags.evaluation import Evaluation
from shim.flags.targeting import everyone_at
from shim.model import (
    SECOND,
    Connection,
    Decision,
    Kind,
    Role,
    Stage,
    Terminate,
    Time,
    Verdict,
    VerdictKind,
    VerdictName,
)

APP = Connection("c1", Kind.APP, "alice@example.com", "s1", "com.example.app1")
GLASSES = Connection("c2", Kind.GLASSES, "bob@example.com", "s2")


def evaluation(user: str = APP.user, stage: Stage = Stage.SHADOW) -> Evaluation:
    return everyone_at(stage).evaluate(user)


def decision(connection: Connection = APP, at: Time = 60 * SECOND) -> Decision:
    return Decision(connection.id, at, at, 45 * SECOND, (Terminate(),))


def verdict(connection: Connection = APP, **facts: Any) -> Verdict:
    """In shadow, both decided 11.8 s apart, unless told otherwise."""
    usual: dict[str, Any] = {
        "connection": connection,
        "order": 1,
        "name": VerdictName.MATCHED,
        "kind": VerdictKind.BOTH,
        "at": 60 * SECOND,
        "first": Role.CANDIDATE,
        "control_at": 60 * SECOND,
        "candidate_at": 48_200_000,
        "recovered": False,
        "last_activity": 3_200_000,
        "acting": Role.CONTROL,
    }
    return Verdict(**(usual | facts))

"""Simulated outcomes for the brake."""

from random import Random

from shim.gate import ReturnWatch
from shim.model import SECOND, Connection, Kind, Outcome, Return, Role

DAY = 86_400 * SECOND
RETURN_WINDOW = 120 * SECOND


def outcome(
    user: str, role: Role, acted_at: int, returned: bool, *, by_percentage: bool = True
) -> Outcome:
    connection = Connection(f"c{acted_at}", Kind.APP, user, user, "com.example.app1")
    result = Return.RETURNED if returned else Return.LOST
    at = acted_at + (SECOND if returned else RETURN_WINDOW + 1)
    return Outcome(
        connection=connection,
        role=role,
        result=result,
        acted_at=acted_at,
        at=at,
        by_percentage=by_percentage,
    )


def first_brake(
    control: float, candidate: float, since: int, seed: int, per_day: int = 100, days: int = 30
) -> int | None:
    """How many outcomes of the candidate since day `since`, from which its return rate is `candidate`
    (before, it is the control's), it takes until the brake engages; None: it never does.

    Each arm has a thousand users, so that users come again.
    """
    random = Random(seed)
    rates = {Role.CONTROL: control, Role.CANDIDATE: candidate}
    watch = ReturnWatch(RETURN_WINDOW, 0)
    outcomes = []
    for role in Role:
        for _ in range(per_day * days):
            at = random.randrange(days * DAY)
            rate = rates[role] if at >= since * DAY else control
            user = f"{role} {random.randrange(1000)}"
            outcomes.append(outcome(user, role, at, random.random() < rate))
    taken = 0
    for each in sorted(outcomes, key=lambda outcome: outcome.at):
        taken += each.role is Role.CANDIDATE and each.acted_at >= since * DAY
        if watch.settled(each, each.at) is not None:
            return taken
    return None

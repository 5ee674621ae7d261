"""The steps of the demo's rollout, as data: what the operator does, and what has to come of it."""

from collections.abc import Sequence

from shim.demo.demo_settings import BETTER_CODE, PRESCRIBED_CODE, flags_file, settings_value
from shim.demo.operator import Operator
from shim.demo.step_taker import RolloutStep
from shim.model import Role

Step = RolloutStep[Operator]

RELEASE_REASON = f"the candidate closes with {BETTER_CODE} now"

_AGREED = 5
_RETURNED = 14
"""Apps that came back after the control had closed them: enough for the brake to compare."""
_RETURNED_AGAIN = 8

OFF: Step = RolloutStep(
    "off for everybody",
    "all clients are connected",
    "The control watches alone. It terminates a connection that was silent for too long: the client "
    "sees code 1006.",
    0.08,
    lambda operator: None,
    lambda operator: operator.all_connected and operator.placed,
)
SHADOW: Step = RolloutStep(
    "shadow for everybody",
    "both monitors agree",
    "The operator edits the flags file. Now the candidate watches and decides, too, but only the control "
    "closes connections. The shim compares their decisions.",
    0.25,
    lambda operator: operator.put_flags(flags_file(shadow=100)),
    lambda operator: (
        operator.placed
        and operator.matched >= _AGREED
        and operator.apps_returned(Role.CONTROL) >= _RETURNED
    ),
)
TRUNCATED: Step = RolloutStep(
    "a truncated flags file",
    "refused, nothing changes",
    "Somebody saves a flags file that is cut off. It is refused; the last good file stays in force.",
    0.05,
    Operator.put_truncated_flags,
    lambda operator: operator.refused and operator.placed,
)
LIVE: Step = RolloutStep(
    "live for 50 %",
    "the brake engages by itself",
    f"For half of the users the candidate closes connections now, with code {PRESCRIBED_CODE}. The monitors "
    "still agree, but apps built on @mentra/sdk do not connect again after that code. The shim notices it "
    "and takes everybody back to shadow: that is the brake.",
    0.25,
    lambda operator: operator.put_flags(flags_file(live=50, shadow=50)),
    lambda operator: operator.braked and operator.placed,
)
RELEASED: Step = RolloutStep(
    "brake released, live for 90 %",
    "closed apps come back",
    "The operator releases the brake and goes on. The candidate closes the same kind of connection as "
    f"before, now with {BETTER_CODE}, and the apps come back.",
    0.25,
    lambda operator: operator.release_brake(RELEASE_REASON, flags_file(live=90, shadow=10)),
    lambda operator: (
        operator.placed
        and not operator.braked
        and operator.apps_returned(Role.CANDIDATE) >= _RETURNED_AGAIN
    ),
)


def rollout_steps(factor: float, ledger: str, trace_url: str | None) -> Sequence[Step]:
    """All steps, for a service with these settings."""
    settings = settings_value(factor, ledger, close_code=BETTER_CODE, trace_url=trace_url)
    restarted: Step = RolloutStep(
        f"restart with close code {BETTER_CODE}",
        "all are back, brake still engaged",
        f"The operator sets close_code: {BETTER_CODE} and restarts the service. Its clients connect again; "
        "the brake is still engaged, because the ledger remembers it.",
        0.1,
        lambda operator: operator.service.restart(settings),
        lambda operator: operator.all_back_after(1) and operator.braked and operator.placed,
    )
    return (OFF, SHADOW, TRUNCATED, LIVE, restarted, RELEASED)
